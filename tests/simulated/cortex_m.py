"""A Cortex-M: exceptions, sleep and faults around Unicorn's instructions.

Sections of the Armv7-M Architecture Reference Manual (DDI 0403E) unless said otherwise. The memory
protection unit is told to be absent, and there is no stack limit beyond what Unicorn checks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile
from unicorn import UC_ARCH_ARM, UC_HOOK_CODE, UC_MODE_MCLASS, UC_MODE_THUMB
from unicorn import arm_const as arm

from tests.simulated.machine import SLICE_INSTRUCTIONS, Halted, Machine
from tests.simulated.processor import new_processor
from tests.simulated.serial_line import SerialLine
from tests.simulated.system_control import SystemControl, Watchpoints

CORES = {
    "cortex-m0": arm.UC_CPU_ARM_CORTEX_M0,
    "cortex-m0plus": arm.UC_CPU_ARM_CORTEX_M0,
    "cortex-m3": arm.UC_CPU_ARM_CORTEX_M3,
    "cortex-m4": arm.UC_CPU_ARM_CORTEX_M4,
    "cortex-m7": arm.UC_CPU_ARM_CORTEX_M7,
    "cortex-m33": arm.UC_CPU_ARM_CORTEX_M33,
}


class Exc(IntEnum):
    """Exception numbers, B1.5.2."""

    RESET = 1
    NMI = 2
    HARD_FAULT = 3
    MEM_MANAGE = 4
    BUS_FAULT = 5
    USAGE_FAULT = 6
    SVCALL = 11
    PENDSV = 14
    SYSTICK = 15
    FIRST_IRQ = 16


class Intr(IntEnum):
    """What Unicorn tells its hook: QEMU's target/arm/cpu.h."""

    UDEF = 1
    SWI = 2
    PREFETCH_ABORT = 3
    BKPT = 7
    EXCEPTION_EXIT = 8
    NOCP = 17
    INVSTATE = 18
    STKOF = 19
    UNALIGNED = 22


_USAGE = {
    Intr.UDEF: 1 << 16,
    Intr.INVSTATE: 1 << 17,
    Intr.NOCP: 1 << 19,
    Intr.STKOF: 1 << 20,
    Intr.UNALIGNED: 1 << 24,
}
"""The bits of CFSR, B3.2.15; STKOF of DDI 0553."""

_CALLER_SAVED = (
    arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1, arm.UC_ARM_REG_R2, arm.UC_ARM_REG_R3,
    arm.UC_ARM_REG_R12, arm.UC_ARM_REG_LR,
)  # fmt: skip
_FP_SAVED = tuple(arm.UC_ARM_REG_S0 + number for number in range(16))
_FPCA = 1 << 2
_XPSR_REALIGNED = 1 << 9
_XPSR_THUMB = 1 << 24
_XPSR_IT = 0x0600FC00
_WFI = 0xBF30
_IDLE = 256
"""The priority of thread mode: below all of the eight bits that a priority may have."""


