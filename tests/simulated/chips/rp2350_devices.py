"""RP2350 Datasheet, 7.4, 9 and 12: pins, UART, timer, watchdog, and the number in 13.10."""

from __future__ import annotations

import struct
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from tests.simulated.chips.rp2350_clocks import Rp2Peripheral
from tests.simulated.cortex_m import Exc
from tests.simulated.peripheral import Peripheral, Register, Table, bits

if TYPE_CHECKING:
    from tests.simulated.chips.rp2350 import Rp2350

_FIFO_BYTES = 32
_CHIP_ID = bytes(range(0x50, 0x58))


class Pads(Rp2Peripheral):
    """9.11.3."""

    registers: ClassVar[Table] = {0x0: Register("VOLTAGE_SELECT", defined=1)} | {
        4 + 4 * n: Register(f"GPIO{n}", defined=0x1FF, reset=0x116) for n in range(48)
    }


class Pins(Rp2Peripheral):
    """IO_BANK0, 9.11.1."""

    registers: ClassVar[Table] = {
        8 * n: Register(f"STATUS{n}", defined=0x04022200, read_only=0x04022200) for n in range(48)
    } | {
        8 * n + 4: Register(f"CTRL{n}", defined=bits((29, 28), (17, 12), (4, 0)), reset=0x1F)
        for n in range(48)
    }

    def unusable(self, number: int, function: int, way: str) -> str | None:
        """Why a pin does not do what it should."""
        pad = self.machine.pads.values[f"GPIO{number}"]
        if self.values[f"CTRL{number}"] & 0x1F != function:
            return (
                f"GPIO{number} has function {self.values[f'CTRL{number}'] & 0x1F}, not {function}"
            )
        if pad & 1 << 8:
            return f"the pad of GPIO{number} is isolated (9.7)"
        if way == "rx" and not pad & 1 << 6:
            return f"the input of GPIO{number} is off (9.6.2)"
        if way == "tx" and pad & 1 << 7:
            return f"the output of GPIO{number} is off (9.6.2)"
        return None


