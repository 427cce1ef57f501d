"""USART of both versions, and general-purpose timers, of STM32: the same in all families."""

from __future__ import annotations

from typing import ClassVar

from tests.simulated.chips.stm32 import Gate, Gated, Pins, Stm32
from tests.simulated.peripheral import Register, Table, bits

_PRESCALERS = (1, 2, 4, 6, 8, 10, 12, 16, 32, 64, 128, 256)


class Usart(Gated):
    """What both versions do. `clock_name` is that of its kernel clock in the RCC."""

    clock_name = "pclk1"
    low_power = False
    status = "ISR"
    enable_bit = 0
    frame_bits = bits(28, 15, 12, 10)
    """Of CR1: 8 bits, oversampled by 16, without parity, where they are 0."""

    def __init__(
        self, machine: Stm32, name: str, base: int, irq: int, gate: Gate, pins: Pins
    ) -> None:
        self.irq, self.gate, self._pins = irq, gate, pins
        super().__init__(machine, name, base)

    def wire(self, tx: str, rx: str) -> None:
        """The pins that the board connects, as in PA2: a function elsewhere is of no use."""
        self._pins = {
            way: tuple(p for p in self._pins[way] if f"P{p.port}{p.number}" == name)
            for way, name in (("tx", tx), ("rx", rx))
        }
        assert all(self._pins.values()), f"{self.name} does not get to {tx} and {rx}"

    def reset(self) -> None:
        super().reset()
        self._shifting = False
        self._polled = False
        self._waiting: int | None = None
        self._received = 0

    def baud(self) -> float:
        """The rate that the divider gives, oversampling by 16 (RM0090, 30.3.4) or as an LPUART."""
        divider = self.values["BRR"]
        if divider < (0x300 if self.low_power else 16):
            return 0.0
        clock = self.machine.rcc.clock(self.clock_name) / self.prescaler()
        return 256 * clock / divider if self.low_power else clock / divider

    def prescaler(self) -> int:
        """Before the divider, where there is one."""
        return 1

    def _is_on(self, direction_bit: int) -> bool:
        control = self.values["CR1"]
        return bool(control >> self.enable_bit & control >> direction_bit & 1)

    def _passes(self, way: str) -> bool:
        """Whether a byte gets through; otherwise that is a violation."""
        wrong = self.machine.is_routed(self._pins[way])
        if wrong is not None:
            self.violation(f"{way}: {wrong}")
            return False
        baud = self.baud()
        if self.machine.line.is_off(baud):
            self.violation(f"{way}: {baud:.0f} baud, {self.machine.line.baud} are due")
            return False
        if self.values["CR1"] & self.frame_bits or self.values["CR2"] & 3 << 12:
            self.violation(
                f"{way}: CR1 0x{self.values['CR1']:X}, CR2 0x{self.values['CR2']:X} are not 8N1"
            )
            return False
        return True

    def receive(self, byte: int) -> None:
        """See Receiver. A UART that is off hears nothing, and is not at fault."""
        if self.sleeping() is not None or not self._is_on(2) or not self._passes("rx"):
            return
        if self.values[self.status] & 1 << 5:
            self.values[self.status] |= 1 << 3  # ORE: the byte in the register stays
            self.machine.note(f"{self.name}: overrun")
        else:
            self._received = byte
            self.values[self.status] |= 1 << 5
        self._interrupt()

    def _interrupt(self) -> None:
        status, control = self.values[self.status], self.values["CR1"]
        wanted = control >> 5 & 1 and status & (1 << 5 | 1 << 3)
        if (
            wanted
            or (control >> 7 & 1 and status >> 7 & 1)
            or (control >> 6 & 1 and status >> 6 & 1)
        ):
            self.machine.pend_irq(self.irq)

    def poll(self) -> None:
        """A second read in turn is a loop that waits: it lasts until something happens."""
        if self._shifting and self._polled:
            self.machine.skip_to(self.machine.seconds + 1.0)
        self._polled = True

    def load(self, offset: int, size: int) -> int:
        register = self.table.get(offset)
        if register is None or register.name != self.status:
            self._polled = False
        return super().load(offset, size)

    def store(self, offset: int, size: int, value: int) -> None:
        self._polled = False
        super().store(offset, size, value)

    def transmit(self, byte: int) -> None:
        """To the shift register, or to wait for it."""
        if not self._is_on(3):
            self.violation("a byte is sent while the transmitter is off")
            return
        if self._waiting is not None:
            self.violation("a byte is written over one that waits: TXE is 0")
        self.values[self.status] &= ~(1 << 6)
        if self._shifting:
            self._waiting = byte
            self.values[self.status] &= ~(1 << 7)
        else:
            self._shift(byte)

    def _shift(self, byte: int) -> None:
        self._shifting = True
        baud = self.baud() or 1.0

        def sent() -> None:
            if self._passes("tx"):
                self.machine.line.send(byte)
            self._shifting = False
            if self._waiting is not None:
                next_byte, self._waiting = self._waiting, None
                self._shift(next_byte)
                self.values[self.status] |= 1 << 7
            else:
                self.values[self.status] |= 1 << 6
            self._interrupt()

        self.machine.after(10 / baud, sent)

    def write_cr1(self, old: int, value: int) -> None:
        """Enabling an interrupt whose flag is up."""
        self._interrupt()


