"""STM32G071: RM0444 and its datasheet (DS12232)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from exporter.board import Board
from tests.simulated.chips.stm32 import Gate, Pin, Pins, PortReset, Rcc, Stm32
from tests.simulated.chips.stm32_devices import Timer, Timer15, UsartV2
from tests.simulated.peripheral import Peripheral, Register, Table, bits, field
from tests.simulated.serial_line import SerialLine

HSI_HZ = 16_000_000
_HPRE = {8: 2, 9: 4, 10: 8, 11: 16, 12: 64, 13: 128, 14: 256, 15: 512}
_PPRE = {4: 2, 5: 4, 6: 8, 7: 16}
_WAIT_STATES_MHZ = (24, 48, 64)
"""3.3.4, range 1."""
_USART2: Pins = {
    "tx": (Pin("A", 2, 1), Pin("A", 14, 1), Pin("D", 5, 0)),
    "rx": (Pin("A", 3, 1), Pin("A", 15, 1), Pin("D", 6, 0)),
}
"""DS12232, tables 13 to 17."""


class RccG0(Rcc):
    """5.4."""

    machine: G071
    registers: ClassVar[Table] = {
        0x00: Register(
            "CR", defined=bits((25, 24), (19, 16), (13, 8)), reset=0x500, read_only=bits(25, 17, 10)
        ),
        0x04: Register("ICSCR", defined=0x7FFF, reset=0x4000, read_only=0xFF),
        0x08: Register(
            "CFGR", defined=bits((30, 28), (26, 24), (14, 12), (11, 8), (5, 0)), read_only=0x38
        ),
        0x0C: Register(
            "PLLCFGR", defined=bits((31, 24), (21, 16), (14, 8), (6, 4), (1, 0)), reset=0x1000
        ),
        0x34: Register("IOPENR", defined=0x2F),
        0x38: Register("AHBENR", defined=0x00051101, reset=0x100),
        0x3C: Register("APBENR1", defined=0xFF7E4C33),
        0x40: Register("APBENR2", defined=0x0017D801),
        0x5C: Register("BDCR", defined=0x0301837F, read_only=0x42),
        0x60: Register("CSR", defined=0xFE800003, read_only=0xFE000002),
    }

    def _pll_hz(self) -> float:
        cfg = self.values["PLLCFGR"]
        return HSI_HZ / (field(cfg, 6, 4) + 1) * field(cfg, 14, 8) / (field(cfg, 31, 29) + 1)

    def clock(self, name: str) -> float:
        """5.2: one bus for all."""
        cfg = self.values["CFGR"]
        divided = HSI_HZ / (1 << field(self.values["CR"], 13, 11))
        source = {0: divided, 2: self._pll_hz()}.get(field(cfg, 5, 3), 0.0)
        core = source / _HPRE.get(field(cfg, 11, 8), 1)
        divider = 1 if name == "core" else _PPRE.get(field(cfg, 14, 12), 1)
        return core / divider * (2 if name.startswith("tim") and divider > 1 else 1)

    def write_cr(self, old: int, value: int) -> None:
        """The PLL; HSI16 stays on."""
        rising, falling = value & ~old, old & ~value
        if falling & 1 << 8:
            self.violation("HSI16 is switched off, which everything here comes from (5.4.1)")
        if rising & 1 << 24:
            self._start_pll()
        if falling & 1 << 24:
            if field(self.values["CFGR"], 5, 3) == 2:
                self.violation("the PLL is switched off while it is the system clock (5.4.1)")
            self.values["CR"] &= ~(1 << 25)

    def _start_pll(self) -> None:
        cfg = self.values["PLLCFGR"]
        source, n = HSI_HZ / (field(cfg, 6, 4) + 1), field(cfg, 14, 8)
        if cfg & 3 != 2:
            self.violation(f"the PLL's source is {cfg & 3}: 2 is HSI16 (5.4.4)")
        if not 8 <= n <= 86 or not 2.66e6 <= source <= 16e6 or not 96e6 <= source * n <= 344e6:
            self.violation(
                f"PLL: input {source / 1e6:g} MHz, N {n}, VCO {source * n / 1e6:g} MHz (5.4.4)"
            )
        if field(cfg, 31, 29) == 0:
            self.violation("PLLR is 0, which is reserved (5.4.4)")
        self.becomes_ready("CR", 1 << 24, 1 << 25, 0.00004)

    def write_pllcfgr(self, old: int, value: int) -> None:
        """5.4.4: only while the PLL is off."""
        if self.values["CR"] & 1 << 24:
            self.violation("PLLCFGR is written while the PLL is on (5.4.4)")

    def write_cfgr(self, old: int, value: int) -> None:
        """The switch takes effect where the source is ready."""
        wanted = value & 7
        if (wanted == 2 and not self.values["CR"] & 1 << 25) or wanted not in (0, 2):
            self.violation(f"SW selects source {wanted}, which is not ready (5.4.3)")
        elif wanted == 2 and not self.values["PLLCFGR"] & 1 << 28:
            self.violation("the PLL is selected while its output R is off (5.4.4)")
        else:
            self.values["CFGR"] = self.values["CFGR"] & ~0x38 | wanted << 3
        self.check_rates()

    def check_rates(self) -> None:
        """3.3.4."""
        mhz, states = self.clock("core") / 1e6, self.machine.flash.values["ACR"] & 7
        if states >= len(_WAIT_STATES_MHZ) or mhz > _WAIT_STATES_MHZ[states]:
            self.violation(f"HCLK is {mhz:g} MHz with {states} wait states of the flash (3.3.4)")


class FlashG0(Peripheral):
    """3.7.1."""

    machine: G071
    registers: ClassVar[Table] = {
        0x00: Register("ACR", defined=bits(18, 16, 11, (9, 8), (2, 0)), reset=0x40600)
    }

    def write_acr(self, old: int, value: int) -> None:
        """Fewer wait states than the clock needs; and the debug port stays on."""
        self.machine.rcc.check_rates()
        if not value & 1 << 18:
            self.violation("DBG_SWEN is cleared: no probe gets in any more (3.7.1)")


class G071(Stm32):
    """The part with the peripherals that a link needs."""

    rcc: RccG0

    def __init__(self, board: Board, line: SerialLine) -> None:
        super().__init__(board, line, 31)
        self.rcc, self.flash = RccG0(self, "RCC", 0x40021000), FlashG0(self, "FLASH", 0x40022000)
        self.add(self.rcc)
        self.add(self.flash)
        self.add_ports(
            0x50000000,
            "ABCDF",
            {"A": PortReset(0xEBFFFFFF, 0x0C000000, 0x24000000), "?": PortReset(0xFFFFFFFF)},
            "IOPENR",
        )
        self.usart = UsartV2(self, "USART2", 0x40004400, 28, Gate("APBENR1", 17), _USART2)
        self.add(self.usart)
        self.add(Timer(self, "TIM2", 0x40000000, 15, Gate("APBENR1", 0), "tim", 32))
        self.add(Timer(self, "TIM3", 0x40000400, 16, Gate("APBENR1", 1), "tim", 16))
        self.add(Timer15(self, "TIM15", 0x40014000, 20, Gate("APBENR2", 16), "tim", 16))
        self.add_system_memory(0x1FFF0000, 0x8000, 0x1FFF7590)


def build(board: Board, line: SerialLine, elf: Path) -> G071:
    """A NUCLEO-G071RB."""
    machine = G071(board, line)
    machine.load_elf(elf)
    machine.usart.wire("PA2", "PA3")
    line.attach(machine.usart, machine.after)
    return machine
