"""What the ticks of a board count: instructions, cycles of the core, or time and nothing else.

Under `-icount shift=0` one instruction of QEMU is one nanosecond of virtual time, and `minstret` is
exact anyway. A counter at the core's clock counts cycles: on a chip as they are, in an emulator of
cycles (rp2040js) as that models them. A loop of known length, run on the device, must confirm
either before it is used.
"""

from __future__ import annotations

from exporter.board import Board
from exporter.link.device import Device

CALIBRATION = (200_000, 1_200_000)
CALIBRATION_TOLERANCE = 1e-3
NANOSECONDS = 1_000_000_000
ROUND_INSTRUCTIONS = 2
"""Of the loop that spins: a subtraction and a branch."""


def instructions_per_tick(device: Device, board: Board) -> float | None:
    """Instructions that pass in one tick; None where the device's ticks do not count them."""
    short, long = (device.spin(count) for count in CALIBRATION)
    if short is None or long is None or long <= short:
        return None
    hz = device.identity.ticks_hz
    stated = 1.0 if board.ticks.source == "minstret" else NANOSECONDS / hz
    measured = (CALIBRATION[1] - CALIBRATION[0]) / (long - short)
    return stated if abs(measured / stated - 1) <= CALIBRATION_TOLERANCE else None


def ticks_are_cycles(device: Device, board: Board) -> bool:
    """Whether a tick is a cycle: the counter has the core's clock, and a round of the loop takes a
    whole number of them, as it does where nothing but the core decides.
    """
    if board.clock is None or device.identity.ticks_hz != board.clock.core_hz:
        return False
    short, long = (device.spin(count) for count in CALIBRATION)
    if short is None or long is None:
        return False
    taken = ROUND_INSTRUCTIONS * (long - short) / (CALIBRATION[1] - CALIBRATION[0])
    return round(taken) > 0 and abs(taken / round(taken) - 1) <= CALIBRATION_TOLERANCE
