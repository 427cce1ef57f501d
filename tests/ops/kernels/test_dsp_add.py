"""ADD and SUB where no linear form holds, with the DSP extension: C twins here, boards below."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from exporter.ops.base import Target
from exporter.toolchain import ToolchainName
from tests.flatbuffer_builder import ModelBuilder
from tests.ops.harness import check_models, compile_graph
from tests.ops.kernels.emulated import Branch, branches, check_on_board

SHAPE = (1, 9, 8, 24)
"""Large enough for a table of terms to be worth its flash."""


def addition(number: int, kind: str, activation: str, zero_points: tuple[int, int, int]) -> Branch:
    """An addition whose scales are round decimals: many sums lie halfway between two outputs."""

    def add(builder: ModelBuilder) -> tuple[list[int], int]:
        scales = (0.05, 0.03, 0.08) if number % 2 else (0.015, 0.022, 0.036)
        x, y, z = (
            builder.tensor(f"{name}{number}", SHAPE, scale=scale, zero_point=zero_point)
            for name, scale, zero_point in zip("xyz", scales, zero_points, strict=True)
        )
        builder.op(kind, [x, y], [z], activation=activation)
        return [x, y], z

    return add


CASES = [
    addition(number, *case)
    for number, case in enumerate(
        product(
            ("ADD", "SUB"),
            ("NONE", "RELU"),
            ((-5, 7, 3), (-128, 127, -128), (127, -128, 127)),
        )
    )
]


def test_twins() -> None:
    models = {f"case {number}": branches([case]) for number, case in enumerate(CASES)}
    kernels = {compile_graph(m, Target("dsp"))[1].functions[0].kernel for m in models.values()}
    assert "dsp/add_table" in kernels
    check_models(models, instruction_set="dsp")
    check_models(models, instruction_set="generic")


@pytest.mark.parametrize("toolchain", ["gcc", "clang"])
@pytest.mark.toolchain
@pytest.mark.emulator
def test_assembly(tmp_path: Path, toolchain: ToolchainName) -> None:
    check_on_board(branches(CASES), "mps2-an386", tmp_path, toolchain=toolchain)
