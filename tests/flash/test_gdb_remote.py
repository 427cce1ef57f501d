"""GDB remote: the exact commands for each server, and a load into an empty QEMU."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from exporter import process
from exporter.board import Board, ChipId, CoreId, load_board
from exporter.board.flashers import GdbRemoteSettings
from exporter.build.firmware import Settings, firmware_for
from exporter.build.image import Image, Segment
from exporter.build.image_files import read_image
from exporter.errors import BadInput, LinkFailed, MissingTool
from exporter.flash import FlashOptions
from exporter.flash.gdb_remote import (
    GdbRemoteFlasher,
    check_compared,
    gdb_argv,
    load_commands,
    read_commands,
    server_of,
    start_commands,
)
from exporter.hil.real_board import require_image
from exporter.hil.session import expected_identity
from exporter.link.device import Device, require_identity
from exporter.link.transport import SocketTransport
from tests.flash.empty_machine import EmptyMachine, empty_machine
from tests.flash.images import random_image
from tests.platform.probe import need_tool

pytest_plugins = ["tests.hil.fixtures"]

SETTINGS = GdbRemoteSettings(name="gdb_remote")
CPUID = ChipId(address=0xE000ED00, mask=0xFF00FFF0, value=0x4100C240)
"""Armv7-M Architecture Reference Manual, B3.2.3: Arm, Cortex-M4."""

OPENOCD = "Open On-Chip Debugger 0.12.0"
BLACK_MAGIC = "Black Magic Probe (Firmware v1.10.0)"
QEMU = "unknown command: 'version'"


def board(chip_id: ChipId | None = CPUID, **changes: Any) -> Board:
    """mps2-an386 as if it were real: the server has the chip."""
    settings = {"name": "gdb_remote", "chip_id": chip_id.model_dump() if chip_id else None}
    base = load_board("mps2-an386").model_dump() | {"flashers": [settings], "emulator": None}
    return Board.model_validate(base | changes)


@pytest.mark.parametrize(
    ("answer", "commands", "expected"),
    [
        (OPENOCD, "read", ["monitor reset halt", "READ", "disconnect"]),
        (OPENOCD, "load", ["monitor reset halt", "load", "compare-sections", "disconnect"]),
        (OPENOCD, "start", ["monitor reset halt", "monitor reset run", "disconnect"]),
        (BLACK_MAGIC, "read", ["monitor swdp_scan", "attach 1", "READ", "disconnect"]),
        (
            *(BLACK_MAGIC, "load"),
            ["monitor swdp_scan", "attach 1", "load", "compare-sections", "disconnect"],
        ),
        (BLACK_MAGIC, "start", ["monitor swdp_scan", "attach 1", "kill"]),
        (QEMU, "read", ["READ", "disconnect"]),
        (QEMU, "load", ["load", "compare-sections", "disconnect"]),
        (QEMU, "start", ["monitor system_reset", "detach"]),
        ("J-Link: no such command", "load", ["load", "compare-sections", "disconnect"]),
        ("J-Link: no such command", "start", ["monitor reset", "detach"]),
    ],
)
def test_commands(answer: str, commands: str, expected: list[str]) -> None:
    server = server_of(answer, SETTINGS)
    made = {
        "read": read_commands(server, CPUID),
        "load": load_commands(server),
        "start": start_commands(server),
    }[commands]
    register = 'printf "chip 0x%08x\\n", *(unsigned int *) 0xe000ed00'
    assert list(made) == [register if step == "READ" else step for step in expected]


def test_a_core_is_told_by_a_register_of_its_own() -> None:
    commands = read_commands(server_of("", SETTINGS), CoreId(register_name="misa", value=1))
    assert commands == ('printf "chip 0x%08x\\n", (unsigned int) $misa', "disconnect")


def test_argv() -> None:
    argv = gdb_argv("gdb-multiarch", "localhost:3333", ("load",), Path("/tmp/image.hex"))
    assert argv == [
        *("gdb-multiarch", "-batch", "-nx", "-ex", "set confirm off", "-ex", "set width 0"),
        *("-ex", "set tcp auto-retry off", "-ex", "set mem inaccessible-by-default off"),
        *("-ex", "exec-file /tmp/image.hex"),
        *("-ex", "target extended-remote localhost:3333", "-ex", "load"),
    ]


@pytest.mark.parametrize("port", [None, "", "localhost:3333 -ex load", "| sh", "a\nshell ls"])
def test_a_port_is_one_word(port: str | None) -> None:
    with pytest.raises(BadInput, match="no port of a GDB server"):
        GdbRemoteFlasher().write(board(), random_image(0, 64), FlashOptions(port=port))


def test_an_image_beside_the_flash_is_refused_before_gdb_runs() -> None:
    image = random_image(0x20000000, 64)
    with pytest.raises(BadInput, match="outside"):
        GdbRemoteFlasher().write(board(), image, FlashOptions(port="localhost:1"))


def test_a_board_that_does_not_say_its_chip_is_refused() -> None:
    with pytest.raises(BadInput, match="knows its chip"):
        GdbRemoteFlasher().write(board(None), random_image(0, 64), FlashOptions(port="a:1"))


@pytest.mark.parametrize(
    "output",
    [
        "",
        "Section .sec1, range 0x0 -- 0x40: MIS-MATCHED!\n",
        "Section .sec1, range 0x0 -- 0x40: matched.\n",  # and the second one?
        "Section .sec1, range 0x0 -- 0x40: matched.\nSection .sec2, range 0x80 -- 0x90: matched.\n",
    ],
)
def test_only_a_complete_comparison_counts(output: str) -> None:
    image = Image.of([Segment(0, bytes(64)), Segment(0x80, bytes(32))])
    check_compared(
        "Section .sec1, range 0x0 -- 0x40: matched.\nSection .sec2, range 0x80 -- 0xa0: matched.\n",
        image,
    )
    with pytest.raises(LinkFailed, match="does not hold"):
        check_compared(output, image)


def test_without_gdb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool, match="gdb-multiarch"):
        GdbRemoteFlasher().write(board(), random_image(0, 64), FlashOptions(port="localhost:1"))


# --- against QEMU ---------------------------------------------------------------------------------


@pytest.mark.emulator
@pytest.mark.toolchain
def test_a_load_into_an_empty_machine(own_cache: Path, small_model: Path) -> None:
    need_tool("gdb-multiarch")
    real = load_board("mps2-an386")
    firmware = firmware_for(small_model, real, Settings())
    image = read_image(firmware.firmware.elf, real)
    with empty_machine(real) as machine:
        GdbRemoteFlasher().write(board(), image, FlashOptions(port=machine.gdb))
        with Device(SocketTransport(machine.serial)) as device:
            require_identity(device.identity, expected_identity(firmware))
            require_image(device, real, firmware.firmware.elf)


@pytest.mark.emulator
def test_another_chip_is_left_as_it_is() -> None:
    need_tool("gdb-multiarch")
    other = ChipId(address=0xE000ED00, mask=0xFF00FFF0, value=0x4100C270)  # Cortex-M7
    with empty_machine(load_board("mps2-an386")) as machine:
        with pytest.raises(BadInput, match="not the chip") as refused:
            GdbRemoteFlasher().write(
                board(other), random_image(0, 4096), FlashOptions(port=machine.gdb)
            )
        assert "0x410FC24" in str(refused.value.value)
        assert memory(machine, 0, 64) == bytes(64)


@pytest.mark.emulator
def test_a_byte_that_changes_after_the_load_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seeded fault: between `load` and `compare-sections` one bit of the memory turns."""
    need_tool("gdb-multiarch")
    image = random_image(0, 4096)
    turned = image.segments[0].data[1234] ^ 1
    run = process.run

    def tampered(argv: list[str], **options: Any) -> process.Completed:
        if "compare-sections" in argv:
            at = argv.index("compare-sections")
            fault = f"set *(unsigned char *) 1234 = {turned}"
            argv = [*argv[:at], fault, "-ex", *argv[at:]]
        return run(argv, **options)

    monkeypatch.setattr(process, "run", tampered)
    with empty_machine(load_board("mps2-an386")) as machine:
        with pytest.raises(LinkFailed, match="does not hold") as failure:
            GdbRemoteFlasher().write(board(), image, FlashOptions(port=machine.gdb))
        assert "MIS-MATCHED" in str(failure.value.value)
        monkeypatch.undo()
        GdbRemoteFlasher().write(board(), image, FlashOptions(port=machine.gdb))  # the retry works


@pytest.mark.emulator
def test_no_server() -> None:
    need_tool("gdb-multiarch")
    with pytest.raises(LinkFailed, match="no GDB server answers") as failure:
        GdbRemoteFlasher().write(board(), random_image(0, 64), FlashOptions(port="127.0.0.1:1"))
    assert "refused" in str(failure.value.value)


def memory(machine: EmptyMachine, address: int, size: int) -> bytes:
    """Bytes of the machine, read by GDB alone."""
    commands = (f"target remote {machine.gdb}", f"x/{size}xb {address}", "disconnect")
    argv = ["gdb-multiarch", "-batch", "-nx", *(w for c in commands for w in ("-ex", c))]
    shown = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
    rows = [line.partition(":")[2] for line in shown.splitlines() if line.startswith("0x")]
    return bytes(int(word, 16) for row in rows for word in row.split() if word.startswith("0x"))
