"""How many instructions pass in a tick of a board's counter, where ticks count them at all.

Under `-icount shift=0` one instruction is one nanosecond of virtual time, and `minstret` is exact
anyway. A loop of known length, run on the device, must confirm that before it is used.
"""

from __future__ import annotations

from exporter.board import Board
from exporter.link.device import Device

CALIBRATION = (200_000, 1_200_000)
CALIBRATION_TOLERANCE = 1e-3
NANOSECONDS = 1_000_000_000


def instructions_per_tick(device: Device, board: Board) -> float | None:
    """Instructions that pass in one tick; None where the device's ticks do not count them."""
    short, long = (device.spin(count) for count in CALIBRATION)
    if short is None or long is None or long <= short:
        return None
    stated = 1.0 if board.ticks.source == "minstret" else NANOSECONDS / board.ticks.hz
    measured = (CALIBRATION[1] - CALIBRATION[0]) / (long - short)
    return stated if abs(measured / stated - 1) <= CALIBRATION_TOLERANCE else None