def _unmasking(code: bytes) -> Iterator[int]:
    """Places behind CPSIE i and MSR PRIMASK, Rn (B5.2.1, B5.2.3)."""
    halves = struct.unpack(f"<{len(code) // 2}H", code[: len(code) // 2 * 2])
    for index, half in enumerate(halves):
        if half == 0xB662:
            yield 2 * index + 2
        elif half & 0xFFF0 == 0xF380 and halves[index + 1 : index + 2] == (0x8810,):
            yield 2 * index + 4


class CortexM(Machine):
    """A machine with such a core. A chip's class adds memory and peripherals."""

    priority_bits = 4
    """Of the eight of a priority; a chip has as many as its CMSIS header says."""

    def __init__(self, core: str, line: SerialLine, vectors: int, irq_count: int) -> None:
        uc = new_processor(UC_ARCH_ARM, UC_MODE_THUMB | UC_MODE_MCLASS, CORES[core])
        super().__init__(uc, line)
        self.core = core
        self.has_fpu = core in ("cortex-m4", "cortex-m7", "cortex-m33")
        self.armv6m = core in ("cortex-m0", "cortex-m0plus")
        if self.armv6m:
            self.priority_bits = 2
        self.vectors_after_reset = vectors
        self.irq_count = irq_count
        self.active: list[int] = []
        self.pending: set[int] = set()
        self.asleep = False
        self.map_bus(0xE0000000, 0x100000)
        self.scs = SystemControl(self)
        self.add(self.scs)
        if not self.armv6m:
            self.add(Watchpoints(self))

    # The core's clock drives SysTick, too.

    def advance(self, clocks: int) -> None:
        super().advance(clocks)
        self.scs.systick.run()

    def skip_to(self, seconds: float) -> None:
        super().skip_to(seconds)
        self.scs.systick.run()

    def next_event(self) -> float | None:
        event = super().next_event()
        left = self.scs.systick.clocks_to_interrupt()
        if left is None:
            return event
        wrap = self.seconds + left / self.core_hz()
        return wrap if event is None else min(event, wrap)

    # Exceptions.

    def load_elf(self, elf: Path) -> None:
        """And look where interrupts are unmasked: one that waits is taken there."""
        super().load_elf(elf)
        with elf.open("rb") as stream:
            for segment in ELFFile(stream).iter_segments("PT_LOAD"):
                for place in _unmasking(segment.data()):
                    address = segment["p_vaddr"] + place
                    self.uc.hook_add(UC_HOOK_CODE, self._unmasked, begin=address, end=address)

    def _unmasked(self, uc: Any, address: int, size: int, _: object) -> None:
        wanted = self._next_pending()
        if wanted is not None and not self._is_masked(wanted):
            self.interrupted = True
            uc.emu_stop()

    def pend(self, number: int) -> None:
        """Make an exception pending."""
        if number not in self.pending:
            self.pending.add(number)
            self.attention = True

    def pend_irq(self, irq: int) -> None:
        """Make an interrupt pending."""
        self.pend(Exc.FIRST_IRQ + irq)

    def _priority(self, number: int) -> int:
        fixed = {Exc.RESET: -3, Exc.NMI: -2, Exc.HARD_FAULT: -1}
        return fixed[Exc(number)] if number <= Exc.HARD_FAULT else self.scs.priority(number)

    def _next_pending(self) -> int | None:
        """The one that would preempt if nothing was masked; the lowest number first, B1.5.4."""
        ready = [
            n for n in self.pending if n < Exc.FIRST_IRQ or self.scs.is_enabled(n - Exc.FIRST_IRQ)
        ]
        if not ready:
            return None
        best = min(ready, key=lambda n: (self._priority(n), n))
        now = min((self._priority(n) for n in self.active), default=_IDLE)
        return best if self._priority(best) < now else None

    def _is_masked(self, number: int) -> bool:
        priority = self._priority(number)
        if priority >= 0 and self.uc.reg_read(arm.UC_ARM_REG_PRIMASK) & 1:
            return True
        base = 0 if self.armv6m else self.uc.reg_read(arm.UC_ARM_REG_BASEPRI)
        return base != 0 and priority >= base

    def step(self) -> None:
        """See Machine."""
        wanted = self._next_pending()
        if wanted is not None:
            self.asleep = False  # WFI ends even where it is masked, B1.5.19
            if not self._is_masked(wanted) and not self.uc.reg_read(arm.UC_ARM_REG_XPSR) & _XPSR_IT:
                self.pending.discard(wanted)
                self._enter(wanted)
        if self.asleep:
            event = self.next_event()
            if event is not None:
                self.skip_to(event)
            return
        in_it_block = bool(self.uc.reg_read(arm.UC_ARM_REG_XPSR) & _XPSR_IT)
        self.run_slice(self.resume_address(), 1 if in_it_block else SLICE_INSTRUCTIONS)
        self._after_slice()

    def _after_slice(self) -> None:
        if self.bad_access is not None:
            self._bus_fault(*self.bad_access)
        elif self.intr == Intr.EXCEPTION_EXIT:
            self._return(self.uc.reg_read(arm.UC_ARM_REG_PC) | 1)
        elif self.intr is not None:
            self._usage_fault(self.intr)

    def _usage_fault(self, intr: int) -> None:
        pc = self.uc.reg_read(arm.UC_ARM_REG_PC)
        self.violation(f"the core raised {Intr(intr).name} at 0x{pc:08X}")
        self.scs.fault(_USAGE.get(Intr(intr), 0), None)
        self._enter_fault(Exc.USAGE_FAULT)

    def _bus_fault(self, access: int, address: int) -> None:
        fetch = address & ~1 == self.uc.reg_read(arm.UC_ARM_REG_PC) & ~1
        status = 1 << 8 if fetch else 1 << 9 | 1 << 15  # IBUSERR; PRECISERR, BFARVALID
        self.scs.fault(status, None if fetch else address)
        self._enter_fault(Exc.BUS_FAULT)

    def _enter_fault(self, number: int) -> None:
        """Or a HardFault, where it has no handler or is masked; in that one, a lock-up."""
        masked = self._is_masked(number) or self._priority(number) >= min(
            (self._priority(n) for n in self.active), default=_IDLE
        )
        if not self.scs.has_handler(number) or masked:
            number = Exc.HARD_FAULT
        if any(self._priority(n) <= -1 for n in self.active):
            raise Halted("a fault in the handler of a HardFault: the core locks up, B1.5.15")
        self._enter(number)

    def _enter(self, number: int) -> None:
        """Push the frame, B1.5.6, and take the vector. An FPU in use is saved at once."""
        uc, reg = self.uc, self.uc.reg_read
        control, xpsr = reg(arm.UC_ARM_REG_CONTROL), reg(arm.UC_ARM_REG_XPSR)
        with_fp = self.has_fpu and bool(control & _FPCA)
        on_process = bool(control & 2) and not self.active
        sp = reg(arm.UC_ARM_REG_PSP if on_process else arm.UC_ARM_REG_SP)
        pc = reg(arm.UC_ARM_REG_PC) & ~1
        realigned = bool(sp & 4)
        sp = (sp & ~7) - (104 if with_fp else 32)
        frame = [*(reg(r) for r in _CALLER_SAVED), pc, xpsr & ~_XPSR_REALIGNED | realigned << 9]
        if with_fp:
            frame += [*(reg(r) for r in _FP_SAVED), reg(arm.UC_ARM_REG_FPSCR), 0]
        uc.mem_write(sp, struct.pack(f"<{len(frame)}I", *(word & 0xFFFFFFFF for word in frame)))
        in_handler = bool(self.active)
        back = (0xFFFFFFE1 if with_fp else 0xFFFFFFF1) | (not in_handler) << 3 | on_process << 2
        self.active.append(number)
        uc.reg_write(arm.UC_ARM_REG_XPSR, _XPSR_THUMB | number)
        uc.reg_write(arm.UC_ARM_REG_IPSR, number)
        uc.reg_write(arm.UC_ARM_REG_CONTROL, control & ~(_FPCA | 2))
        uc.reg_write(arm.UC_ARM_REG_SP, sp)
        uc.reg_write(arm.UC_ARM_REG_LR, back)
        vector = self.word(self.scs.vectors + 4 * number)
        if not vector & 1:
            raise Halted(f"exception {number} has no handler: vector 0x{vector:08X}")
        uc.reg_write(arm.UC_ARM_REG_PC, vector)

    def _return(self, back: int) -> None:
        """Pop the frame, B1.5.8."""
        if not self.active:
            raise Halted(f"a jump to 0x{back:08X} in thread mode")
        uc = self.uc
        self.active.pop()
        with_fp, on_process, to_thread = not back & 1 << 4, bool(back & 4), bool(back & 8)
        if to_thread == bool(self.active):
            raise Halted(f"an exception return to the wrong mode: 0x{back:08X}")
        sp = uc.reg_read(arm.UC_ARM_REG_PSP if on_process else arm.UC_ARM_REG_SP)
        words = 26 if with_fp else 8
        frame = struct.unpack(f"<{words}I", uc.mem_read(sp, 4 * words))
        uc.reg_write(arm.UC_ARM_REG_XPSR, frame[7] & ~_XPSR_REALIGNED)
        uc.reg_write(arm.UC_ARM_REG_IPSR, self.active[-1] if self.active else 0)
        for register, value in zip(_CALLER_SAVED, frame, strict=False):
            uc.reg_write(register, value)
        control = uc.reg_read(arm.UC_ARM_REG_CONTROL) & ~(_FPCA | 2)
        uc.reg_write(arm.UC_ARM_REG_CONTROL, control | (with_fp and _FPCA) | on_process << 1)
        if with_fp:
            for register, value in zip(_FP_SAVED, frame[8:24], strict=True):
                uc.reg_write(register, value)
            uc.reg_write(arm.UC_ARM_REG_FPSCR, frame[24])
        uc.reg_write(arm.UC_ARM_REG_SP, sp + 4 * words + (4 if frame[7] & _XPSR_REALIGNED else 0))
        uc.reg_write(arm.UC_ARM_REG_PC, frame[6] | 1)

    # The rest of a Machine.

    def resume_address(self) -> int:
        """See Machine."""
        return int(self.uc.reg_read(arm.UC_ARM_REG_PC)) | 1

    def is_asleep(self) -> bool:
        """See Machine."""
        return self.asleep

    def asleep_at_end(self) -> bool:
        """See Machine: Unicorn returns behind a WFI."""
        pc = self.resume_address() & ~1
        self.asleep = int.from_bytes(self.uc.mem_read(pc - 2, 2), "little") == _WFI
        return self.asleep

    def boot(self) -> None:
        """B1.5.5."""
        self.active.clear()
        self.pending.clear()
        self.asleep = False
        self.scs.vectors = self.vectors_after_reset
        self.start_at(self.vectors_after_reset)

    def start_at(self, vectors: int) -> None:
        """Run the program with this vector table, as a reset or a boot ROM does."""
        uc = self.uc
        uc.reg_write(arm.UC_ARM_REG_XPSR, _XPSR_THUMB)
        uc.reg_write(arm.UC_ARM_REG_IPSR, 0)
        for register in (arm.UC_ARM_REG_CONTROL, arm.UC_ARM_REG_PRIMASK):
            uc.reg_write(register, 0)
        uc.reg_write(arm.UC_ARM_REG_LR, 0xFFFFFFFF)
        uc.reg_write(arm.UC_ARM_REG_SP, self.word(vectors))
        uc.reg_write(arm.UC_ARM_REG_PC, self.word(vectors + 4))