class UsartV1(Usart):
    """F1 and F4: RM0090, 30.6."""

    status = "SR"
    enable_bit = 13
    registers: ClassVar[Table] = {
        0x00: Register("SR", defined=0x3FF, reset=0xC0, read_only=bits(7, (4, 0)), write_one=0x360),
        0x04: Register("DR", defined=0x1FF, write_one=0x1FF),
        0x08: Register("BRR", defined=0xFFFF),
        0x0C: Register("CR1", defined=bits(15, (13, 0))),
        0x10: Register("CR2", defined=bits((14, 11), (10, 8), (6, 5), (3, 0))),
        0x14: Register("CR3", defined=0xFFF),
        0x18: Register("GTPR", defined=0xFFFF),
    }

    def reset(self) -> None:
        super().reset()
        self._overrun_seen = False

    def read_sr(self) -> int:
        """The first half of clearing an overrun."""
        self.poll()
        self._overrun_seen = bool(self.values["SR"] & 1 << 3)
        return self.values["SR"]

    def read_dr(self) -> int:
        """The second half; and the byte is taken."""
        self.values["SR"] &= ~(1 << 5 | (1 << 3 if self._overrun_seen else 0))
        return self._received

    def write_dr(self, old: int, value: int) -> None:
        """A byte to send."""
        self.transmit(value & 0xFF)


class UsartV2(Usart):
    """L4+, G0, H7: RM0444, 33.8, with a FIFO, which is off after reset, and a prescaler."""

    registers: ClassVar[Table] = {
        0x00: Register("CR1"),
        0x04: Register("CR2", defined=bits((31, 8), (6, 3), 0)),
        0x08: Register("CR3", defined=bits((31, 17), (15, 0))),
        0x0C: Register("BRR", defined=0xFFFF),
        0x10: Register("GTPR", defined=0xFFFF),
        0x14: Register("RTOR"),
        0x18: Register("RQR", defined=0x1F, write_one=0x1F),
        0x1C: Register("ISR", defined=0x0FFFFFFF, reset=0xC0, read_only=0x0FFFFFFF),
        0x20: Register("ICR", defined=bits(20, 17, (13, 11), (9, 0)), write_one=0x00123BFF),
        0x24: Register("RDR", defined=0x1FF, read_only=0x1FF),
        0x28: Register("TDR", defined=0x1FF),
        0x2C: Register("PRESC", defined=0xF),
    }

    def prescaler(self) -> int:
        """RM0444, 33.8.15."""
        code = self.values.get("PRESC", 0)
        return _PRESCALERS[code] if code < len(_PRESCALERS) else _PRESCALERS[-1]

    def read_isr(self) -> int:
        """A wait for the transmitter."""
        self.poll()
        return self.values["ISR"]

    def read_rdr(self) -> int:
        """The byte is taken."""
        self.values["ISR"] &= ~(1 << 5)
        return self._received

    def write_tdr(self, old: int, value: int) -> None:
        """A byte to send."""
        self.transmit(value & 0xFF)

    def write_icr(self, old: int, value: int) -> None:
        """Ones clear flags of the same places."""
        self.values["ISR"] &= ~(value & 0x0012395F)

    def write_brr(self, old: int, value: int) -> None:
        """RM0351, 40.8.4."""
        if self.values["CR1"] & 1:
            self.violation("BRR is written while UE is 1")

    def write_cr1(self, old: int, value: int) -> None:
        """TEACK and REACK follow; M, OVER8 and others only while UE is 0 (RM0351, 40.8.1)."""
        if old & value & 1 and (old ^ value) & bits(28, 15, (13, 12), 10):
            self.violation("CR1 changes what only UE = 0 allows")
        acknowledged = (value >> 3 & value & 1) << 21 | (value >> 2 & value & 1) << 22
        self.values["ISR"] = self.values["ISR"] & ~(3 << 21) | acknowledged
        super().write_cr1(old, value)


class UsartL4(UsartV2):
    """L4: RM0351, 40.8, without FIFO and prescaler."""

    registers: ClassVar[Table] = {
        **{offset: row for offset, row in UsartV2.registers.items() if offset != 0x2C},
        0x00: Register("CR1", defined=bits((28, 0))),
        0x04: Register("CR2", defined=bits((31, 8), (6, 4))),
        0x08: Register("CR3", defined=bits((24, 17), (15, 0))),
        0x1C: Register("ISR", defined=0x027FDFFF, reset=0x020000C0, read_only=0x027FDFFF),
        0x20: Register(
            "ICR",
            defined=bits(20, 17, 12, 11, (9, 6), (4, 0)),
            write_one=bits(20, 17, 12, 11, (9, 6), (4, 0)),
        ),
    }


