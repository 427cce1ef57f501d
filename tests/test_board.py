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
        "cortex-m0": "generic",
        "cortex-m0plus": "generic",
        "cortex-m3": "generic",
        "cortex-m4": "dsp",
        "cortex-m7": "dsp",
        "cortex-m33": "dsp",
        "cortex-m55": "mve",
        "rv32imac": "generic",
        "rv32imc": "generic",
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


@pytest.mark.parametrize("name", ["../boards/host", "/etc/passwd"])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(BadInput, match="unknown board"):
        load_board(name)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(BadInput, match=r"board file absent\.yaml cannot be read") as caught:
        load_board("folder/absent.yaml")
    assert "No such file" in str(caught.value.value)


@pytest.mark.parametrize(
    ("before", "after", "value", "allowed"),
    [
        ("stack_bytes: 16384", "stack_bytes: 16385", "the file", "multiple of 16"),
        ("stack_bytes: 16384", "stack_bytes: 0", "stack_bytes: 0", "greater than 0"),
        ("kind: ram", "kind: flash", "the file", "one of kind ram"),
        (
            "receive_ring_bytes: 2048",
            "receive_ring_bytes: 2000",
            "uart.receive_ring_bytes: 2000",
            "power of two",
        ),
        ("origin: 0x00000000", "origin: -4", "memory.0.origin: -4", "greater than or equal to 0"),
        ("evidence: emulated", "evidence: hoped", "evidence: 'hoped'", "'emulated', 'simulated'"),
        (
            "  baud: 115200",
            "  parity: 0",
            "uart.baud is missing, and 1 more: uart.parity",
            "a value",
        ),
        ("- {name: emulator}", "- {name: wand}", "flashers.0.name: 'wand'", "'stm32_rom'"),
        ("core: cortex-m4\n", "", "core is missing", "a value"),
        ("link_chunk_bytes: 1024\n", "", "link_chunk_bytes is missing", "largest payload of one"),
        (
            "origin: 0x20000000",
            "origin: 0x00200000",
            "the file",
            "ZBT SSRAM2 and 3 [0x00200000, 0x00600000)",
        ),
        ("name: ZBT SSRAM2 and 3", "name: ZBT SSRAM1", "the file", "called ZBT SSRAM1"),
        ("bytes: 4194304}", "bytes: 4194304, holds: [arena]}", "memory.0", "SSRAM1 of kind flash"),
        ("bytes: 4194304}", "bytes: 4194304, holds: []}", "the file", "no region holds arena"),
        (
            "bytes: 4194304}",
            "bytes: 4194304, holds: [stack]}",
            "memory.0.holds.0: 'stack'",
            "'arena' or 'weights'",
        ),
        (
            "bytes: 4194304}",
            "bytes: 4194304, access_cost: -1}",
            "memory.0.access_cost: -1",
            "greater than or equal to 0",
        ),
    ],
)
def test_a_broken_file_is_refused(
    tmp_path: Path, before: str, after: str, value: str, allowed: str
) -> None:
    refused = refusal(tmp_path, before, after)
    assert "board file mps2-an386.yaml cannot be used" in refused.what
    assert str(refused.value).startswith(value)
    assert allowed in str(refused.allowed)


@pytest.mark.parametrize(
    ("before", "after", "value", "meant"),
    [
        ("stack_bytes:", "stack_bites:", "stack_bytes is missing, and 1 more: stack_bites", None),
        ("evidence:", "timmer: 1\nevidence:", "timmer, which is no field", "timer"),
        ("  baud:", "  base_addres: 1\n  baud:", "uart.base_addres, which is", "base_address"),
        ("emulator}", "emulator, machine: x}", "flashers.0.emulator.machine, which is", None),
        ("    flags:", "    flag: []\n    flags:", "compilers.gcc.flag, which is", "flags"),
    ],
)
def test_a_field_that_there_is_not(
    tmp_path: Path, before: str, after: str, value: str, meant: str | None
) -> None:
    refused = refusal(tmp_path, before, after)
    assert str(refused.value).startswith(value)
    if meant is not None:
        assert refused.next_step == f"did you mean {meant}?"
        assert meant in str(refused.allowed)


def test_what_is_no_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    refused = refusal(tmp_path, "mcu:", "  mcu:")
    assert "cannot be read" in refused.what and "line 8" in str(refused.value)


def refusal(tmp_path: Path, before: str, after: str) -> BadInput:
    """What is said of mps2-an386.yaml with this change."""
    text = (board_folder() / "mps2-an386.yaml").read_text(encoding="utf-8")
    assert before in text
    path = tmp_path / "mps2-an386.yaml"
    path.write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        read_board(path)
    return caught.value


def test_a_board_of_ones_own_keeps_to_its_own_name(tmp_path: Path) -> None:
    text = (board_folder() / "mps2-an386.yaml").read_text(encoding="utf-8")
    same = tmp_path / "mps2-an386.yaml"
    same.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match="has the name of one that comes with nanoexport"):
        load_board(str(same))
    other = tmp_path / "other.yaml"
    other.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match="another name than its file") as caught:
        load_board(str(other))
    assert (caught.value.value, caught.value.allowed) == ("name: mps2-an386", "other")


def test_a_supplied_board_may_be_named_by_its_file() -> None:
    assert load_board(str(board_folder() / "host.yaml")) is load_board("host")
