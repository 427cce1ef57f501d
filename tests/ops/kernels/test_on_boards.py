"""Every kernel variant, on every board that has its instruction set, is bit-exact."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from exporter.board import load_board
from exporter.build.firmware import Settings, target_for
from exporter.errors import CheckFailed
from exporter.ops.base import Dialect, Target
from exporter.toolchain import ToolchainName
from tests.ops.emulated import check_on_board
from tests.ops.harness import Case, skip_without_oracle
from tests.ops.kernels.layers import TARGETS
from tests.ops.kernels.shapes import GROUPS, half_of
from tests.ops.variants import variants

pytestmark = [pytest.mark.emulator, pytest.mark.toolchain]

VECTORS = 6
"""Noise, both ends, and patterns; the host runs all kinds."""


class Build(NamedTuple):
    """`kernels`: how their templates begin. Lesser sets run on one board of each greater one.
    `halves`: which of the models; each board runs both, under one compiler or another.
    """

    board: str
    toolchain: ToolchainName
    optimize: str = "speed"
    kernels: str = ""
    options: tuple[str, ...] = ()
    halves: tuple[int, ...] = (0, 1)


# Every access of the generic kernels is aligned, also as compilers merge them: cheaper cores fault.
# QEMU 7.2 has CCR.UNALIGN_TRP for Armv7-M. The other sets may load words from any address by LDR.
TRAP = ("NANO_TRAP_UNALIGNED=ON",)

BUILDS = (
    Build("mps2-an385", "gcc", options=TRAP),
    Build("mps2-an385", "clang", options=TRAP, halves=(1,)),
    Build("mps2-an386", "gcc"),
    Build("mps2-an386", "clang", "size", "dsp/", halves=(1,)),
    Build("mps2-an500", "gcc", "speed", "dsp/"),
    Build("mps2-an505", "gcc", "speed", "dsp/", halves=(0,)),
    Build("mps2-an505", "clang", "speed", "dsp/", halves=(1,)),
    Build("mps3-an547", "gcc", "speed", "mve/", halves=(0,)),
    Build("mps3-an547", "clang"),
    Build("riscv32-virt", "gcc", halves=(0,)),
    Build("riscv32-virt", "clang", halves=(1,)),
)
DIALECTS: tuple[tuple[str, Dialect], ...] = (
    *((group, "tflite") for group in GROUPS),
    ("fully_connected", "litert"),
)


def has_kernels(build: Build, group: str, dialect: Dialect) -> bool:
    """Whether the build's set has any of its own."""
    without = {"dsp/": {"others", "elementwise"}, "mve/": {"others"}}.get(build.kernels, set())
    return group not in without and (build.kernels != "mve/" or dialect == "tflite")


RUNS = [
    pytest.param(build, group, dialect, id="-".join((*build[:3], group, dialect)))
    for group, dialect in DIALECTS
    for build in BUILDS
    if has_kernels(build, group, dialect)
]


@pytest.mark.parametrize(("build", "group", "dialect"), RUNS)
def test_every_kernel(tmp_path: Path, build: Build, group: str, dialect: Dialect) -> None:
    skip_without_oracle(dialect)
    board = load_board(build.board)
    # Compilers optimise for size what was chosen for speed, too: some kernels are for speed only.
    cases = [
        case
        for optimize in dict.fromkeys(("speed", build.optimize))
        for half in build.halves
        for case in cases_of(
            group, half, target_for(board, Settings(dialect, optimize)), build.kernels
        )
    ]  # fmt: skip
    check_on_board(
        cases,
        board,
        tmp_path,
        toolchain=build.toolchain,
        optimize=build.optimize,
        options=build.options,
    )


@cache
def cases_of(group: str, half: int, target: Target, kernels: str) -> list[Case]:
    """Boards of one target share them."""
    models = {name: data for name, data in GROUPS[group]().items() if half_of(name) == half}
    return variants(models, target, VECTORS, kernels=kernels)


@pytest.mark.parametrize("board", sorted({build.board for build in BUILDS}))
def test_every_board_runs_both_halves(board: str) -> None:
    builds = [build for build in BUILDS if build.board == board]
    most = min((build.kernels for build in builds), key=len)  # "": all kernels
    assert {half for build in builds if build.kernels == most for half in build.halves} == {0, 1}


@pytest.mark.parametrize(("kernels", "board"), [("dsp/", "mps2-an385"), ("mve/", "mps2-an386")])
def test_no_board_runs_twins_in_place_of_assembly(tmp_path: Path, kernels: str, board: str) -> None:
    """Where the compiler is not told of the extension, the firmware does not build."""
    models = dict(list(GROUPS["fully_connected"]().items())[:1])
    cases = variants(models, TARGETS[kernels[:-1]], 1, kernels=kernels)
    with pytest.raises(CheckFailed) as caught:
        check_on_board(cases, board, tmp_path)
    assert "twins would be tested in place of assembly" in str(caught.value.value)
