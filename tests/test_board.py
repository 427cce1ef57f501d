"""Boards: every file fits the schema, and what does not is refused with the reason."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from exporter.board import (
    all_boards,
    board_folder,
    board_names,
    load_board,
    read_board,
    schema_json,
)
from exporter.errors import BadInput
from exporter.flash import FLASHERS
from exporter.render.environment import template_folder
from exporter.render.platform import drivers_of

FOUNDATION = {
    "host",
    "mps2-an385",
    "mps2-an386",
    "mps2-an500",
    "mps2-an505",
    "mps3-an547",
    "riscv32-virt",
}


def test_the_boards_of_the_foundation_are_there() -> None:
    assert set(board_names()) >= FOUNDATION
    assert tuple(board.name for board in all_boards()) == board_names()


@pytest.mark.parametrize("name", board_names())
def test_what_a_board_refers_to_exists(name: str) -> None:
    board = load_board(name)
    platform = template_folder() / "platform" / board.platform
    assert platform.is_dir()
    folders = (platform, template_folder() / "platform" / "shared")
    assert {settings.name for settings in board.flashers} <= FLASHERS.keys()
    for driver in drivers_of(board, timer=board.timer):
        assert any((folder / "drivers" / f"{driver}.c").is_file() for folder in folders), driver
    assert (board.evidence == "emulated") == (board.emulator is not None)


@pytest.mark.parametrize("name", board_names())
def test_regions_do_not_overlap(name: str) -> None:
    regions = sorted(load_board(name).memory, key=lambda region: region.origin)
    for lower, upper in itertools.pairwise(regions):
        assert lower.origin + lower.bytes <= upper.origin


def test_sizes_are_those_of_the_linked_regions() -> None:
    board = load_board("mps3-an547")
    assert (board.flash_bytes, board.ram_bytes) == (524288, 524288)


def test_regions_hold_what_is_usual_unless_the_board_says_more() -> None:
    board = load_board("mps3-an547")
    held = {r.name: {w for w in ("arena", "weights") if r.may_hold(w)} for r in board.memory}
    assert held == {
        "ITCM": {"weights"},
        "DTCM": {"arena", "weights"},
        "SRAM": {"arena", "weights"},
        "QSPI flash": {"weights"},
        "DDR4": {"arena"},
    }
    names = [board.linker_name(region) for region in board.memory]
    assert names == ["FLASH", "RAM", "RAM2", "FLASH2", "RAM3"]


def test_kernel_sets_follow_the_core() -> None:
    expected = {
        "cortex-m3": "generic",
        "cortex-m4": "dsp",
        "cortex-m7": "dsp",
        "cortex-m33": "dsp",
        "cortex-m55": "mve",
        "rv32imac": "generic",
        "host": "generic",
    }
    assert {board.core: board.instruction_set for board in all_boards()} == expected


def test_boards_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_board("host").name = "other"


def test_schema_is_current() -> None:
    """Update: python -c "from exporter.board import schema_json as s; print(s(), end='')"."""
    assert (board_folder() / "schema.json").read_text(encoding="utf-8") == schema_json()


@pytest.mark.parametrize(
    ("name", "nearest"), [("mps2-an368", "mps2-an386"), ("riscv-virt", "riscv32-virt")]
)
def test_unknown_board_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_board(name)
    assert caught.value.value == name
    assert nearest in str(caught.value.next_step)
    assert "mps3-an547" in str(caught.value.allowed)


def test_unknown_board_without_a_near_one() -> None:
    with pytest.raises(BadInput, match="unknown board") as caught:
        load_board("")
    assert "nanoexport boards" in str(caught.value.next_step)


@pytest.mark.parametrize("name", ["../boards/host", "host.yaml", "/etc/passwd"])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(BadInput, match="unknown board"):
        load_board(name)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("stack_bytes: 16384", "stack_bytes: 16385", "multiple of 16"),
        ("stack_bytes: 16384", "stack_bites: 16384", "stack_bites"),
        ("kind: ram", "kind: flash", "one of kind ram"),
        ("receive_ring_bytes: 2048", "receive_ring_bytes: 2000", "power of two"),
        ("origin: 0x00000000", "origin: -4", "origin"),
        ("evidence: emulated", "evidence: hoped", "evidence"),
        ("emulator:\n", "simulator:\n", "simulator"),
        ("mcu:", "  mcu:", "line 8"),
        ("origin: 0x20000000", "origin: 0x00200000", "ZBT SSRAM2 and 3 [0x00200000, 0x00600000)"),
        ("name: ZBT SSRAM2 and 3", "name: ZBT SSRAM1", "two regions are called ZBT SSRAM1"),
        ("bytes: 4194304}", "bytes: 4194304, holds: [arena]}", "ZBT SSRAM1 of kind flash holds"),
        ("bytes: 4194304}", "bytes: 4194304, holds: []}", "no region holds arena: add it"),
        ("bytes: 4194304}", "bytes: 4194304, holds: [stack]}", "'arena' or 'weights'"),
        ("bytes: 4194304}", "bytes: 4194304, access_cost: -1}", "memory.0.access_cost"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, before: str, after: str, reason: str) -> None:
    text = (board_folder() / "mps2-an386.yaml").read_text(encoding="utf-8")
    assert before in text
    path = tmp_path / "mps2-an386.yaml"
    path.write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(BadInput, match="cannot be used") as caught:
        read_board(path)
    assert reason in str(caught.value.value)
