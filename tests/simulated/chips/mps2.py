"""The MPS2 boards' CMSDK UART (DDI 0479D, section 4.3): what the machine itself is tried with."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from exporter.board import Board
from tests.simulated.cortex_m import CortexM
from tests.simulated.machine import Memory
from tests.simulated.peripheral import Peripheral, Register, Table
from tests.simulated.serial_line import SerialLine

_CLOCK_HZ = 25_000_000


class CmsdkUart(Peripheral):
    """One byte of buffer each way. Interrupt 0 is of reception."""

    machine: CortexM
    registers: ClassVar[Table] = {
        0x00: Register("DATA", defined=0xFF),
        0x04: Register("STATE", defined=0xF),
        0x08: Register("CTRL", defined=0x7F),
        0x0C: Register("INTCLEAR", defined=0xF, write_one=0xF),
        0x10: Register("BAUDDIV", defined=0xFFFFF),
    }

    def read_data(self) -> int:
        """Empties the buffer."""
        self.values["STATE"] &= ~2
        return self.values["DATA"]

    def write_data(self, old: int, value: int) -> None:
        """Sent at once: what this UART is for here is the machine, not itself."""
        if self.machine.line.is_off(_CLOCK_HZ / max(self.values["BAUDDIV"], 1)):
            self.violation(f"BAUDDIV {self.values['BAUDDIV']} is off")
        self.values["DATA"] = old
        self.machine.line.send(value & 0xFF)

    def receive(self, byte: int) -> None:
        """See Receiver."""
        if self.values["CTRL"] & 0xA == 0xA:
            self.values["DATA"], self.values["STATE"] = byte, self.values["STATE"] | 2
            self.machine.pend_irq(0)


class Mps2(CortexM):
    """AN386: code memory at 0, data memory, SysTick at 25 MHz."""

    priority_bits = 3

    def __init__(self, board: Board, line: SerialLine) -> None:
        super().__init__(board.core, line, 0, 32)
        self.map_memory(*(Memory(r.origin, r.bytes, r.kind) for r in board.memory))
        self.map_bus(0x40000000, 0x100000)
        uart = CmsdkUart(self, "UART0", 0x40004000, 0x1000)
        self.add(uart)
        line.attach(uart, self.after)

    def core_hz(self) -> float:
        return _CLOCK_HZ


def build(board: Board, line: SerialLine, elf: Path) -> Mps2:
    """The machine, ready for its first reset."""
    machine = Mps2(board, line)
    machine.load_elf(elf)
    return machine