class Pl011(Rp2Peripheral):
    """12.1, and the PrimeCell UART's manual (DDI 0183G)."""

    registers: ClassVar[Table] = {
        0x00: Register("DR", defined=0xFFF, write_one=0xFFF),
        0x04: Register("RSR", defined=0xF),
        0x18: Register("FR", defined=0x1FF, reset=0x90, read_only=0x1FF),
        0x20: Register("ILPR", defined=0xFF),
        0x24: Register("IBRD", defined=0xFFFF),
        0x28: Register("FBRD", defined=0x3F),
        0x2C: Register("LCR_H", defined=0xFF),
        0x30: Register("CR", defined=bits((15, 7), (2, 0)), reset=0x300),
        0x34: Register("IFLS", defined=0x3F, reset=0x12),
        0x38: Register("IMSC", defined=0x7FF),
        0x3C: Register("RIS", defined=0x7FF, read_only=0x7FF),
        0x40: Register("MIS", defined=0x7FF, read_only=0x7FF),
        0x44: Register("ICR", defined=0x7FF, write_one=0x7FF),
        0x48: Register("DMACR", defined=7),
    }

    def reset(self) -> None:
        super().reset()
        self._in: deque[int] = deque()
        self._out: deque[int] = deque()
        self._divider = 0
        self._sending = self._polled = False
        self._idle_round = 0

    def load(self, offset: int, size: int) -> int:
        if offset != 0x18:
            self._polled = False
        return super().load(offset, size)

    def store(self, offset: int, size: int, value: int) -> None:
        self._polled = False
        super().store(offset, size, value)

    def baud(self) -> float:
        """DDI 0183G, 3.3.6; the divider is that of the last write of LCR_H."""
        return self.machine.clocks_block.peri_hz() / (self._divider / 4) if self._divider else 0.0

    def _passes(self, way: str, pin: int) -> bool:
        wrong = self.machine.pins.unusable(pin, 2, way)
        if wrong is None and self.machine.line.is_off(self.baud()):
            wrong = f"{self.baud():.0f} baud"
        if wrong is not None:
            self.violation(f"{way}: {wrong}")
        return wrong is None

    def write_lcr_h(self, old: int, value: int) -> None:
        """The divider is taken over. 8 bits, no parity, one stop bit."""
        self._divider = self.values["IBRD"] * 64 + self.values["FBRD"]
        if self.values["CR"] & 1:
            self.violation("LCR_H is written while the UART is enabled (DDI 0183G, 3.3.8)")
        if value & 0x6E != 0x60:
            self.violation(f"LCR_H 0x{value:X} is not 8N1")

    def receive(self, byte: int) -> None:
        """See Receiver."""
        if (
            self.sleeping() is not None
            or self.values["CR"] & 0x201 != 0x201
            or not self._passes("rx", 1)
        ):
            return
        depth = _FIFO_BYTES if self.values["LCR_H"] & 1 << 4 else 1
        if len(self._in) >= depth:
            self.values["RIS"] |= 1 << 10
            self.machine.note("UART0: overrun")
            return
        self._in.append(byte)
        if len(self._in) >= depth // 2:
            self.values["RIS"] |= 1 << 4
        self._idle_round += 1
        this = self._idle_round

        def idle() -> None:
            if this == self._idle_round and self._in:
                self.values["RIS"] |= 1 << 6
                self._interrupt()

        self.machine.after(32 / self.machine.line.baud, idle)  # DDI 0183G, 2.8.3
        self._interrupt()

    def _interrupt(self) -> None:
        if self.values["RIS"] & self.values["IMSC"]:
            self.machine.pend_irq(33)

    def write_imsc(self, old: int, value: int) -> None:
        """Enabling one that is up."""
        self._interrupt()

    def write_icr(self, old: int, value: int) -> None:
        """Ones clear."""
        self.values["RIS"] &= ~value

    def read_mis(self) -> int:
        """Those that are enabled."""
        return self.values["RIS"] & self.values["IMSC"]

    def read_dr(self) -> int:
        """The oldest byte; both interrupts go as the FIFO empties."""
        byte = self._in.popleft() if self._in else 0
        depth = _FIFO_BYTES if self.values["LCR_H"] & 1 << 4 else 1
        if len(self._in) < depth // 2 or depth == 1:
            self.values["RIS"] &= ~(1 << 4)
        if not self._in:
            self.values["RIS"] &= ~(1 << 6)
        return byte

    def write_dr(self, old: int, value: int) -> None:
        """A byte to send."""
        if self.values["CR"] & 0x101 != 0x101:
            self.violation("a byte is sent while the transmitter is off")
            return
        if len(self._out) >= _FIFO_BYTES:
            self.violation("a byte is written to a full FIFO")
            return
        self._out.append(value & 0xFF)
        self._send_next()

    def _send_next(self) -> None:
        if self._sending or not self._out:
            return
        self._sending = True

        def sent() -> None:
            self._sending = False
            byte = self._out.popleft()
            if self._passes("tx", 0):
                self.machine.line.send(byte)
            self._send_next()

        self.machine.after(10 / (self.baud() or 1.0), sent)

    def read_fr(self) -> int:
        """DDI 0183G, 3.3.3. A second read in turn is a wait: until something happens."""
        if self._out and self._polled:
            self.machine.skip_to(self.machine.seconds + 1.0)
        self._polled = True
        full = len(self._out) >= _FIFO_BYTES
        return (not self._out) << 7 | full << 5 | (not self._in) << 4 | bool(self._out) << 3


