"""The digits network fits the smallest boards: 8 KB of RAM and 128 KB of flash, link included."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from exporter.board import Board, MemoryRegion, load_board
from exporter.build.firmware import Settings, firmware_for
from exporter.convert import convert
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import check_verification, verify_on_board

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"

RAM_BYTES, FLASH_BYTES = 8 * 1024, 128 * 1024

pytestmark = [
    pytest.mark.toolchain,
    pytest.mark.emulator,
    pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="needs TensorFlow"),
    pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc"),
    pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="needs qemu-system-arm"),
]


@pytest.fixture
def small_board() -> Board:
    """A Cortex-M3 with the memory of an STM32F100RB, run on the MPS2 board's peripherals."""
    board = load_board("mps2-an385")
    assert board.uart is not None
    flash, ram = board.region("flash"), board.region("ram")
    return board.model_copy(
        update={
            "memory": (
                MemoryRegion(name="flash", kind="flash", origin=flash.origin, bytes=FLASH_BYTES),
                MemoryRegion(name="ram", kind="ram", origin=ram.origin, bytes=RAM_BYTES),
            ),
            "stack_bytes": 1024,
            "link_chunk_bytes": 256,
            "uart": board.uart.model_copy(update={"receive_ring_bytes": 512}),
        }
    )


def test_digits_run_in_8_kb(small_board: Board, tmp_path: Path) -> None:
    model = tmp_path / "digits.tflite"
    convert(DIGITS / "digits.keras", DIGITS / "calibration.npz", model)
    firmware = firmware_for(model, small_board, Settings(), cache=tmp_path / "cache")
    assert firmware.image.ram_bytes <= RAM_BYTES
    assert firmware.image.image_bytes <= FLASH_BYTES
    vectors = make_vectors([port.tensor for port in firmware.program.inputs], 20)
    result = verify_on_board(firmware, vectors)
    check_verification(firmware, result)
    assert result.bit_exact and 0 < result.stack_bytes < small_board.stack_bytes
