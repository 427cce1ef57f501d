"""ESP32-C3 Technical Reference Manual (v1.0): clocks, PLL, RTC, interrupt matrix, eFuses.

The PLL's registers are in no manual: what is right is taken from ESP-IDF v5.1, clk_tree_ll.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tests.simulated.peripheral import Peripheral, Register, Table

if TYPE_CHECKING:
    from tests.simulated.chips.esp32c3 import Esp32C3

CRYSTAL_HZ = 40_000_000
WATCHDOG_KEY = 0x50D83AA1
_SUPER_KEY = 0x8F1D312A
_MAC = bytes.fromhex("A0764E112233")
_PLL_480_MHZ = {2: 0x50, 3: 8, 4: 0x6B, 6: 0x63}
"""Registers of the PLL for 480 MHz of 40 MHz; of 5 and 9 only fields are written."""


class System(Peripheral):
    """Chapter 16, and 6.2.4 for the clocks."""

    machine: Esp32C3
    registers: ClassVar[Table] = {
        0x008: Register("CPU_PER_CONF", defined=0xFF, reset=0x0C),
        0x010: Register("PERIP_CLK_EN0", reset=0xF9C1E06F),
        0x014: Register("PERIP_CLK_EN1", defined=0x7FE, reset=0x200),
        0x018: Register("PERIP_RST_EN0"),
        0x01C: Register("PERIP_RST_EN1", defined=0x7FE, reset=0x1FE),
        0x058: Register("SYSCLK_CONF", defined=0xFFFFF, reset=1, read_only=0xFF000),
    }

    def core_hz(self) -> float:
        """6.2.4.1: table CPU_CLK source."""
        conf = self.values["SYSCLK_CONF"]
        source = conf >> 10 & 3
        if source == 0:
            return CRYSTAL_HZ / ((conf & 0x3FF) + 1)
        return (80e6, 160e6, 80e6, 80e6)[self.values["CPU_PER_CONF"] & 3] if source == 1 else 17.5e6

    def write_sysclk_conf(self, old: int, value: int) -> None:
        """The PLL must run before it is selected."""
        if value >> 10 & 3 == 1 and not self.machine.pll.is_locked():
            self.violation("the core is switched to a PLL that is not locked")
        if value >> 10 & 3 == 1 and self.values["CPU_PER_CONF"] & 7 != 5:
            self.violation("CPU_PER_CONF is not 160 MHz of 480 MHz (6.2.4.1)")

    def why_off(self, bit: int) -> str | None:
        """Whether a peripheral has its clock and is out of reset."""
        if not self.values["PERIP_CLK_EN0"] >> bit & 1:
            return f"its clock is off (PERIP_CLK_EN0 bit {bit})"
        return (
            f"it is held in reset (bit {bit})" if self.values["PERIP_RST_EN0"] >> bit & 1 else None
        )


class AnalogMaster(Peripheral):
    """What starts the calibration of the PLL."""

    registers: ClassVar[Table] = {0x40: Register("ANA_CONF0", reset=0x4, defined=0xFFFFFFFF)}


class Pll:
    """Behind the internal bus."""

    def __init__(self, machine: Esp32C3) -> None:
        self._machine = machine
        self.registers: dict[int, int] = {}
        self._asked = 0

    def is_locked(self) -> bool:
        """The bit OR_LOCK: some reads after all is right."""
        conf = self._machine.analog.values["ANA_CONF0"]
        options = self._machine.rtc.values["OPTIONS0"]
        running = conf & 0xC == 0x8 and not options & (1 << 6 | 1 << 8 | 1 << 10)
        right = all(self.registers.get(a) == v for a, v in _PLL_480_MHZ.items())
        if running and self.registers and not right:
            self._machine.violation(f"the PLL is set up with {self.registers}")
        return running and right and self._asked > 3 and self._machine.ready

    def read_field(self, address: int, high: int, low: int) -> int:
        """esp_rom_regi2c_read_mask."""
        if address == 8:
            self._asked += 1
            value = int(self.is_locked()) << 7
        else:
            value = self.registers.get(address, 0)
        return value >> low & ((1 << (high - low + 1)) - 1)


class Rtc(Peripheral):
    """Chapter 9; a system reset leaves it as it is (6.1.2)."""

    machine: Esp32C3
    registers: ClassVar[Table] = {
        0x000: Register("OPTIONS0", reset=0x1C00A000, defined=0xFFF3FFFF),
        0x090: Register("WDTCONFIG0", reset=0x00013214),
        0x0A8: Register("WDTWPROTECT"),
        0x0AC: Register("SWD_CONF", reset=0x04B00000, defined=0xFFFE0003),
        0x0B0: Register("SWD_WPROTECT"),
        0x0F4: Register("OPTION1", defined=1),
    }

    def reset(self) -> None:
        if not self.values:
            super().reset()
        self.values["OPTIONS0"] &= ~(1 << 31)
        self.values["WDTCONFIG0"] |= 1 << 12  # WDT_FLASHBOOT_MOD_EN, by the ROM

    def store(self, offset: int, size: int, value: int) -> None:
        for guarded, key, unlocked in (
            (0x90, "WDTWPROTECT", WATCHDOG_KEY),
            (0xAC, "SWD_WPROTECT", _SUPER_KEY),
        ):
            if offset == guarded and self.values[key] != unlocked:
                self.violation(f"offset 0x{offset:X} written while it is protected (12.2.2.3)")
                return
        super().store(offset, size, value)

    def write_options0(self, old: int, value: int) -> None:
        """6.1.2: the system reset."""
        if value & 1 << 31:
            self.machine.uart.check_sent()
            self.machine.reset_wanted = True


class Matrix(Peripheral):
    """Chapter 8: sources to lines, lines to the core."""

    machine: Esp32C3
    registers: ClassVar[Table] = (
        {4 * n: Register(f"MAP{n}", defined=0x1F) for n in range(62)}
        | {
            0x104: Register("ENABLE"),
            0x108: Register("TYPE"),
            0x10C: Register("CLEAR"),
            0x110: Register("EIP_STATUS", read_only=0xFFFFFFFF),
            0x194: Register("THRESH", defined=0xF),
        }
        | {0x114 + 4 * n: Register(f"PRI{n}", defined=0xF) for n in range(32)}
    )

    def line(self, up: list[int]) -> int | None:
        """The line of the highest priority among those of the sources that are up (8.3.3)."""
        best: tuple[int, int] | None = None
        for source in up:
            line = self.values[f"MAP{source}"]
            priority = self.values[f"PRI{line}"]
            served = (
                self.values["ENABLE"] >> line & 1
                and line
                and priority >= max(self.values["THRESH"], 1)
            )
            if served and (best is None or priority > best[0]):
                best = (priority, line)
        return best[1] if best is not None else None


class Efuse(Peripheral):
    """Chapter 4: the MAC address."""

    registers: ClassVar[Table] = {
        0x44: Register("MAC_0", read_only=0xFFFFFFFF),
        0x48: Register("MAC_1", read_only=0xFFFFFFFF),
    }

    def reset(self) -> None:
        self.values = {
            "MAC_0": int.from_bytes(_MAC[2:], "big"),
            "MAC_1": int.from_bytes(_MAC[:2], "big"),
        }
