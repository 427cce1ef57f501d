"""Placement: everything once, inside its region, the hottest in the fastest; errors with names."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from exporter.board import Board, MemoryRegion, Placeable, all_boards, load_board
from exporter.errors import CheckFailed
from exporter.plan.placement import Placement, heat, place, use_by_region
from exporter.plan.program import Program
from tests.hil.support import picture_model
from tests.ops.harness import compile_graph
from tests.render.programs import small_program

BASE = load_board("mps2-an386")


def board_with(*regions: MemoryRegion, stack_bytes: int = 1024) -> Board:
    """A board with this memory; addresses are given in order."""
    origin, placed = 0, []
    for region in regions:
        placed.append(region.model_copy(update={"origin": origin}))
        origin += region.bytes
    fields = BASE.model_dump() | {"memory": placed, "stack_bytes": stack_bytes}
    return Board.model_validate(fields)


def flash(name: str, size: int, cost: int = 0, *holds: Placeable) -> MemoryRegion:
    return MemoryRegion(
        name=name, kind="flash", origin=0, bytes=size, access_cost=cost, holds=holds or None
    )


def ram(name: str, size: int, cost: int = 0, *holds: Placeable) -> MemoryRegion:
    return MemoryRegion(
        name=name, kind="ram", origin=0, bytes=size, access_cost=cost, holds=holds or None
    )


@pytest.fixture(scope="module")
def picture() -> Program:
    """A convolution read at many positions, and a larger dense layer read once."""
    return compile_graph(picture_model(channels=8, size=24))[1]


def test_the_boards_of_the_foundation_need_no_sections_for_a_small_model() -> None:
    for board in all_boards():
        assert place(small_program(), board).is_usual, board.name


def random_board(seed: int) -> Board:
    """A program flash and a data RAM, then some of either kind, of any size and speed."""
    rng = np.random.default_rng(seed)

    def region(number: int, kind: str) -> MemoryRegion:
        choices: list[tuple[Placeable, ...]] = [(), ("weights",)]
        if kind == "ram":
            choices += [("arena",), ("arena", "weights")]
        make = flash if kind == "flash" else ram
        made = make(f"{kind} {number}", int(2 ** rng.uniform(8, 17)), int(rng.integers(4)))
        return made.model_copy(update={"holds": choices[int(rng.integers(len(choices)))]})

    first = flash("program", int(2 ** rng.uniform(10, 16)), int(rng.integers(3)), "weights")
    data = ram("data", int(2 ** rng.uniform(10.1, 15)), int(rng.integers(3)), "arena", "weights")
    kinds = rng.choice(["flash", "ram"], int(rng.integers(0, 5)))
    return board_with(first, data, *(region(n, kind) for n, kind in enumerate(kinds)))


def test_everything_is_placed_once_inside_its_region() -> None:
    """Over random boards and models; many fit with a choice, some fit nowhere."""
    outcomes = {"usual": 0, "apart": 0, "copied": 0, "refused": 0}
    for seed in range(400):
        program, board = small_program(seed % 8), random_board(seed)
        try:
            placement = place(program, board)
        except CheckFailed:
            outcomes["refused"] += 1
            continue
        assert place(program, board) == placement
        check_placement(program, board, placement)
        outcomes["usual"] += placement.is_usual
        outcomes["apart"] += placement.arena_is_apart
        outcomes["copied"] += any(part.source for part in placement.weights)
    assert min(outcomes.values()) > 10, outcomes


def check_placement(program: Program, board: Board, placement: Placement) -> None:
    names = [name for part in placement.weights for name in part.names]
    assert sorted(names) == sorted(constant.name for constant in program.constants)
    assert placement.arena.may_hold("arena") and placement.arena.kind == "ram"
    for part in placement.weights:
        assert part.region.may_hold("weights")
        assert (part.source is not None) == (part.region.kind == "ram")
        assert part.source is None or part.source.kind == "flash"
    for use in use_by_region(program, board):
        stack = board.stack_bytes if use.region == board.region("ram").name else 0
        assert stack + use.arena_bytes + use.weights_bytes + use.copies_bytes <= use.bytes
    check_speed(program, board, placement)


def check_speed(program: Program, board: Board, placement: Placement) -> None:
    """No faster region would have had the arena; no hotter array as small is in a slower one."""
    for region in board.memory:
        if region.may_hold("arena") and region.access_cost < placement.arena.access_cost:
            spare = board.stack_bytes + 8192 if region == board.region("ram") else 0
            assert program.arena_bytes + spare + 128 > region.bytes
    heats = heat(program)
    for hot, cold in itertools.permutations(program.constants, 2):
        if heats[hot.name] > heats[cold.name] and hot.bytes + 3 < cold.bytes:
            slow, fast = placement.region_of(hot.name), placement.region_of(cold.name)
            assert slow.access_cost <= fast.access_cost or slow == board.region("flash")


def test_heat_is_reads_per_byte(picture: Program) -> None:
    """A convolution's weights are read at each of its positions, a dense layer's once."""
    heats = heat(picture)
    by_kind = {step.kind: {heats[name] for name in step.constants} for step in picture.steps}
    assert by_kind["FULLY_CONNECTED"] == {1}
    convolution = next(step for step in picture.steps if step.kind == "CONV_2D")
    shape = convolution.operands[-1][1].shape
    assert by_kind["CONV_2D"] == {math.prod(shape[:3])} and shape[1] == 24


def test_the_arena_goes_to_the_fastest_ram_with_room(picture: Program) -> None:
    need = picture.arena_bytes
    program, slow = flash("flash", 1 << 20), ram("PSRAM", 1 << 20, 5)
    for tcm_bytes, sram_bytes, expected in (
        (need + 1024 + 8192 + 128, 1 << 20, "TCM"),
        (need + 1024 + 8192 + 124, 1 << 20, "SRAM"),  # code and data need the rest
        (need, need + 128, "SRAM"),
        (need, need + 124, "PSRAM"),
    ):
        board = board_with(program, ram("TCM", tcm_bytes), slow, ram("SRAM", sram_bytes, 1))
        assert place(picture, board).arena.name == expected
    only = board_with(program, ram("TCM", need + 1024))
    assert place(picture, only).arena.name == "TCM"  # the linker knows whether it fits


def test_hot_weights_are_copied_where_the_board_allows(picture: Program) -> None:
    internal, external = flash("flash", 1 << 20, 2), flash("QSPI", 1 << 20, 9)
    room = picture.arena_bytes + 1024 + 8192 + 128
    hot = sum(-(-c.bytes // 4) * 4 for c in picture.constants if heat(picture)[c.name] > 1)
    board = board_with(internal, ram("TCM", room + hot, 0, "arena", "weights"), external)
    parts = {part.region.name: part for part in place(picture, board).weights}
    assert {heat(picture)[name] > 1 for name in parts["TCM"].names} == {True}
    assert parts["TCM"].bytes == hot
    assert parts["TCM"].source == board.memory[2]  # read once, so from the slowest
    assert {heat(picture)[name] for name in parts["flash"].names} == {1}
    forbidden = board_with(internal, ram("TCM", room + hot), external)
    assert place(picture, forbidden).is_usual


def test_what_fits_nowhere_is_refused_with_the_regions(picture: Program) -> None:
    small = board_with(flash("flash", 1 << 20), ram("TCM", 2048), ram("SRAM", 1000, 1))
    with pytest.raises(CheckFailed, match="bytes too much RAM, most of it for layer") as caught:
        place(picture, small)
    assert caught.value.allowed == "1024 bytes in TCM, 1000 bytes in SRAM"
    board = board_with(flash("flash", 1024), ram("TCM", 1 << 20), flash("QSPI", 2048, 3))
    with pytest.raises(CheckFailed, match="too much flash") as caught:
        place(picture, board)
    assert caught.value.allowed == "1024 bytes in flash, 2048 bytes in QSPI"
    over = picture.weights_bytes - 3072
    assert f"{over} bytes too much flash" in str(caught.value)


def test_the_checks_above_see_what_is_wrong(picture: Program) -> None:
    board = board_with(flash("flash", 40000, 1), ram("TCM", 1 << 16, 0, "arena", "weights"))
    good = place(picture, board)
    check_placement(picture, board, good)
    part = good.weights[0]
    for wrong in (
        replace(good, weights=good.weights[1:]),
        replace(good, weights=(*good.weights, part)),
        replace(good, arena=board.region("flash")),
        replace(good, weights=(replace(part, source=None), *good.weights[1:])),
    ):
        with pytest.raises(AssertionError):
            check_placement(picture, board, wrong)
