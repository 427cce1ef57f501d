"""STM32L4 and L4+: RM0351 (L475, L476), RM0432 (L4R5); datasheets DS10969, DS10198, DS12023."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from exporter.board import Board
from tests.simulated.chips.stm32 import Gate, Gated, Pin, Pins, PortReset, Rcc, Stm32
from tests.simulated.chips.stm32_devices import LowPowerUart, Timer, Usart, UsartL4, UsartV2
from tests.simulated.peripheral import Peripheral, Register, Table, bits, field
from tests.simulated.serial_line import SerialLine

HSI_HZ = 16_000_000
MSI_HZ = 4_000_000
_HPRE = {8: 2, 9: 4, 10: 8, 11: 16, 12: 64, 13: 128, 14: 256, 15: 512}
_PPRE = {4: 2, 5: 4, 6: 8, 7: 16}


@dataclass(frozen=True)
class Part:
    """What the parts differ in."""

    wait_states_mhz: tuple[int, ...]
    """The highest HCLK in range 1 for 0, 1, 2 ... wait states."""
    most_mhz: int
    most_without_boost_mhz: int
    m_bits: int
    most_n: int
    latency_bits: int
    clocks: tuple[int, int, int, int, int, int]
    """What there is of the registers of _ENABLES."""
    irq_count: int


_ENABLES = {
    0x48: "AHB1ENR",
    0x4C: "AHB2ENR",
    0x50: "AHB3ENR",
    0x58: "APB1ENR1",
    0x5C: "APB1ENR2",
    0x60: "APB2ENR",
}
L4 = Part(
    (16, 32, 48, 64, 80),
    80,
    80,
    3,
    86,
    3,
    (0x00031103, 0x000771FF, 0x101, 0xF7FECE3F, 0x27, 0x01677C81),
    83,
)
"""RM0351, table 9 and 6.4.4."""
L4_PLUS = Part(
    (20, 40, 60, 80, 100, 120),
    120,
    80,
    4,
    127,
    4,
    (0x00071107, 0x005771FF, 0x301, 0xF3FECC3F, 0x23, 0x0D677881),
    95,
)
"""RM0432, table 12, 5.1.8 and 6.4.4."""

_TX_RX: dict[str, Pins] = {
    "USART1": {"tx": (Pin("A", 9, 7), Pin("B", 6, 7)), "rx": (Pin("A", 10, 7), Pin("B", 7, 7))},
    "USART2": {"tx": (Pin("A", 2, 7), Pin("D", 5, 7)), "rx": (Pin("A", 3, 7), Pin("D", 6, 7))},
    "LPUART1": {
        "tx": (Pin("B", 11, 8), Pin("C", 1, 8), Pin("G", 7, 8)),
        "rx": (Pin("B", 10, 8), Pin("C", 0, 8), Pin("G", 8, 8)),
    },
}
"""DS10198, table 17; DS12023, table 16."""


class RccL4(Rcc):
    """RM0351, 6.4."""

    machine: L4Chip
    registers: ClassVar[Table] = {
        0x00: Register(
            "CR",
            defined=bits((29, 24), (19, 16), (11, 0)),
            reset=0x63,
            read_only=bits(29, 27, 25, 17, 10, 1),
        ),
        0x04: Register("ICSCR", defined=0x7FFFFFFF, reset=0x10000000, read_only=0x00FF00FF),
        0x08: Register("CFGR", defined=bits((30, 28), (27, 24), 15, (13, 0)), read_only=0xC),
        0x0C: Register(
            "PLLCFGR",
            defined=bits((31, 27), (26, 24), (22, 20), 17, 16, (14, 8), (7, 4), (1, 0)),
            reset=0x1000,
        ),
        0x90: Register("BDCR", defined=0x0301837F, read_only=0x42),
        0x94: Register("CSR", defined=0xFF800F03, reset=0x0C000600, read_only=0xFF000002),
    }

    def make_table(self) -> Table:
        table = dict(self.registers)
        for (offset, name), mask in zip(_ENABLES.items(), self.machine.part.clocks, strict=True):
            table[offset] = Register(name, defined=mask, reset=0x100 if offset == 0x48 else 0)
        return table

    def _pll_hz(self) -> float:
        cfg = self.values["PLLCFGR"]
        m = field(cfg, 3 + self.machine.part.m_bits, 4) + 1
        return self._pll_source() / m * field(cfg, 14, 8) / (2 * field(cfg, 26, 25) + 2)

    def _pll_source(self) -> float:
        return {1: MSI_HZ, 2: HSI_HZ}.get(self.values["PLLCFGR"] & 3, 0)

    def _system_hz(self) -> float:
        return {0: MSI_HZ, 1: HSI_HZ, 3: self._pll_hz()}.get(field(self.values["CFGR"], 3, 2), 0.0)

    def clock(self, name: str) -> float:
        """6.2: the buses, and timers with twice their clock where it is divided."""
        cfg = self.values["CFGR"]
        core = self._system_hz() / _HPRE.get(field(cfg, 7, 4), 1)
        if name == "core":
            return core
        divider = _PPRE.get(field(cfg, 10, 8) if name.endswith("1") else field(cfg, 13, 11), 1)
        return core / divider * (2 if name.startswith("tim") and divider > 1 else 1)

    def write_cr(self, old: int, value: int) -> None:
        """Oscillators and the PLL."""
        rising, falling = value & ~old, old & ~value
        if rising & 1 << 8:
            self.becomes_ready("CR", 1 << 8, 1 << 10, 0.000004)
        if rising & 1 << 24:
            self._start_pll()
        running = field(self.values["CFGR"], 3, 2)
        for bit, ready, number, what in (
            (0, 1, 0, "MSI"),
            (8, 10, 1, "HSI16"),
            (24, 25, 3, "the PLL"),
        ):
            if falling & 1 << bit:
                if running == number:
                    self.violation(f"{what} is switched off while it is the system clock (6.4.1)")
                self.values["CR"] &= ~(1 << ready)

    def _start_pll(self) -> None:
        cfg, part = self.values["PLLCFGR"], self.machine.part
        m, n = field(cfg, 3 + part.m_bits, 4) + 1, field(cfg, 14, 8)
        source_ready = {1: 1 << 1, 2: 1 << 10, 3: 1 << 17}.get(cfg & 3, 0)
        if not self.values["CR"] & source_ready:
            self.violation("the PLL is switched on without a source that is ready (6.4.4)")
        source = self._pll_source() / m
        if (
            not 8 <= n <= part.most_n
            or not 4e6 <= source <= 16e6
            or not 64e6 <= source * n <= 344e6
        ):
            self.violation(
                f"PLL: input {source / 1e6:g} MHz, N {n}, VCO {source * n / 1e6:g} MHz (6.4.4)"
            )
        self.becomes_ready("CR", 1 << 24, 1 << 25, 0.00004)

    def write_pllcfgr(self, old: int, value: int) -> None:
        """6.4.4: only while the PLL is off."""
        if self.values["CR"] & 1 << 24:
            self.violation("PLLCFGR is written while the PLL is on (6.4.4)")
        if self.machine.part.m_bits == 3 and value & 1 << 7:
            self.violation("PLLCFGR bit 7 is reserved")

    def write_cfgr(self, old: int, value: int) -> None:
        """The switch takes effect where the source is ready."""
        wanted = value & 3
        ready = {0: 1 << 1, 1: 1 << 10, 2: 1 << 17, 3: 1 << 25}[wanted]
        before = self.clock("core")
        if not self.values["CR"] & ready:
            self.violation(f"SW selects source {wanted}, which is not ready (6.4.3)")
        elif wanted == 3 and not self.values["PLLCFGR"] & 1 << 24:
            self.violation("the PLL is selected while its output R is off (6.4.4)")
        else:
            self.values["CFGR"] = self.values["CFGR"] & ~0xC | wanted << 2
        after = self.clock("core")
        if after > 80e6 >= before and before < after / 2:
            self.violation("more than 80 MHz is entered without half of it first (RM0432, 6.2.9)")
        self.check_rates()

    def check_rates(self) -> None:
        """Wait states (3.3.3) and power (5.1.7)."""
        part, mhz = self.machine.part, self.clock("core") / 1e6
        states = self.machine.flash.values["ACR"] & 0xF
        if states >= len(part.wait_states_mhz) or mhz > part.wait_states_mhz[states]:
            self.violation(f"HCLK is {mhz:g} MHz with {states} wait states of the flash (3.3.3)")
        if mhz > self.machine.pwr.most_mhz():
            self.violation(
                f"HCLK is {mhz:g} MHz where the power allows {self.machine.pwr.most_mhz()} (5.1.8)"
            )


class PwrL4(Gated):
    """RM0351, 5.4; RM0432 for CR5."""

    machine: L4Chip
    gate = Gate("APB1ENR1", 28)
    registers: ClassVar[Table] = {
        0x00: Register("CR1", defined=bits(14, (10, 8), (2, 0)), reset=0x200),
        0x04: Register("CR2", defined=bits((10, 9), (7, 0))),
        0x08: Register("CR3", defined=0x851F, reset=0x8000),
        0x10: Register("SR1", defined=0x811F, read_only=0x811F),
        0x14: Register("SR2", defined=0xFF00, read_only=0xFF00),
    }

    def make_table(self) -> Table:
        if self.machine.part is L4:
            return self.registers
        return {
            **self.registers,
            0x00: Register("CR1", defined=bits(14, (10, 8), 4, (2, 0)), reset=0x200),
            0x80: Register("CR5", defined=1 << 8, reset=1 << 8),
        }

    def most_mhz(self) -> int:
        """The highest HCLK."""
        if self.values["CR1"] >> 9 & 3 != 1:
            return 26
        boost = not self.values.get("CR5", 0) & 1 << 8
        return self.machine.part.most_mhz if boost else self.machine.part.most_without_boost_mhz


class FlashL4(Peripheral):
    """RM0351, 3.7.1."""

    machine: L4Chip

    def make_table(self) -> Table:
        latency = bits((self.machine.part.latency_bits - 1, 0))
        return {0x00: Register("ACR", defined=bits((14, 8)) | latency, reset=0x600)}

    def write_acr(self, old: int, value: int) -> None:
        """Fewer wait states than the clock needs."""
        self.machine.rcc.check_rates()


class Syscfg(Gated):
    """RM0351, 9.2."""

    gate = Gate("APB2ENR", 0)
    registers: ClassVar[Table] = {0x00: Register("MEMRMP", defined=bits(8, (2, 0)))}


class L4Chip(Stm32):
    """The parts with the peripherals that a link needs."""

    rcc: RccL4

    def __init__(self, board: Board, line: SerialLine, part: Part) -> None:
        self.part = part
        super().__init__(board, line, part.irq_count)
        self.rcc, self.pwr, self.flash = (
            RccL4(self, "RCC", 0x40021000),
            PwrL4(self, "PWR", 0x40007000),
            FlashL4(self, "FLASH", 0x40022000),
        )
        self.syscfg = Syscfg(self, "SYSCFG", 0x40010000)
        for peripheral in (self.rcc, self.pwr, self.flash, self.syscfg):
            self.add(peripheral)
        self.add_ports(
            0x48000000,
            "ABCDEFG",
            {
                "A": PortReset(0xABFFFFFF, 0x0C000000, 0x64000000),
                "B": PortReset(0xFFFFFEBF, 0, 0x100),
                "?": PortReset(0xFFFFFFFF),
            },
            "AHB2ENR",
        )
        self.gpio["G"].supply_missing = lambda: not self.pwr.values["CR2"] & 1 << 9
        self.usarts: dict[str, Usart] = {}
        usart_kind = UsartL4 if part is L4 else UsartV2
        for name, kind, base, irq, gate, clock in (
            ("USART1", usart_kind, 0x40013800, 37, Gate("APB2ENR", 14), "pclk2"),
            ("USART2", usart_kind, 0x40004400, 38, Gate("APB1ENR1", 17), "pclk1"),
            ("LPUART1", LowPowerUart, 0x40008000, 70, Gate("APB1ENR2", 0), "pclk1"),
        ):
            if kind is LowPowerUart and part is L4:
                continue
            usart = kind(self, name, base, irq, gate, _TX_RX[name])
            usart.clock_name = clock
            self.usarts[name] = usart
            self.add(usart)
        for name, base, irq, bit, width in (
            ("TIM2", 0x40000000, 28, 0, 32),
            ("TIM3", 0x40000400, 29, 1, 16),
            ("TIM5", 0x40000C00, 50, 3, 32),
        ):
            self.add(Timer(self, name, base, irq, Gate("APB1ENR1", bit), "tim1", width))
        self.add_system_memory(0x1FFF0000, 0x8000, 0x1FFF7590)

    def check_loader(self) -> None:
        """Of a chip with two banks to boot from."""
        super().check_loader()
        if self.syscfg.values["MEMRMP"] & 7 != 1:
            self.violation("the boot loader is not at address 0, and goes back (AN2606, 4.1)")


def build(
    board: Board, line: SerialLine, elf: Path, *, part: Part, link: tuple[str, str, str]
) -> L4Chip:
    """A board: the part, and USART, TX and RX pin that its link is wired to."""
    usart, tx, rx = link
    machine = L4Chip(board, line, part)
    machine.load_elf(elf)
    machine.usarts[usart].wire(tx, rx)
    line.attach(machine.usarts[usart], machine.after)
    return machine
