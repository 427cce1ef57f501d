"""RP2350 Datasheet, 7.5 and 8: resets, oscillators, PLL, clocks, ticks; aliases of registers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tests.simulated.peripheral import Peripheral, Register, Table, bits

if TYPE_CHECKING:
    from tests.simulated.chips.rp2350 import Rp2350

RING_HZ = 11_000_000  # 8.3: after reset, nominal
CRYSTAL_HZ = 12_000_000
_MOST_SYS_HZ = 150_000_000  # 14.9

_RESET_BITS = {
    "IO_BANK0": 6,
    "PADS_BANK0": 9,
    "PLL_SYS": 14,
    "SYSCFG": 20,
    "TIMER0": 23,
    "UART0": 26,
}
"""7.5.3"""


class Rp2Peripheral(Peripheral):
    """With aliases that flip, set and clear bits (2.1.3), and a line of RESETS (7.5)."""

    machine: Rp2350
    has_aliases = True

    def __init__(self, machine: Rp2350, name: str, base: int) -> None:
        super().__init__(machine, name, base, 0x4000)

    def sleeping(self) -> str | None:
        bit = _RESET_BITS.get(self.name)
        if bit is not None and self.machine.resets_block.values["RESET"] >> bit & 1:
            return "it is held in reset (7.5)"
        return None

    def load(self, offset: int, size: int) -> int:
        return super().load(offset & 0xFFF, size)

    def store(self, offset: int, size: int, value: int) -> None:
        alias, offset = offset >> 12, offset & 0xFFF
        if alias and self.sleeping() is None:
            old = self.peek(offset)
            value = (old ^ value, old | value, old & ~value)[alias - 1]
        super().store(offset, size, value & 0xFFFFFFFF)

    def peek(self, offset: int) -> int:
        """The value that an alias changes."""
        register = self.table.get(offset)
        return self.values[register.name] if register is not None else 0


class Resets(Rp2Peripheral):
    """7.5. After the boot ROM all but a few are held."""

    registers: ClassVar[Table] = {
        0x0: Register("RESET", defined=0x1FFFFFFF, reset=0x1FFFFFFF),
        0x4: Register("WDSEL", defined=0x1FFFFFFF),
        0x8: Register("DONE", defined=0x1FFFFFFF, read_only=0x1FFFFFFF),
    }

    def reset(self) -> None:
        super().reset()
        self.values["RESET"] &= ~(1 << 7 | 1 << 10)  # IO_QSPI and PADS_QSPI serve the flash

    def write_reset(self, old: int, value: int) -> None:
        """What is taken into reset forgets everything."""
        if value & (1 << 7 | 1 << 10):
            self.violation("the pins of the flash are put into reset while the code runs from it")
        for peripheral in self.machine.peripherals:
            bit = _RESET_BITS.get(peripheral.name)
            if bit is not None and value >> bit & 1:
                peripheral.reset()

    def read_done(self) -> int:
        """7.5.3."""
        return ~self.values["RESET"] & 0x1FFFFFFF


class Xosc(Rp2Peripheral):
    """8.2."""

    registers: ClassVar[Table] = {
        0x0: Register("CTRL", defined=0xFFFFFF),
        0x4: Register("STATUS", defined=0x81001003, read_only=0x81001003),
        0x8: Register("DORMANT"),
        0xC: Register("STARTUP", defined=bits(20, (13, 0))),
        0x10: Register("COUNT", defined=0xFFFF),
    }

    def write_ctrl(self, old: int, value: int) -> None:
        """ENABLE is 0xFAB, FREQ_RANGE 0xAA0 for 1 to 15 MHz; it is stable after STARTUP."""
        if value >> 12 != 0xFAB or value & 0xFFF != 0xAA0:
            self.violation(f"CTRL 0x{value:X}: 0xFABAA0 enables a crystal of 12 MHz (8.2.8)")
            return
        self.values["STATUS"] |= 1 << 12
        counted = (self.values["STARTUP"] & 0x3FFF) * 256 / CRYSTAL_HZ

        def stable() -> None:
            if self.machine.ready:
                self.values["STATUS"] |= 1 << 31

        if counted < 0.001:
            self.violation(
                f"the crystal is given {counted * 1000:.2f} ms to start: 1 ms is due (8.2.4)"
            )
        self.machine.after(counted, stable)

    def is_stable(self) -> bool:
        """Whether clocks may come from it."""
        return bool(self.values["STATUS"] >> 31)


class Pll(Rp2Peripheral):
    """8.6."""

    registers: ClassVar[Table] = {
        0x0: Register("CS", defined=bits(31, 30, 8, (5, 0)), reset=1, read_only=bits(31, 30)),
        0x4: Register("PWR", defined=bits(5, 3, 2, 0), reset=0x2D),
        0x8: Register("FBDIV_INT", defined=0xFFF),
        0xC: Register("PRIM", defined=bits((18, 16), (14, 12)), reset=0x77000),
        0x10: Register("INTR", defined=1),
        0x14: Register("INTE", defined=1),
        0x18: Register("INTF", defined=1),
        0x1C: Register("INTS", defined=1, read_only=1),
    }

    def vco_hz(self) -> float:
        """8.6.3."""
        return CRYSTAL_HZ / max(self.values["CS"] & 0x3F, 1) * self.values["FBDIV_INT"]

    def hz(self) -> float:
        """What comes out."""
        prim = self.values["PRIM"]
        return self.vco_hz() / max(prim >> 16 & 7, 1) / max(prim >> 12 & 7, 1)

    def runs(self) -> bool:
        """Locked, with its post dividers powered."""
        return bool(self.values["CS"] >> 31) and not self.values["PWR"] & (1 | 1 << 3 | 1 << 5)

    def write_pwr(self, old: int, value: int) -> None:
        """PD and VCOPD off: it locks."""
        if value & 0x21 or not old & 0x21:
            return
        if not self.machine.xosc.is_stable():
            self.violation(
                "the PLL is powered before its reference, the crystal, is stable (8.6.4)"
            )
        fbdiv = self.values["FBDIV_INT"]
        if not 16 <= fbdiv <= 320 or not 750e6 <= self.vco_hz() <= 1600e6:
            self.violation(
                f"FBDIV {fbdiv}, VCO {self.vco_hz() / 1e6:g} MHz: 16 to 320, 750 to 1600 (8.6.3)"
            )

        def lock() -> None:
            if self.machine.ready:
                self.values["CS"] |= 1 << 31

        self.machine.after(0.0001, lock)

    def _fixed(self, what: str) -> None:
        if not self.values["PWR"] & 0x20:
            self.violation(f"{what} changes while the VCO runs (8.6.4)")

    def write_fbdiv_int(self, old: int, value: int) -> None:
        """Before power only."""
        self._fixed("FBDIV")

    def write_cs(self, old: int, value: int) -> None:
        """REFDIV before power only."""
        if (old ^ value) & 0x3F:
            self._fixed("REFDIV")

    def write_prim(self, old: int, value: int) -> None:
        """Post dividers of 1 to 7."""
        if not value >> 16 & 7 >= 1 or not value >> 12 & 7 >= 1:
            self.violation("a post divider of 0 (8.6.5)")
        if self.machine.clocks_block.sys_source() == 1 and not self.values["PWR"] & 8:
            self.violation("PRIM changes while the system runs from the PLL")


class Clocks(Rp2Peripheral):
    """8.1. A glitchless multiplexer that is told to change to a stopped clock hangs the chip, as
    does one whose clock stops while it changes. After reset clk_sys is the auxiliary source 2, the
    ring oscillator.
    """

    registers: ClassVar[Table] = {
        0x30: Register("REF_CTRL", defined=bits((6, 5), (1, 0))),
        0x34: Register("REF_DIV", reset=0x10000, defined=0xFF0000),
        0x38: Register("REF_SELECTED", defined=0xF, reset=1, read_only=0xF),
        0x3C: Register("SYS_CTRL", defined=bits((7, 5), 0), reset=0x41),
        0x40: Register("SYS_DIV", reset=0x10000),
        0x44: Register("SYS_SELECTED", defined=3, reset=2, read_only=3),
        0x48: Register("PERI_CTRL", defined=bits(28, (11, 10), (7, 5)), read_only=1 << 28),
        0x4C: Register("PERI_DIV", reset=0x10000, defined=0x30000),
    }

    def ref_hz(self) -> float:
        """clk_ref."""
        source = self.values["REF_SELECTED"].bit_length() - 1
        return {0: RING_HZ, 2: CRYSTAL_HZ}.get(source, 0) / (self.values["REF_DIV"] >> 16 or 256)

    def sys_source(self) -> int:
        """What clk_sys comes from."""
        return self.values["SYS_SELECTED"].bit_length() - 1

    def sys_hz(self) -> float:
        """clk_sys."""
        source = self._auxiliary_hz() if self.sys_source() == 1 else self.ref_hz()
        return source / (self.values["SYS_DIV"] / 65536 or 65536)

    def _auxiliary_hz(self) -> float:
        """The auxiliary source of clk_sys: the PLL or the ring oscillator."""
        return {0: self.machine.pll.hz(), 2: RING_HZ}.get(self.values["SYS_CTRL"] >> 5 & 7, 0.0)

    def peri_hz(self) -> float:
        """clk_peri; 0 while it is off."""
        control = self.values["PERI_CTRL"]
        return self.sys_hz() if control & 1 << 11 and not control >> 5 & 7 else 0.0

    def write_ref_ctrl(self, old: int, value: int) -> None:
        """Ring oscillator or crystal."""
        source = value & 3
        if (source == 2 and not self.machine.xosc.is_stable()) or source not in (0, 2):
            self.violation(
                f"clk_ref is told to come from source {source}, which does not run (8.1.2)"
            )
            return
        self.values["REF_SELECTED"] = 1 << source

    def write_sys_ctrl(self, old: int, value: int) -> None:
        """clk_ref or an auxiliary source: 0 is the PLL, 2 the ring oscillator."""
        if (old ^ value) & 0xE0 and self.sys_source() == 1:
            self.violation("AUXSRC changes while it is selected (8.1.3.2)")
        auxiliary = value >> 5 & 7
        if value & 1 and auxiliary != 2 and (auxiliary or not self.machine.pll.runs()):
            self.violation(
                f"clk_sys is told to come from source {auxiliary}, which does not run (8.1.2)"
            )
            return
        self.values["SYS_SELECTED"] = 1 << (value & 1)
        if self.sys_hz() > _MOST_SYS_HZ:
            self.violation(f"clk_sys is {self.sys_hz() / 1e6:g} MHz: at most 150 (14.9)")

    def write_peri_ctrl(self, old: int, value: int) -> None:
        """The auxiliary source changes only while it is off."""
        if (old ^ value) & 0xE0 and old & 1 << 11:
            self.violation("AUXSRC of clk_peri changes while it is enabled (8.1.3.2)")


class Ticks(Rp2Peripheral):
    """8.5: what divides clk_ref to microseconds. Six generators, of three registers each."""

    registers: ClassVar[Table] = {
        0xC * n + offset: Register(f"{name}{n}", defined=defined, read_only=read_only)
        for n in range(6)
        for offset, name, defined, read_only in (
            (0, "CTRL", 3, 2),
            (4, "CYCLES", 0x1FF, 0),
            (8, "COUNT", 0x1FF, 0x1FF),
        )
    }

    def hz(self, generator: int) -> float:
        """Ticks in a second."""
        cycles = self.values[f"CYCLES{generator}"]
        on = self.values[f"CTRL{generator}"] & 1
        return self.machine.clocks_block.ref_hz() / cycles if on and cycles else 0.0
