"""Every kernel variant, on every board that has its instruction set, is bit-exact."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from exporter.board import Board, load_board
from exporter.build.firmware import Settings, target_for
from exporter.errors import CheckFailed
from exporter.ops.base import Dialect, Target
from exporter.toolchain import ToolchainName
from tests.ops.emulated import check_on_board
from tests.ops.harness import Case, skip_without_oracle
from tests.ops.kernels.layers import TARGETS
from tests.ops.kernels.shapes import GROUPS, MORE, Groups, half_of
from tests.ops.variants import variants

pytestmark = [pytest.mark.emulator, pytest.mark.toolchain]

VECTORS = 6
"""Noise, both ends, and patterns; the host runs all kinds."""


class Build(NamedTuple):
    """`kernels`: how their templates begin. Lesser sets run on one board of each greater one.
    `halves`: which of the models; either reaches every template (test_reach).
    `over_inputs`: outputs over inputs, too; the rest of the builds have those in the long tests.
    """

    board: str
    toolchain: ToolchainName
    optimize: str = "speed"
    kernels: str = ""
    options: tuple[str, ...] = ()
    halves: tuple[int, ...] = (0, 1)
    over_inputs: bool = False


# Every access of the generic kernels is aligned, also as compilers merge them: cheaper cores fault.
# QEMU 7.2 has CCR.UNALIGN_TRP for Armv7-M. The other sets may load words from any address by LDR.
TRAP = ("NANO_TRAP_UNALIGNED=ON",)

# The core that has no other choice than to fault. Its chip is too small for many models at once:
# the machine gets memory that no nRF51 has.
ARMV6M = "microbit-v1"
FLASH_BYTES, RAM_BYTES = 4 << 20, 1 << 20
MEMORY = (
    *("-global", f"nrf51-soc.flash-size={FLASH_BYTES}"),
    *("-global", f"nrf51-soc.sram-size={RAM_BYTES}"),
)

BUILDS = (
    Build("mps2-an385", "gcc", options=TRAP, halves=(0,), over_inputs=True),
    Build("mps2-an385", "clang", options=TRAP, halves=(1,), over_inputs=True),
    Build("mps2-an386", "gcc", halves=(0,), over_inputs=True),
    Build("mps2-an386", "clang", halves=(1,)),
    Build("mps3-an547", "gcc", halves=(0,), over_inputs=True),
    Build("mps3-an547", "clang", halves=(1,)),
    Build("riscv32-virt", "gcc", halves=(0,), over_inputs=True),
    Build("riscv32-virt", "clang", halves=(1,), over_inputs=True),
)
MORE_BUILDS = (
    Build("mps2-an385", "gcc", options=TRAP, halves=(1,)),
    Build("mps2-an386", "gcc", halves=(1,)),
    Build("mps2-an386", "clang", "size", "dsp/", halves=(1,)),
    # The M4 runs all of the set; what its neighbours run tells whether they differ.
    Build("mps2-an500", "gcc", "speed", "dsp/", halves=(0,)),
    Build("mps2-an500", "clang", "speed", "dsp/", halves=(1,)),
    Build("mps2-an505", "clang", "speed", "dsp/", halves=(1,)),
    Build("mps2-an505", "gcc", "speed", "dsp/", halves=(0,)),
    Build("mps3-an547", "gcc", "speed", "mve/", halves=(1,)),
    Build("mps3-an547", "clang", halves=(0,)),
    Build(ARMV6M, "gcc", over_inputs=True),
    Build(ARMV6M, "clang", "size", halves=(1,)),
)
"""What is left to the long tests."""
DIALECTS: tuple[tuple[str, Dialect], ...] = (
    *((group, "tflite") for group in GROUPS),
    ("fully_connected", "litert"),
)


def has_kernels(build: Build, group: str, dialect: Dialect) -> bool:
    """Whether the build's set has any of its own."""
    without = {"dsp/": {"others", "elementwise"}, "mve/": {"others"}}.get(build.kernels, set())
    return group not in without and (build.kernels != "mve/" or dialect == "tflite")


def runs(builds: Iterable[Build], dialects: Iterable[tuple[str, Dialect]]) -> list[object]:
    """Of each build the groups that it has kernels for."""
    return [
        pytest.param(build, group, dialect, id="-".join((*build[:3], group, dialect)))
        for group, dialect in dialects
        for build in builds
        if has_kernels(build, group, dialect)
    ]


