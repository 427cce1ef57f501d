"""ESP32-C3 Technical Reference Manual (v1.0), 10, 12, 26: system timer, watchdog, UART."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar

from tests.simulated.chips.esp32c3_system import CRYSTAL_HZ, WATCHDOG_KEY
from tests.simulated.peripheral import Peripheral, Register, Table

if TYPE_CHECKING:
    from tests.simulated.chips.esp32c3 import Esp32C3

_FIFO_BYTES = 128


class TimerGroup(Peripheral):
    """Chapter 12: the watchdog of a timer group. Its registers count from UPDATE on."""

    machine: Esp32C3
    registers: ClassVar[Table] = {
        0x48: Register("WDTCONFIG0", reset=0x4C000, defined=0xFFFFF000, write_one=1 << 22),
        0x4C: Register("WDTCONFIG1", reset=0x10000, defined=0xFFFF0001, write_one=1),
        0x50: Register("WDTCONFIG2", reset=0x018CBA80),
        0x54: Register("WDTCONFIG3", reset=0x07FFFFFF),
        0x58: Register("WDTCONFIG4", reset=0xFFFFF),
        0x5C: Register("WDTCONFIG5", reset=0xFFFFF),
        0x60: Register("WDTFEED", write_one=0xFFFFFFFF),
        0x64: Register("WDTWPROTECT", reset=WATCHDOG_KEY),
        0x70: Register("INT_ENA", defined=3),
        0x74: Register("INT_RAW", defined=3, read_only=3),
        0x78: Register("INT_ST", defined=3, read_only=3),
        0x7C: Register("INT_CLR", defined=3, write_one=3),
    }

    def reset(self) -> None:
        super().reset()
        self._round = 0

    def sleeping(self) -> str | None:
        return self.machine.system.why_off(13)

    def store(self, offset: int, size: int, value: int) -> None:
        if 0x48 <= offset <= 0x60 and self.values["WDTWPROTECT"] != WATCHDOG_KEY:
            self.violation(f"offset 0x{offset:X} written while it is protected (12.2.2.3)")
            return
        super().store(offset, size, value)

    def write_wdtconfig0(self, old: int, value: int) -> None:
        """Takes effect with UPDATE (bit 22)."""
        if not value & 1 << 22:
            self.violation("WDTCONFIG0 changes without CONF_UPDATE_EN (12.2.2.1)")
        self._begin()

    def write_wdtfeed(self, old: int, value: int) -> None:
        """From the start of stage 0."""
        self._begin()

    def _begin(self) -> None:
        self._round += 1
        self._stage(self._round, 0)

    def _stage(self, this: int, stage: int) -> None:
        config = self.values["WDTCONFIG0"]
        if not config >> 31 or stage > 1:
            return
        clock = CRYSTAL_HZ if config & 1 << 21 else 80e6
        prescaler = self.values["WDTCONFIG1"] >> 16 or 1
        seconds = self.values[f"WDTCONFIG{2 + stage}"] * prescaler / clock

        def ends() -> None:
            if this != self._round:
                return
            action = config >> (29 - 2 * stage) & 3
            if action == 1:
                self.values["INT_RAW"] |= 2
                self.machine.attention = True
            elif action >= 2:
                self.machine.note("the watchdog of timer group 0 resets")
                self.machine.reset_wanted = True
            self._stage(this, stage + 1)

        self.machine.after(seconds, ends)

    def write_int_clr(self, old: int, value: int) -> None:
        """Ones clear."""
        self.values["INT_RAW"] &= ~value

    def read_int_st(self) -> int:
        """Those that are enabled."""
        return self.values["INT_RAW"] & self.values["INT_ENA"]

    def is_up(self) -> bool:
        """The interrupt."""
        return bool(self.read_int_st())


class Uart(Peripheral):
    """Chapter 26. Its pins are UART0's after reset (chapter 5, IO MUX)."""

    machine: Esp32C3
    registers: ClassVar[Table] = {
        0x00: Register("FIFO", defined=0xFF, write_one=0xFF),
        0x04: Register("INT_RAW", defined=0xFFFFF, read_only=0xFFFFF, reset=2),
        0x08: Register("INT_ST", defined=0xFFFFF, read_only=0xFFFFF),
        0x0C: Register("INT_ENA", defined=0xFFFFF),
        0x10: Register("INT_CLR", defined=0xFFFFF, write_one=0xFFFFF),
        0x14: Register("CLKDIV", defined=0xF00FFF, reset=0x2B6),
        0x1C: Register("STATUS", reset=0xE000C000, read_only=0xFFFFFFFF),
        0x20: Register("CONF0", defined=0x1FFFFFFF, reset=0x1000001C),
        0x24: Register("CONF1", defined=0x3FFFFF, reset=0xC060),
        0x60: Register("MEM_CONF", defined=0xFFFFFFE, reset=0xA0012),
        0x6C: Register("FSM_STATUS", read_only=0xFF),
        0x78: Register("CLK_CONF", defined=0xFFFFFFF, reset=0x03701000),
        0x80: Register("ID", reset=0x40000500, write_one=1 << 31),
    }

    def reset(self) -> None:
        super().reset()
        self._in: deque[int] = deque()
        self._out: deque[int] = deque()
        self._sending = False
        self._idle_round = 0
        self._synchronised = self._core_part()
        self._is_set_up = False

    def _core_part(self) -> tuple[int, ...]:
        """What counts from REG_UPDATE on (26.5.1.1)."""
        return tuple(self.values[name] for name in ("CLKDIV", "CONF0"))

    def sleeping(self) -> str | None:
        return self.machine.system.why_off(2) or self.machine.system.why_off(24)

    def baud(self) -> float:
        """26.3.3."""
        clock = self.values["CLK_CONF"]
        source = {1: 80e6, 2: 17.5e6, 3: CRYSTAL_HZ}.get(clock >> 20 & 3, 0.0)
        if not clock & 1 << 22:
            return 0.0
        a, b = clock >> 6 & 0x3F, clock & 0x3F
        rate = source / ((clock >> 12 & 0xFF) + 1 + (b / a if a else 0))
        divider, sixteenths = self._synchronised[0] & 0xFFF, self._synchronised[0] >> 20
        return rate / (divider + sixteenths / 16) if divider else 0.0

    def _passes(self, way: str) -> bool:
        clock, conf = self.values["CLK_CONF"], self._synchronised[1]
        wrong = None
        if not clock >> (24 if way == "tx" else 25) & 1:
            wrong = "the clock of this direction is off (CLK_CONF)"
        elif conf & 0x3F != 0x1C:
            wrong = f"CONF0 0x{conf:X} is not 8N1"
        elif self.machine.line.is_off(self.baud()):
            wrong = f"{self.baud():.0f} baud"
        if wrong is not None:
            self.violation(f"{way}: {wrong}")
        return wrong is None

    def write_id(self, old: int, value: int) -> None:
        """REG_UPDATE goes back to 0 by itself."""
        if value >> 31:
            self._synchronised = self._core_part()
            self._is_set_up = True

    def receive(self, byte: int) -> None:
        """See Receiver. Until it is set up it is the ROM's, and what comes is lost."""
        if self.sleeping() is not None or not self._is_set_up or not self._passes("rx"):
            return
        if len(self._in) >= _FIFO_BYTES:
            self.values["INT_RAW"] |= 1 << 4
            self.machine.note("UART0: overrun")
            return
        self._in.append(byte)
        self._level()
        self._idle_round += 1
        this, bit_times = self._idle_round, self.values["MEM_CONF"] >> 16 & 0x3FF

        def idle() -> None:
            if this == self._idle_round and self._in and self.values["CONF1"] >> 21 & 1:
                self.values["INT_RAW"] |= 1 << 8
                self._level()

        self.machine.after(bit_times / self.machine.line.baud, idle)

    def _level(self) -> None:
        """RXFIFO_FULL: more bytes than the threshold, again and again (26.4.8)."""
        if len(self._in) > self.values["CONF1"] & 0x1FF:
            self.values["INT_RAW"] |= 1
        if self.is_up():
            self.machine.attention = True

    def is_up(self) -> bool:
        """The interrupt."""
        return bool(self.values["INT_RAW"] & self.values["INT_ENA"])

    def read_int_st(self) -> int:
        """Those that are enabled."""
        return self.values["INT_RAW"] & self.values["INT_ENA"]

    def write_int_clr(self, old: int, value: int) -> None:
        """Ones clear; a level comes again."""
        self.values["INT_RAW"] &= ~value
        self._level()

    def write_int_ena(self, old: int, value: int) -> None:
        """Enabling one that is up."""
        self._level()

    def read_fifo(self) -> int:
        """The oldest byte."""
        return self._in.popleft() if self._in else 0

    def write_fifo(self, old: int, value: int) -> None:
        """A byte to send."""
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
            if self._passes("tx"):
                self.machine.line.send(byte)
            self._send_next()

        self.machine.after(10 / (self.baud() or 1.0), sent)

    def read_status(self) -> int:
        """Counts of both FIFOs; the byte that is being sent is in none. A wait takes until the next
        event.
        """
        if self._out:
            self.machine.skip_to(self.machine.seconds + 1.0)
        return 0xE000C000 | max(len(self._out) - 1, 0) << 16 | len(self._in)

    def read_fsm_status(self) -> int:
        """ST_UTX_OUT: the transmitter is idle or not."""
        if self._out:
            self.machine.skip_to(self.machine.seconds + 1.0)
        return (5 if self._out else 0) << 4

    def check_sent(self) -> None:
        """Before a reset by the firmware, which cuts off what was to be sent."""
        if self._out:
            self.violation(f"reset with {len(self._out)} bytes still to be sent")


