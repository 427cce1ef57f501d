"""STM32H743: RM0433 and its datasheet (DS12110)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from exporter.board import Board
from tests.simulated.chips.stm32 import Gate, Pin, Pins, PortReset, Rcc, Stm32
from tests.simulated.chips.stm32_devices import Timer, UsartV2
from tests.simulated.peripheral import Peripheral, Register, Table, bits, field
from tests.simulated.serial_line import SerialLine

HSI_HZ = 64_000_000
HSE_HZ = 8_000_000
_HPRE = {8: 2, 9: 4, 10: 8, 11: 16, 12: 64, 13: 128, 14: 256, 15: 512}
_PPRE = {4: 2, 5: 4, 6: 8, 7: 16}
_WAIT_STATES = {
    1: ((45, 0, 0), (90, 1, 1), (135, 2, 1), (180, 3, 2), (225, 4, 2)),
    2: ((55, 0, 0), (110, 1, 1), (165, 2, 1), (225, 3, 2)),
    3: ((70, 0, 0), (140, 1, 1), (185, 2, 1), (210, 2, 2), (225, 3, 2)),
}
"""Table 17: by VOS, the highest AXI clock with its wait states and WRHIGHFREQ."""
_MOST_MHZ = {1: (200, 100, 50), 2: (300, 150, 75), 3: (400, 200, 100)}
"""DS12110, table 22: core, AXI and AHB, APB, by VOS."""
_USART3: Pins = {
    "tx": (Pin("B", 10, 7), Pin("C", 10, 7), Pin("D", 8, 7)),
    "rx": (Pin("B", 11, 7), Pin("C", 11, 7), Pin("D", 9, 7)),
}
"""DS12110, tables 8 to 18."""


class RccH7(Rcc):
    """8.7."""

    machine: H743
    registers: ClassVar[Table] = {
        0x00: Register(
            "CR",
            defined=bits((29, 24), (19, 12), 9, 8, 7, (5, 0)),
            reset=0xC025,
            read_only=bits(29, 27, 25, 17, 15, 14, 13, 8, 5, 2),
        ),
        0x10: Register("CFGR", defined=0xFFFCFFFF, read_only=0x38),
        0x18: Register("D1CFGR", defined=bits((11, 8), (6, 0))),
        0x1C: Register("D2CFGR", defined=bits((10, 8), (6, 4))),
        0x20: Register("D3CFGR", defined=bits((6, 4))),
        0x28: Register(
            "PLLCKSELR", defined=bits((25, 20), (17, 12), (9, 4), (1, 0)), reset=0x02020200
        ),
        0x2C: Register("PLLCFGR", defined=bits((24, 16), (11, 0)), reset=0x01FF0000),
        0x30: Register("PLL1DIVR", defined=bits((30, 24), (22, 16), (15, 0)), reset=0x01010280),
        0x34: Register("PLL1FRACR", defined=0xFFF8),
        0xD4: Register("AHB3ENR", defined=0x00015031),
        0xD8: Register("AHB1ENR", defined=0x1E038023),
        0xDC: Register("AHB2ENR", defined=0xE0000271),
        0xE0: Register("AHB4ENR", defined=0x132807FF),
        0xE4: Register("APB3ENR", defined=0x48),
        0xE8: Register("APB1LENR", defined=0xE8FFC3FF),
        0xEC: Register("APB1HENR", defined=0x136),
        0xF0: Register("APB2ENR", defined=0x31D73033),
        0xF4: Register("APB4ENR", defined=0x0021DEAA, reset=0x10000),
    }

    def _vco_hz(self) -> float:
        divider = field(self.values["PLLCKSELR"], 9, 4)
        return HSE_HZ / divider * (field(self.values["PLL1DIVR"], 8, 0) + 1) if divider else 0.0

    def _source_hz(self) -> float:
        pll = self._vco_hz() / (field(self.values["PLL1DIVR"], 15, 9) + 1)
        return {0: HSI_HZ, 2: HSE_HZ, 3: pll}.get(field(self.values["CFGR"], 5, 3), 0.0)

    def clock(self, name: str) -> float:
        """8.5.5: core, AXI and AHB, APB1; timers with twice its clock where it is divided."""
        d1 = self.values["D1CFGR"]
        core = self._source_hz() / _HPRE.get(field(d1, 11, 8), 1)
        bus = core / _HPRE.get(field(d1, 3, 0), 1)
        divider = _PPRE.get(field(self.values["D2CFGR"], 6, 4), 1)
        return {
            "core": core,
            "bus": bus,
            "pclk1": bus / divider,
            "tim1": bus / divider * min(divider, 2),
        }[name]

    def write_cr(self, old: int, value: int) -> None:
        """HSE, which is a clock from elsewhere on this board, and PLL1."""
        rising, falling = value & ~old, old & ~value
        if rising & 1 << 16:
            if not value & 1 << 18:
                self.violation("HSE is switched on as a crystal: the board feeds a clock (HSEBYP)")
            self.becomes_ready("CR", 1 << 16, 1 << 17, 0.0001)
        if rising & 1 << 24:
            self._start_pll()
        running = field(self.values["CFGR"], 5, 3)
        for bit, number, what in ((0, 0, "HSI"), (16, 2, "HSE"), (24, 3, "PLL1")):
            if falling & 1 << bit:
                if running == number:
                    self.violation(f"{what} is switched off while it is the system clock (8.7.2)")
                self.values["CR"] &= ~(1 << (2 if bit == 0 else bit + 1))

    def _start_pll(self) -> None:
        select, cfg = self.values["PLLCKSELR"], self.values["PLLCFGR"]
        divider = field(select, 9, 4)
        if select & 3 != 2 or not self.values["CR"] & 1 << 17:
            self.violation("PLL1 is switched on without a source that is ready (8.7.9)")
        reference = HSE_HZ / divider / 1e6 if divider else 0
        low, high = ((1, 2), (2, 4), (4, 8), (8, 16))[field(cfg, 3, 2)]
        if not low <= reference <= high:
            self.violation(
                f"PLL1's input is {reference:g} MHz, PLL1RGE says {low} to {high} (8.7.10)"
            )
        if not cfg & 2 and reference < 2:
            self.violation("the wide VCO has an input below 2 MHz (8.5.5)")
        most = (150, 420) if cfg & 2 else (192, 836)
        if not most[0] <= self._vco_hz() / 1e6 <= most[1]:
            self.violation(
                f"the VCO is at {self._vco_hz() / 1e6:g} MHz: {most[0]} to {most[1]} (DS12110)"
            )
        if not field(self.values["PLL1DIVR"], 15, 9) % 2:
            self.violation("DIVP1 is an odd divider (8.7.11)")
        self.becomes_ready("CR", 1 << 24, 1 << 25, 0.0002)

    def _fixed(self, what: str) -> None:
        if self.values["CR"] & 1 << 24:
            self.violation(f"{what} is written while PLL1 is on (8.7.9)")

    def write_pllckselr(self, old: int, value: int) -> None:
        """Only while PLLs are off."""
        self._fixed("PLLCKSELR")

    def write_pllcfgr(self, old: int, value: int) -> None:
        """Only while PLLs are off."""
        self._fixed("PLLCFGR")

    def write_pll1divr(self, old: int, value: int) -> None:
        """Only while PLL1 is off."""
        self._fixed("PLL1DIVR")

    def write_cfgr(self, old: int, value: int) -> None:
        """The switch takes effect where the source is ready."""
        wanted = value & 7
        ready = {0: 1 << 2, 2: 1 << 17, 3: 1 << 25}.get(wanted, 0)
        if not self.values["CR"] & ready:
            self.violation(f"SW selects source {wanted}, which is not ready (8.7.6)")
        elif wanted == 3 and not self.values["PLLCFGR"] & 1 << 16:
            self.violation("PLL1 is selected while its output P is off (8.7.10)")
        else:
            self.values["CFGR"] = self.values["CFGR"] & ~0x38 | wanted << 3
        self.check_rates()

    def write_d1cfgr(self, old: int, value: int) -> None:
        """Dividers of the core and of AXI."""
        self.check_rates()

    def write_d2cfgr(self, old: int, value: int) -> None:
        """Dividers of APB1 and APB2."""
        self.check_rates()

    def write_d3cfgr(self, old: int, value: int) -> None:
        """The divider of APB4."""
        self.check_rates()

    def check_rates(self) -> None:
        """Voltage (6.6.1), wait states (4.3.8), buses."""
        vos = self.machine.pwr.vos()
        core, bus = self.clock("core") / 1e6, self.clock("bus") / 1e6
        d2, d3, d1 = self.values["D2CFGR"], self.values["D3CFGR"], self.values["D1CFGR"]
        dividers = (field(d1, 6, 4), field(d2, 6, 4), field(d2, 10, 8), field(d3, 6, 4))
        fastest = max(bus / _PPRE.get(code, 1) for code in dividers)
        for what, mhz, most in zip(
            ("core", "AXI", "an APB"), (core, bus, fastest), _MOST_MHZ[vos], strict=True
        ):
            if mhz > most:
                self.violation(
                    f"the clock of {what} is {mhz:g} MHz: at most {most} at VOS {vos} (DS12110)"
                )
        acr = self.machine.flash.values["ACR"]
        if not any(
            bus <= most and acr & 0xF >= w and acr >> 4 & 3 >= d for most, w, d in _WAIT_STATES[vos]
        ):
            self.violation(
                f"AXI is {bus:g} MHz with {acr & 0xF} wait states and {acr >> 4 & 3} (table 17)"
            )


class PwrH7(Peripheral):
    """6.8."""

    machine: H743
    registers: ClassVar[Table] = {
        0x00: Register("CR1", defined=0x0007C3F1, reset=0xF000C000),
        0x04: Register("CSR1", defined=0x0001E010, reset=0x4000, read_only=0x0001E010),
        0x08: Register("CR2", defined=0x00F10011, read_only=0x00F10000),
        0x0C: Register("CR3", defined=bits(26, 25, 24, (9, 8), (2, 0)), reset=6, read_only=1 << 26),
        0x10: Register("CPUCR", defined=0xBE7, read_only=0x1E0),
        0x18: Register("D3CR", defined=bits((15, 13)), reset=0x4000, read_only=1 << 13),
    }

    def reset(self) -> None:
        kept = self.values.get("CR3")  # only a power-up resets it (6.8.4)
        super().reset()
        if kept is not None:
            self.values["CR3"] = kept
            self.values["CSR1"] |= 1 << 13

    def vos(self) -> int:
        """3 is scale 1. It is that of D3CR once VOSRDY is set."""
        ready = self.values["D3CR"] & 1 << 13
        return (self.values["D3CR"] >> 14 & 3 or 1) if ready else 1

    def write_cr3(self, old: int, value: int) -> None:
        """The first write chooses the supply; without it no voltage scale can be chosen (6.4.1)."""
        if not old & 4:
            self.values["CR3"] = old  # written already: locked
            return
        if value & 7 != 2:
            self.violation(
                f"CR3 0x{value:X} is another supply than the LDO that the board has (6.4.1)"
            )
        self._later("CSR1")

    def write_d3cr(self, old: int, value: int) -> None:
        """VOS takes some time."""
        if self.values["CR3"] & 4:
            self.violation("a voltage scale is chosen before the supply is (6.4.1)")
        if not self.values["CSR1"] & 1 << 13:
            self.violation("a voltage scale is chosen before ACTVOSRDY (6.4.1)")
        self.values["D3CR"] &= ~(1 << 13)
        self._later("D3CR")

    def _later(self, name: str) -> None:
        def ready() -> None:
            self.values[name] |= 1 << 13

        self.machine.after(0.00004, ready)


class FlashH7(Peripheral):
    """4.9.1."""

    machine: H743
    registers: ClassVar[Table] = {0x00: Register("ACR", defined=bits((5, 0)), reset=0x37)}

    def write_acr(self, old: int, value: int) -> None:
        """Fewer wait states than the clock needs."""
        self.machine.rcc.check_rates()


class H743(Stm32):
    """The part with the peripherals that a link needs."""

    rcc: RccH7

    def __init__(self, board: Board, line: SerialLine) -> None:
        super().__init__(board, line, 150)
        self.rcc, self.pwr, self.flash = (
            RccH7(self, "RCC", 0x58024400),
            PwrH7(self, "PWR", 0x58024800),
            FlashH7(self, "FLASH", 0x52002000),
        )
        for peripheral in (self.rcc, self.pwr, self.flash):
            self.add(peripheral)
        self.add_ports(
            0x58020000,
            "ABCDEFGHIJK",
            {
                "A": PortReset(0xABFFFFFF, 0x0C000000, 0x64000000),
                "B": PortReset(0xFFFFFEBF, 0xC0, 0x100),
                "?": PortReset(0xFFFFFFFF),
            },
            "AHB4ENR",
            has_brr=False,
        )
        self.usart = UsartV2(self, "USART3", 0x40004800, 39, Gate("APB1LENR", 18), _USART3)
        self.add(self.usart)
        self.add(Timer(self, "TIM2", 0x40000000, 28, Gate("APB1LENR", 0), "tim1", 32))
        self.add(Timer(self, "TIM5", 0x40000C00, 50, Gate("APB1LENR", 3), "tim1", 32))
        self.add_system_memory(0x1FF00000, 0x20000, 0x1FF1E800, table=0x1FF09800)


def build(board: Board, line: SerialLine, elf: Path) -> H743:
    """A NUCLEO-H743ZI."""
    machine = H743(board, line)
    machine.load_elf(elf)
    machine.usart.wire("PD8", "PD9")
    line.attach(machine.usart, machine.after)
    return machine