@pytest.mark.parametrize(("build", "group", "dialect"), runs(BUILDS, DIALECTS))
def test_every_kernel(tmp_path: Path, build: Build, group: str, dialect: Dialect) -> None:
    cases = cases_on(build, group, dialect)
    check_build([c for c in cases if build.over_inputs or not c.is_over_input], build, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize(("build", "group", "dialect"), runs(MORE_BUILDS, DIALECTS))
def test_the_other_halves(tmp_path: Path, build: Build, group: str, dialect: Dialect) -> None:
    check_build(cases_on(build, group, dialect), build, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize(
    ("build", "group", "dialect"),
    runs([build for build in BUILDS if not build.over_inputs], DIALECTS),
)
def test_outputs_over_inputs(tmp_path: Path, build: Build, group: str, dialect: Dialect) -> None:
    cases = [case for case in cases_on(build, group, dialect) if case.is_over_input]
    check_build(cases, build, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize(
    ("build", "group", "dialect"), runs(BUILDS, [(group, "tflite") for group in MORE])
)
def test_more_shapes(tmp_path: Path, build: Build, group: str, dialect: Dialect) -> None:
    check_build(cases_on(build, group, dialect, MORE), build, tmp_path)


def check_build(cases: Sequence[Case], build: Build, folder: Path) -> None:
    """The cases on the build's board, under its compiler."""
    check_on_board(
        cases,
        board_of(build),
        folder,
        toolchain=build.toolchain,
        optimize=build.optimize,
        options=build.options,
    )


def board_of(build: Build) -> Board:
    """The build's board, with room for the models."""
    board = load_board(build.board)
    if build.board != ARMV6M:
        return board
    assert board.emulator is not None
    flash, ram = (
        region.model_copy(update={"bytes": size, "pages": ()})
        for region, size in zip(board.memory, (FLASH_BYTES, RAM_BYTES), strict=True)
    )
    emulator = board.emulator.model_copy(update={"arguments": MEMORY})
    return board.model_copy(update={"memory": (flash, ram), "emulator": emulator})


def cases_on(build: Build, group: str, dialect: Dialect, groups: Groups = GROUPS) -> list[Case]:
    """Compilers optimise for size what was chosen for speed, too: some kernels are for it only."""
    skip_without_oracle(dialect)
    board = load_board(build.board)
    targets = [
        target_for(board, Settings(dialect, optimize))
        for optimize in dict.fromkeys(("speed", build.optimize))
    ]
    return [
        case
        for target in targets
        for half in build.halves
        for case in cases_of(groups[group], half, target, build.kernels)
    ]


@cache
def cases_of(
    group: Callable[[], dict[str, bytes]], half: int, target: Target, kernels: str
) -> list[Case]:
    """Boards of one target share them."""
    models = {name: data for name, data in group().items() if half_of(name) == half}
    return variants(models, target, VECTORS, kernels=kernels)


@pytest.mark.parametrize("board", sorted({build.board for build in BUILDS}))
def test_every_board_runs_both_halves(board: str) -> None:
    """In the long tests where not in `make test`."""
    builds = [build for build in (*BUILDS, *MORE_BUILDS) if build.board == board]
    most = min((build.kernels for build in builds), key=len)  # "": all kernels
    assert {half for build in builds if build.kernels == most for half in build.halves} == {0, 1}


def test_every_set_runs_whole_and_over_its_inputs() -> None:
    """Every kernel of a set, with every model, on one of its boards in `make test`; over its inputs
    with half of the models at least, and with the others in the long tests.
    """
    boards = {"mps2-an385", "mps2-an386", "mps3-an547", "riscv32-virt"}
    whole = [build for build in BUILDS if not build.kernels]
    assert {(b.board, half) for b in whole for half in b.halves} == {
        (board, half) for board in boards for half in (0, 1)
    }
    assert {build.board for build in whole if build.over_inputs} == boards


@pytest.mark.parametrize(("kernels", "board"), [("dsp/", "mps2-an385"), ("mve/", "mps2-an386")])
def test_no_board_runs_twins_in_place_of_assembly(tmp_path: Path, kernels: str, board: str) -> None:
    """Where the compiler is not told of the extension, the firmware does not build."""
    models = dict(list(GROUPS["fully_connected"]().items())[:1])
    cases = variants(models, TARGETS[kernels[:-1]], 1, kernels=kernels)
    with pytest.raises(CheckFailed) as caught:
        check_on_board(cases, board, tmp_path)
    assert "twins would be tested in place of assembly" in str(caught.value.value)
