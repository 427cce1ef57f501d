"""The emulator flasher: the exact command, failures that say what to do, nothing left running."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from exporter import process
from exporter.board import board_names, load_board
from exporter.errors import BadInput, InternalError, LinkFailed, MissingTool
from exporter.flash import FLASHERS, Emulator, flasher_for, start
from exporter.flash.emulator import emulator_argv
from tests.platform.probe import need_tool
from tests.processes import wait_until_gone


def test_argv_of_a_cortex_m() -> None:
    argv = emulator_argv(
        load_board("mps2-an386"), Path("firmware.elf"), serial_descriptor=7, control_descriptor=9
    )
    assert " ".join(argv) == (
        "qemu-system-arm -machine mps2-an386 -icount shift=0 -display none -nodefaults"
        " -nic none -chardev socket,id=control,fd=9 -mon chardev=control,mode=control"
        " -chardev socket,id=link,fd=7 -serial chardev:link"
        " -kernel firmware.elf"
    )


def test_argv_of_a_risc_v_without_counting() -> None:
    argv = emulator_argv(
        load_board("riscv32-virt"),
        Path("firmware.elf"),
        serial_descriptor=3,
        control_descriptor=4,
        instruction_counting=False,
        arguments=["-S"],
    )
    assert " ".join(argv) == (
        "qemu-system-riscv32 -machine virt -bios none -display none -nodefaults"
        " -nic none -chardev socket,id=control,fd=4 -mon chardev=control,mode=control"
        " -chardev socket,id=link,fd=3 -serial chardev:link"
        " -S -kernel firmware.elf"
    )


def test_a_board_without_emulator() -> None:
    with pytest.raises(InternalError, match="no emulator"):
        emulator_argv(
            load_board("host"), Path("firmware.elf"), serial_descriptor=3, control_descriptor=4
        )


@pytest.mark.parametrize("name", board_names())
def test_every_board_has_a_flasher(name: str) -> None:
    flasher = flasher_for(load_board(name))
    assert FLASHERS[flasher.name] is flasher
    assert (Path(process.__file__).parent / "flash" / f"{flasher.name}.py").is_file()


@pytest.mark.parametrize("name", ["mps2-an386", "host"])
def test_a_missing_image(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="no image"):
        start(load_board(name), tmp_path / "firmware.elf")


def test_missing_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tmp_path / "firmware.elf"
    image.touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool) as caught:
        Emulator(load_board("riscv32-virt"), image)
    assert "Debian package qemu-system-misc" in str(caught.value.next_step)


@pytest.mark.emulator
def test_a_qemu_that_ends_at_once_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    need_tool("qemu-system-arm")
    image = tmp_path / "firmware.elf"
    image.touch()
    with (
        caplog.at_level(logging.INFO),
        pytest.raises(LinkFailed, match="ended at once with exit code 1") as caught,
    ):
        Emulator(load_board("mps2-an386"), image, arguments=["-no-such-option"])
    assert "no-such-option" in str(caught.value.value)
    assert "qemu-system-arm -machine mps2-an386" in caplog.text


@pytest.mark.emulator
def test_an_image_that_cannot_be_loaded(tmp_path: Path) -> None:
    need_tool("qemu-system-riscv32")
    image = tmp_path / "firmware.elf"
    image.touch()
    with pytest.raises(LinkFailed, match="ended at once") as caught:
        Emulator(load_board("riscv32-virt"), image)
    assert "could not load kernel" in str(caught.value.value)


@pytest.mark.emulator
def test_stop_ends_qemu_and_the_stream(tmp_path: Path) -> None:
    need_tool("qemu-system-arm")
    image = tmp_path / "firmware.elf"
    image.write_bytes(bytes(64))
    with Emulator(load_board("mps2-an386"), image, arguments=["-S"]) as emulator:
        assert emulator.alive()
        pid = emulator.pid
    assert wait_until_gone(pid)
    assert not emulator.alive()
    assert emulator.connection.fileno() == -1
    emulator.stop()  # again, harmless


@pytest.mark.emulator
def test_the_end_of_qemu_is_the_end_of_the_stream(tmp_path: Path) -> None:
    """A crash of the emulator is seen at once: nobody waits for a deadline."""
    need_tool("qemu-system-arm")
    image = tmp_path / "firmware.elf"
    image.write_bytes(bytes(64))
    with Emulator(load_board("mps2-an386"), image, arguments=["-S"]) as emulator:
        os.kill(emulator.pid, 9)
        emulator.connection.settimeout(10)
        assert emulator.connection.recv(1) == b""
        assert wait_until_gone(emulator.pid)
