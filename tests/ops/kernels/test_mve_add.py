"""ADD and SUB with Helium: forms and C twins here, the assembly on the emulated board."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exporter.toolchain import ToolchainName
from tests import random_layers as layers
from tests.flatbuffer_builder import ModelBuilder
from tests.ops.harness import check_models, check_operator
from tests.ops.kernels.emulated import Branch, branches, check_on_board
from tests.ops.kernels.mve_layers import ACTIVATIONS, BOARD, chosen, micro_kernels, numbered


def additive(kind: str, elements: int, seed: int) -> Branch:
    """A sum or difference of two activations of as many elements."""

    def add(builder: ModelBuilder) -> tuple[list[int], int]:
        rng = np.random.default_rng(seed)
        scales = rng.uniform(0.02, 0.08, 3)
        left, right, output = (
            builder.tensor(
                f"{name}{seed}",
                (1, elements),
                scale=float(scale),
                zero_point=layers.zero_point(rng, "extreme"),
            )
            for name, scale in zip(("left", "right", "sum"), scales, strict=True)
        )
        builder.op(kind, [left, right], [output], activation=ACTIVATIONS[seed % 4])
        return [left, right], output

    return add


def shapes() -> list[Branch]:
    return [
        additive(kind, elements, seed)
        for seed, (kind, elements) in enumerate(
            (kind, elements) for elements in (1, 7, 8, 16, 33, 250) for kind in ("ADD", "SUB")
        )
    ]


@pytest.mark.parametrize("kind", ["ADD", "SUB"])
def test_random_models(kind: str) -> None:
    check_operator(kind, range(30), instruction_set="mve")


def test_shapes() -> None:
    check_models(numbered(shapes()), instruction_set="mve")


@pytest.mark.parametrize("toolchain", ["gcc", "clang"])
@pytest.mark.toolchain
@pytest.mark.emulator
def test_shapes_on_the_board(toolchain: ToolchainName, tmp_path: Path) -> None:
    check_on_board(branches(shapes()), BOARD, tmp_path, toolchain=toolchain)


def test_what_is_chosen() -> None:
    """Nearly all have a linear form; fewer than eight elements are left to others."""
    kernels = [chosen(layer) for layer in shapes()]
    assert not any(kernel.kernel == "mve/add" for kernel in kernels[:4])
    helium = [kernel for kernel in kernels[4:] if kernel.kernel == "mve/add"]
    assert len(helium) >= 6
    assert all(micro_kernels(kernel) == ["add_eights"] for kernel in helium)
