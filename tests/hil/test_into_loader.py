"""Firmware that is asked to go to its boot loader: what answers, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.build.firmware import Settings, firmware_for
from exporter.flash import FlashOptions, NativeProcess
from exporter.flash.stm32_rom import Stm32RomFlasher
from exporter.hil.into_loader import ask_for_loader
from exporter.hil.real_board import aim
from exporter.link.device import WrongIdentity
from tests.flash.images import flash_board
from tests.flash.serial_model import SerialModel

pytest_plugins = ["tests.hil.fixtures"]


class Silent(SerialModel):
    """Something that hears and says nothing."""

    def boot(self) -> None:
        while True:
            self.take(1)


def test_firmware_goes_and_another_board_stays(small_model: Path, own_cache: Path) -> None:
    host = load_board("host")
    firmware = firmware_for(small_model, host, Settings())
    with NativeProcess(firmware.firmware.elf) as process, pytest.raises(WrongIdentity):
        ask_for_loader(load_board("mps2-an386"), process.port)
    with NativeProcess(firmware.firmware.elf) as process:
        assert ask_for_loader(host, process.port)


def test_silence_and_absence_are_no_error(tmp_path: Path) -> None:
    board = load_board("mps2-an386")
    with Silent() as thing:
        assert not ask_for_loader(board, thing.path)
        assert thing.received
    assert not ask_for_loader(board, str(tmp_path / "ttyACM0"))
    assert not ask_for_loader(board, None)


def test_flashers_are_given_the_question() -> None:
    settings = {"name": "stm32_rom", "family": "F4", "product_id": 0x433, "entry": "BOOT0"}
    board = flash_board(settings, {"origin": 0x08000000, "bytes": 0x8000})
    with Silent() as thing:
        target = aim(board, Stm32RomFlasher(), FlashOptions(port=thing.path))
        assert not target.options.to_loader()
        assert thing.received, "the firmware was asked"
