"""ESP32-C3: its Technical Reference Manual (v1.0), by chapter; the ROM as ESP-IDF v5.1 names it."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from unicorn import UC_HOOK_CODE, UC_PROT_EXEC, UC_PROT_READ
from unicorn import riscv_const as riscv

from exporter.board import Board
from tests.simulated.chips.esp32c3_devices import SystemTimer, TimerGroup, Uart
from tests.simulated.chips.esp32c3_system import AnalogMaster, Efuse, Matrix, Pll, Rtc, System
from tests.simulated.machine import Memory
from tests.simulated.riscv import RiscV
from tests.simulated.serial_line import SerialLine

_ROM_READ_FIELD, _ROM_WRITE, _ROM_WRITE_FIELD = 0x40001958, 0x4000195C, 0x40001960
_UART, _WATCHDOG, _SYSTIMER = 21, 33, 37
_ROM_WATCHDOG_SECONDS = 1.0
"""Before the first stage of what the ROM started would end: chapter 12.2.2.2."""


class Esp32C3(RiscV):
    """The chip with its flash mapped by the ROM, as direct boot finds it."""

    def __init__(self, board: Board, line: SerialLine) -> None:
        flash = board.region("flash")
        super().__init__(line, flash.origin + 8)
        ram = board.region("ram")
        self.map_memory(Memory(ram.origin, ram.bytes, "ram"), Memory(0x40000000, 0x60000, "flash"))
        self._flash = ctypes.create_string_buffer(b"\xff" * flash.bytes, flash.bytes + 4096)
        aligned = (ctypes.addressof(self._flash) + 4095) & ~4095
        assert flash.data_origin is not None
        for origin in (flash.origin, flash.data_origin):
            self.uc.mem_map_ptr(origin, flash.bytes, UC_PROT_READ | UC_PROT_EXEC, aligned)
        self.map_bus(0x60000000, 0x100000)
        self.pll = Pll(self)
        self.system = System(self, "SYSTEM", 0x600C0000, 0x1000)
        self.analog = AnalogMaster(self, "I2C_ANA_MST", 0x6000E000, 0x1000)
        self.rtc = Rtc(self, "RTC_CNTL", 0x60008000, 0x800)
        self.group = TimerGroup(self, "TIMG0", 0x6001F000, 0x1000)
        self.uart = Uart(self, "UART0", 0x60000000, 0x1000)
        self.timer = SystemTimer(self, "SYSTIMER", 0x60023000, 0x1000)
        self.matrix = Matrix(self, "INTERRUPT_CORE0", 0x600C2000, 0x800)
        for peripheral in (
            self.system,
            self.analog,
            self.rtc,
            self.group,
            self.uart,
            self.timer,
            self.matrix,
            Efuse(self, "EFUSE", 0x60008800, 0x800),
        ):
            self.add(peripheral)
        self._add_rom()
        line.attach(self.uart, self.after)

    def core_hz(self) -> float:
        return self.system.core_hz()

    def interrupt(self) -> int | None:
        up = [
            (self.uart.is_up(), _UART),
            (self.group.is_up(), _WATCHDOG),
            (self.timer.is_up(), _SYSTIMER),
        ]
        return self.matrix.line([source for is_up, source in up if is_up])

    def _add_rom(self) -> None:
        for address in (_ROM_READ_FIELD, _ROM_WRITE, _ROM_WRITE_FIELD):
            self.uc.mem_write(address, b"\x82\x80")  # RET
            self.uc.hook_add(UC_HOOK_CODE, self._rom, begin=address, end=address)

    def _rom(self, uc: Any, address: int, size: int, _: object) -> None:
        block, host, register, *rest = (uc.reg_read(riscv.UC_RISCV_REG_A0 + n) for n in range(6))
        if (block, host) != (0x66, 0):
            self.violation(f"block 0x{block:X} on host {host} of the internal bus is not the PLL")
        if address == _ROM_READ_FIELD:
            uc.reg_write(riscv.UC_RISCV_REG_A0, self.pll.read_field(register, rest[0], rest[1]))
        elif address == _ROM_WRITE:
            self.pll.registers[register] = rest[0]
        else:
            high, low, value = rest
            mask = ((1 << (high - low + 1)) - 1) << low
            old = self.pll.registers.get(register, 0)
            self.pll.registers[register] = old & ~mask | value << low & mask

    def boot(self) -> None:
        """Direct boot: the ROM looks for its magic, and jumps behind it."""
        if self.rtc.values["OPTION1"]:
            self.in_loader = True
        if bytes(self.uc.mem_read(self._entry - 8, 8)) != bytes.fromhex("1D04DBAE") * 2:
            self.violation("the flash does not begin with the magic of direct boot")
        super().boot()
        self.after(_ROM_WATCHDOG_SECONDS, self._check_watchdogs)

    def _check_watchdogs(self) -> None:
        if self.rtc.values["WDTCONFIG0"] & (1 << 31 | 1 << 12):
            self.violation("the watchdog that the ROM started was left running (12.2.2.2)")
        if not self.rtc.values["SWD_CONF"] & (1 << 31 | 1 << 30):
            self.violation("nobody feeds the super watchdog (12.3)")


def build(board: Board, line: SerialLine, elf: Path) -> Esp32C3:
    """A DevKitM-1."""
    machine = Esp32C3(board, line)
    machine.load_elf(elf)
    return machine
