"""The boards of which there is a machine: what is on the board beside the chip."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from exporter.board import Board
from tests.simulated.chips import esp32c3, mps2, nrf52, rp2350, stm32f4, stm32g0, stm32h7, stm32l4
from tests.simulated.machine import Machine
from tests.simulated.serial_line import SerialLine

MACHINES: dict[str, Callable[[Board, SerialLine, Path], Machine]] = {
    "mps2-an386": mps2.build,
    "netduinoplus2": partial(
        stm32f4.build,
        part=stm32f4.F405,
        hse_hz=25_000_000,
        crystal=True,
        link=("USART6", "PC6", "PC7"),
    ),
    "nucleo-f401re": partial(
        stm32f4.build,
        part=stm32f4.F401,
        hse_hz=8_000_000,
        crystal=False,
        link=("USART2", "PA2", "PA3"),
    ),
    "nucleo-f411re": partial(
        stm32f4.build,
        part=stm32f4.F411,
        hse_hz=8_000_000,
        crystal=False,
        link=("USART2", "PA2", "PA3"),
    ),
    "nucleo-f446re": partial(
        stm32f4.build,
        part=stm32f4.F446,
        hse_hz=8_000_000,
        crystal=False,
        link=("USART2", "PA2", "PA3"),
    ),
    "stm32f4discovery": partial(
        stm32f4.build,
        part=stm32f4.F405,
        hse_hz=8_000_000,
        crystal=True,
        link=("USART3", "PB10", "PB11"),
    ),
    "nucleo-l476rg": partial(stm32l4.build, part=stm32l4.L4, link=("USART2", "PA2", "PA3")),
    "nucleo-l4r5zi": partial(stm32l4.build, part=stm32l4.L4_PLUS, link=("LPUART1", "PG7", "PG8")),
    "b-l475e-iot01a": partial(stm32l4.build, part=stm32l4.L4, link=("USART1", "PB6", "PB7")),
    "nucleo-g071rb": stm32g0.build,
    "nucleo-h743zi": stm32h7.build,
    "nrf52840-dk": partial(nrf52.build, tx=6, rx=8),
    "microbit-v2": partial(nrf52.build, tx=6, rx=32 + 8),
    # The boot loader is a Zephyr: its regions for flash and RAM are on when it starts the image.
    "arduino-nano-33-ble-sense": partial(
        nrf52.build, tx=32 + 3, rx=32 + 10, regions_left={0: 0x06020027, 1: 0x110B0023}
    ),
    "esp32-c3-devkitm-1": esp32c3.build,
    "raspberry-pi-pico-2": rp2350.build,
}
"""Oscillator and wiring are those of the boards, not of boards/*.yaml (docs/evidence.md)."""

WITHOUT_LOADER = {"mps2-an386", "nrf52840-dk", "microbit-v2"}
"""Nothing but a debug probe puts an image on these."""