class LowPowerUart(UsartV2):
    """L4+: RM0432, 51.7. It divides 256 times its clock, by 0x300 or more."""

    low_power = True
    frame_bits = bits(28, 12, 10)
    registers: ClassVar[Table] = {
        **{o: row for o, row in UsartV2.registers.items() if o not in (0x10, 0x14)},
        0x00: Register("CR1", defined=bits((31, 28), (25, 16), (14, 0))),
        0x04: Register("CR2", defined=bits((31, 24), (19, 15), (13, 12), 11, 4)),
        0x08: Register("CR3", defined=bits((31, 25), (23, 20), (15, 12), (10, 6), 3, 0)),
        0x0C: Register("BRR", defined=0xFFFFF),
        0x18: Register("RQR", defined=0x1E, write_one=0x1E),
        0x20: Register("ICR", defined=bits(20, 17, 9, 6, (4, 0)), write_one=0x0012025F),
    }


class Timer(Gated):
    """TIM2 to TIM5, counting up: RM0090, 18.4. UIFREMAP is not in those of F4."""

    has_remap = True

    registers: ClassVar[Table] = {
        0x00: Register("CR1", defined=bits((11, 11), (9, 0))),
        0x04: Register("CR2", defined=0xF8),
        0x0C: Register("DIER", defined=0x5F5F),
        0x10: Register("SR", defined=0x1E5F),
        0x14: Register("EGR", defined=0x5F, write_one=0x5F),
        0x24: Register("CNT"),
        0x28: Register("PSC", defined=0xFFFF),
        0x2C: Register("ARR", reset=0xFFFFFFFF),
    }

    def make_table(self) -> Table:
        if self.has_remap:
            return self.registers
        return {**self.registers, 0x00: Register("CR1", defined=bits((9, 0)))}

    def __init__(
        self, machine: Stm32, name: str, base: int, irq: int, gate: Gate, clock: str, width: int
    ) -> None:
        self.irq, self.gate, self._clock, self._width = irq, gate, clock, width
        super().__init__(machine, name, base)

    def reset(self) -> None:
        super().reset()
        self._prescaler = 0
        self._round = 0
        self._begun = 0.0
        if self._width == 16:
            self.values["ARR"] = 0xFFFF

    def _step_seconds(self) -> float:
        return (self._prescaler + 1) / self.machine.rcc.clock(self._clock)

    def _start(self, count: int) -> None:
        """Count on from `count`; what was awaited before is void."""
        self._round += 1
        self._begun = self.machine.seconds - count * self._step_seconds()
        if not self.values["CR1"] & 1:
            return
        this = self._round

        def update() -> None:
            if this == self._round:
                self._update()
                self._start(0)

        self.machine.after((self.values["ARR"] + 1 - count) * self._step_seconds(), update)

    def _update(self) -> None:
        self._prescaler = self.values["PSC"]
        self.values["SR"] |= 1
        if self.values["DIER"] & 1:
            self.machine.pend_irq(self.irq)

    def read_cnt(self) -> int:
        """Where it stands."""
        if self.values["CR1"] & 1:
            return int((self.machine.seconds - self._begun) / self._step_seconds())
        return self.values["CNT"]

    def write_cnt(self, old: int, value: int) -> None:
        """From there on."""
        self._start(value)

    def write_sr(self, old: int, value: int) -> None:
        """Zeros clear, ones do nothing."""
        self.values["SR"] = old & value

    def write_arr(self, old: int, value: int) -> None:
        """At once, as ARPE is 0."""
        if value >> self._width:
            self.violation(f"ARR 0x{value:X} has more than {self._width} bits")

    def write_egr(self, old: int, value: int) -> None:
        """UG: an update; with URS it is none that interrupts, 18.4.1."""
        if value & 1:
            self._prescaler = self.values["PSC"]
            if not self.values["CR1"] & 4:
                self._update()
            self.values["CNT"] = 0
            self._start(0)

    def write_cr1(self, old: int, value: int) -> None:
        """CEN."""
        if (old ^ value) & 1:
            if value & 1:
                self._start(self.values["CNT"])
            else:
                self.values["CNT"] = int(
                    (self.machine.seconds - self._begun) / self._step_seconds()
                )
                self._round += 1


class TimerF4(Timer):
    """RM0090, 18.4.1."""

    has_remap = False


class Timer15(Timer):
    """TIM15, one of the advanced kind with two channels: RM0444, 25.5."""

    registers: ClassVar[Table] = {
        **Timer.registers,
        0x00: Register("CR1", defined=bits(11, (9, 7), (3, 0))),
        0x04: Register("CR2", defined=bits((10, 8), (7, 4), 2, 0) | 8),
        0x0C: Register("DIER", defined=bits((14, 13), (10, 8), (7, 5), (2, 0))),
        0x10: Register("SR", defined=bits((10, 9), (7, 5), (2, 0))),
        0x14: Register("EGR", defined=bits((7, 5), (2, 0)), write_one=bits((7, 5), (2, 0))),
        0x24: Register("CNT", defined=0x8000FFFF, read_only=1 << 31),
        0x2C: Register("ARR", defined=0xFFFF, reset=0xFFFF),
    }
