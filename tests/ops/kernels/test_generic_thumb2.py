"""The generic kernels over micro-kernels in Thumb-2 assembly, and their twins in C."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.ops import kernels
from exporter.ops.base import Dialect, Target
from exporter.ops.candidate import Candidate
from exporter.toolchain import Optimize, ToolchainName
from tests.ops.harness import check_operator, compile_graph
from tests.ops.kernels.random_on_board import check_on_board, defined, one_model_of
from tests.random_models import random_model

BOARD = "mps2-an385"
"""Cortex-M3."""


@pytest.fixture
def tiles_wherever_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small layers too: what the planner would find cheaper in C."""
    offered = kernels.offered

    def last(stem: str, target: Target, layer: object) -> tuple[Candidate, ...]:
        return offered(stem, target, layer)[-1:]

    monkeypatch.setattr(kernels, "offered", last)


def kernels_of(data: bytes, thumb2: bool) -> set[str]:
    _, program = compile_graph(data, Target(thumb2=thumb2))
    return {function.kernel for function in program.functions}


@pytest.mark.usefixtures("tiles_wherever_offered")
@pytest.mark.parametrize("dialect", ["tflite", "litert"])
@pytest.mark.parametrize("kind", ["CONV_2D", "FULLY_CONNECTED"])
def test_twins(kind: str, dialect: Dialect) -> None:
    check_operator(kind, defined(kind, range(40)), dialect=dialect, thumb2=True)


@pytest.mark.usefixtures("tiles_wherever_offered")
@pytest.mark.parametrize("kind", ["CONV_2D", "FULLY_CONNECTED"])
def test_twins_optimised_for_size(kind: str) -> None:
    check_operator(kind, defined(kind, range(40, 60)), optimize="size", thumb2=True)


@pytest.mark.usefixtures("tiles_wherever_offered")
def test_only_where_the_core_runs_thumb2() -> None:
    data = random_model("FULLY_CONNECTED", 0)
    assert kernels_of(data, thumb2=True) == {"generic/fully_connected_tiles"}
    assert kernels_of(data, thumb2=False) == {"generic/fully_connected"}


@pytest.mark.emulator
@pytest.mark.toolchain
@pytest.mark.slow
@pytest.mark.usefixtures("tiles_wherever_offered")
@pytest.mark.parametrize("toolchain", ["gcc", "clang"])
@pytest.mark.parametrize("optimize", ["speed", "size"])
def test_on_a_cortex_m3(tmp_path: Path, toolchain: ToolchainName, optimize: Optimize) -> None:
    kinds = ("CONV_2D", "FULLY_CONNECTED")
    drawn = [(kind, seed) for kind in kinds for seed in defined(kind, range(30))]
    check_on_board(one_model_of(drawn), BOARD, tmp_path, toolchain=toolchain, optimize=optimize)
