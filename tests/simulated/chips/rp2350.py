"""RP2350, its Arm cores in secure state: RP2350 Datasheet (RP-008373-DS), by section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unicorn import UC_HOOK_CODE
from unicorn import arm_const as arm

from exporter.board import Board
from tests.simulated.chips.rp2350_clocks import RING_HZ, Clocks, Pll, Resets, Ticks, Xosc
from tests.simulated.chips.rp2350_devices import (
    CoreLocal,
    Otp,
    Pads,
    Pins,
    Pl011,
    PowerOn,
    Timer,
    Watchdog,
)
from tests.simulated.cortex_m import CortexM
from tests.simulated.machine import Memory
from tests.simulated.serial_line import SerialLine


class Rp2350(CortexM):
    """The chip with a crystal of 12 MHz and flash, as the boot ROM leaves it."""

    def __init__(self, board: Board, line: SerialLine) -> None:
        super().__init__(board.core, line, board.region("flash").origin, 52)
        self.map_memory(*(Memory(r.origin, r.bytes, r.kind) for r in board.memory))
        self.map_bus(0x40000000, 0x10000000)
        self.resets_block = Resets(self, "RESETS", 0x40020000)
        self.clocks_block = Clocks(self, "CLOCKS", 0x40010000)
        self.xosc, self.pll = Xosc(self, "XOSC", 0x40048000), Pll(self, "PLL_SYS", 0x40050000)
        self.pads, self.pins = (
            Pads(self, "PADS_BANK0", 0x40038000),
            Pins(self, "IO_BANK0", 0x40028000),
        )
        self.ticks = Ticks(self, "TICKS", 0x40108000)
        self.core_local = CoreLocal(self, "EPPB", 0xE0080000)
        self.uart = Pl011(self, "UART0", 0x40070000)
        for peripheral in (
            self.resets_block,
            self.clocks_block,
            self.xosc,
            self.pll,
            self.pads,
            self.pins,
            self.ticks,
            self.core_local,
            self.uart,
            Timer(self),
            Watchdog(self, "WATCHDOG", 0x400D8000),
            PowerOn(self, "PSM", 0x40018000),
            Otp(self, "OTP_DATA", 0x40130000),
        ):
            self.add(peripheral)
        self._add_rom()
        line.attach(self.uart, self.after)

    def core_hz(self) -> float:
        return self.clocks_block.sys_hz() or RING_HZ

    def _add_rom(self) -> None:
        """5.4.1: the magic, and a look-up that knows REBOOT alone."""
        self.map_memory(Memory(0, 0x8000, "flash"))
        self.uc.mem_write(0, bytes(0x8000))
        self.uc.mem_write(0x10, b"Mu\x02\x02")
        self.uc.mem_write(0x16, (0x101).to_bytes(2, "little"))
        for address in (0x100, 0x200):
            self.uc.mem_write(address, b"\x70\x47")  # BX LR
        self.uc.hook_add(UC_HOOK_CODE, self._look_up, begin=0x100, end=0x100)
        self.uc.hook_add(UC_HOOK_CODE, self._reboot, begin=0x200, end=0x200)

    def _look_up(self, uc: Any, address: int, size: int, _: object) -> None:
        code, flags = uc.reg_read(arm.UC_ARM_REG_R0), uc.reg_read(arm.UC_ARM_REG_R1)
        known = code == int.from_bytes(b"RB", "little") and flags == 4
        uc.reg_write(arm.UC_ARM_REG_R0, 0x201 if known else 0)

    def _reboot(self, uc: Any, address: int, size: int, _: object) -> None:
        if uc.reg_read(arm.UC_ARM_REG_R0) & 0xF != 2:
            self.violation("the ROM is asked for another kind of reboot than to BOOTSEL (5.4.8.24)")
        self.in_loader = self.interrupted = True
        uc.emu_stop()

    def reset(self) -> None:
        """AIRCR.SYSRESETREQ resets the core alone: clocks, pins and the UART go on (7.3.4)."""
        if self.resets == 0:
            super().reset()
            return
        self.resets += 1
        self.reset_wanted = False
        self.drop_access()
        for peripheral in (self.scs, self.core_local):
            peripheral.reset()
        self.boot()

    def boot(self) -> None:
        """5.2: the boot ROM looks for an image definition in the first 4 KB."""
        first = bytes(self.uc.mem_read(self.vectors_after_reset, 4096))
        place = first.find((0xFFFFDED3).to_bytes(4, "little"))
        if place < 0 or place % 4:
            self.violation("there is no image definition in the first 4 KB of the flash (5.9)")
        super().boot()


def build(board: Board, line: SerialLine, elf: Path) -> Rp2350:
    """A Pico 2."""
    machine = Rp2350(board, line)
    machine.load_elf(elf)
    return machine