class Timer(Rp2Peripheral):
    """12.8: microseconds, where its tick generator runs."""

    registers: ClassVar[Table] = {
        0x24: Register("RAWH", read_only=0xFFFFFFFF),
        0x28: Register("RAWL", read_only=0xFFFFFFFF),
        0x08: Register("TIMEHR", read_only=0xFFFFFFFF),
        0x0C: Register("TIMELR", read_only=0xFFFFFFFF),
        0x20: Register("ARMED", defined=0xF),
        0x2C: Register("DBGPAUSE", defined=6, reset=7),
        0x30: Register("PAUSE", defined=1),
        0x3C: Register("INTR", defined=0xF),
        0x40: Register("INTE", defined=0xF),
        0x44: Register("INTF", defined=0xF),
        0x48: Register("INTS", defined=0xF, read_only=0xF),
    } | {0x10 + 4 * n: Register(f"ALARM{n}") for n in range(4)}

    def __init__(self, machine: Rp2350) -> None:
        super().__init__(machine, "TIMER0", 0x400B0000)
        for n in range(4):
            self._writers[f"ALARM{n}"] = partial(self._arm, n)

    def reset(self) -> None:
        super().reset()
        self._since = self.machine.seconds
        self._round = [0] * 4

    def _hz(self) -> float:
        return self.machine.ticks.hz(2)

    def _now(self) -> int:
        if self._hz() == 0:
            self.violation("it is used while its tick generator is off (8.5)")
        elif not 0.5e6 <= self._hz() <= 2e6:
            self.violation(f"its ticks are {1e6 / self._hz():g} us")
        return int((self.machine.seconds - self._since) * self._hz())

    def read_rawl(self) -> int:
        """The low word."""
        return self._now() & 0xFFFFFFFF

    def read_rawh(self) -> int:
        """The high word."""
        return self._now() >> 32

    def _arm(self, n: int, old: int, value: int) -> None:
        self.values["ARMED"] |= 1 << n
        self._round[n] += 1
        this = self._round[n]
        wait = (value - self._now() - 1) % 2**32 + 1

        def fire() -> None:
            if this == self._round[n] and self.values["ARMED"] >> n & 1:
                self.values["ARMED"] &= ~(1 << n)
                self.values["INTR"] |= 1 << n
                self._interrupt()

        self.machine.after(wait / max(self._hz(), 1), fire)

    def _interrupt(self) -> None:
        for n in range(4):
            if self.values["INTR"] & self.values["INTE"] & 1 << n:
                self.machine.pend_irq(n)
                if self.machine.core_local.values["NMI_MASK0"] >> n & 1:
                    self.machine.pend(Exc.NMI)

    def write_armed(self, old: int, value: int) -> None:
        """Ones disarm."""
        self.values["ARMED"] = old & ~value

    def write_intr(self, old: int, value: int) -> None:
        """Ones clear."""
        self.values["INTR"] = old & ~value

    def peek(self, offset: int) -> int:
        return 0 if offset == 0x3C else super().peek(offset)

    def write_inte(self, old: int, value: int) -> None:
        """Enabling one that is up."""
        self._interrupt()

    def read_ints(self) -> int:
        """Those that are enabled."""
        return self.values["INTR"] & self.values["INTE"]


class Watchdog(Rp2Peripheral):
    """12.9. Here it never bites: a run that gets that far is for its alarm to report."""

    registers: ClassVar[Table] = {
        0x0: Register(
            "CTRL", defined=bits((31, 30), (26, 0)), reset=0x07000000, read_only=0xFFFFFF
        ),
        0x4: Register("LOAD", defined=0xFFFFFF),
        0x8: Register("REASON", defined=3, read_only=3),
    }

    def reset(self) -> None:
        """A reset by the core leaves it (7.3.4)."""
        if not self.values:
            super().reset()


class PowerOn(Rp2Peripheral):
    """PSM, 7.4."""

    registers: ClassVar[Table] = {
        0x0: Register("FRCE_ON", defined=0x1FFFFFF),
        0x4: Register("FRCE_OFF", defined=0x1FFFFFF),
        0x8: Register("WDSEL", defined=0x1FFFFFF),
        0xC: Register("DONE", defined=0x1FFFFFF, read_only=0x1FFFFFF),
    }


class CoreLocal(Peripheral):
    """EPPB, 3.7.5.1: which interrupts are the NMI."""

    registers: ClassVar[Table] = {
        0x0: Register("NMI_MASK0"),
        0x4: Register("NMI_MASK1", defined=0xFFFFF),
        0x8: Register("SLEEPCTRL", defined=7, reset=2, read_only=4),
    }


class Otp(Rp2Peripheral):
    """13.10: the chip's number, as read with error correction."""

    registers: ClassVar[Table] = {
        4 * n: Register(f"WORD{n}", read_only=0xFFFFFFFF) for n in range(2)
    }

    def reset(self) -> None:
        low, high = struct.unpack("<2I", _CHIP_ID)
        self.values = {"WORD0": low, "WORD1": high}
