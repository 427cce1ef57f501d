"""The STM32 boards that QEMU has compute what the flatbuffer says; the others build."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.board import all_boards, load_board
from exporter.build import measure_image
from exporter.build.firmware import Settings, firmware_for
from exporter.hil.session import open_device
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import check_verification, verify_on_board
from exporter.toolchain import ToolchainName

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = [pytest.mark.usefixtures("own_cache"), pytest.mark.toolchain]

STM32 = [board.name for board in all_boards() if board.mcu.startswith("STM32")]
EMULATED = [name for name in STM32 if load_board(name).evidence == "emulated"]


def test_which_boards_there_are() -> None:
    assert set(STM32) == {
        *("nucleo-f401re", "nucleo-f411re", "nucleo-f446re", "stm32f4discovery", "netduinoplus2"),
        *("stm32vldiscovery", "nucleo-l476rg", "b-l475e-iot01a", "nucleo-l4r5zi"),
        *("nucleo-g071rb", "nucleo-h743zi"),
    }
    assert EMULATED == ["netduinoplus2", "stm32vldiscovery"]


@pytest.mark.emulator
@pytest.mark.parametrize("name", EMULATED)
def test_a_model_is_verified(name: str, small_model: Path) -> None:
    firmware = firmware_for(small_model, load_board(name), Settings())
    vectors = make_vectors([port.tensor for port in firmware.program.inputs], 3)
    result = verify_on_board(firmware, vectors)
    assert result.bit_exact and len(vectors) == 3
    check_verification(firmware, result)


@pytest.mark.emulator
@pytest.mark.parametrize("name", EMULATED)
def test_what_qemu_does_not_have_is_told_as_absent(name: str, small_model: Path) -> None:
    """Neither system memory, with the unique id, nor timers that could be a load."""
    firmware = firmware_for(small_model, load_board(name), Settings())
    with open_device(firmware) as device:
        assert device.identity.chip_id == ""
        assert device.load(1000, 100) is None


@pytest.mark.long
@pytest.mark.parametrize("toolchain", ["gcc", "clang"])
@pytest.mark.parametrize("name", STM32)
def test_every_board_builds(name: str, toolchain: ToolchainName, small_model: Path) -> None:
    board = load_board(name)
    firmware = firmware_for(small_model, board, Settings(toolchain=toolchain))
    size = measure_image(firmware.firmware.elf)
    assert 0 < size.image_bytes < board.flash_bytes
    assert board.stack_bytes < size.ram_bytes < board.ram_bytes