class SystemTimer(Peripheral):
    """Chapter 10: counter 0 at 16 MHz, and target 0 on it as a period."""

    machine: Esp32C3
    registers: ClassVar[Table] = {
        0x00: Register("CONF", reset=0x46000000, defined=0xFFC00001),
        0x04: Register("UNIT0_OP", defined=0x60000000, write_one=0x60000000),
        0x34: Register("TARGET0_CONF", defined=0xC3FFFFFF),
        0x40: Register("UNIT0_VALUE_HI", defined=0xFFFFF, read_only=0xFFFFF),
        0x44: Register("UNIT0_VALUE_LO", read_only=0xFFFFFFFF),
        0x50: Register("COMP0_LOAD", defined=1, write_one=1),
        0x64: Register("INT_ENA", defined=7),
        0x68: Register("INT_RAW", defined=7, read_only=7),
        0x6C: Register("INT_CLR", defined=7, write_one=7),
        0x70: Register("INT_ST", defined=7, read_only=7),
    }

    def sleeping(self) -> str | None:
        return self.machine.system.why_off(29)

    def reset(self) -> None:
        super().reset()
        self._valid = False
        self._round = 0

    def write_unit0_op(self, old: int, value: int) -> None:
        """10.5.1: latches the value."""
        if value & 1 << 30 and self.values["CONF"] & 1 << 30:
            count = int(self.machine.seconds * 16e6)
            self.values["UNIT0_VALUE_LO"], self.values["UNIT0_VALUE_HI"] = (
                count & 0xFFFFFFFF,
                count >> 32,
            )
            self._valid = True

    def read_unit0_op(self) -> int:
        """VALID."""
        return int(self._valid) << 29

    def write_comp0_load(self, old: int, value: int) -> None:
        """The period is taken over (10.4.2)."""
        self._begin()

    def write_conf(self, old: int, value: int) -> None:
        """TARGET0_WORK_EN."""
        if (old ^ value) & 1 << 24:
            self._begin()

    def _begin(self) -> None:
        self._round += 1
        this = self._round

        def period() -> None:
            if this != self._round or not self.values["CONF"] & 1 << 24:
                return
            if self.values["TARGET0_CONF"] & 1 << 30:
                self.values["INT_RAW"] |= 1
                self.machine.attention = True
            self.machine.after(seconds, period)

        seconds = (self.values["TARGET0_CONF"] & 0x3FFFFFF) / 16e6
        if seconds:
            self.machine.after(seconds, period)

    def write_int_clr(self, old: int, value: int) -> None:
        """Ones clear."""
        self.values["INT_RAW"] &= ~value

    def is_up(self) -> bool:
        """The interrupt of target 0."""
        return bool(self.values["INT_RAW"] & self.values["INT_ENA"] & 1)
