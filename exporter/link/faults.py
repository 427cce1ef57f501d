"""What a device remembers of a crash, and what its registers say."""

from __future__ import annotations

import enum
import signal
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

NO_STEP = 0xFFFF
REGISTERS = 16
CALLERS = 8


class FaultKind(enum.IntEnum):
    """Whose registers a record holds."""

    ARM_M = 1
    RISCV = 2
    POSIX = 3


class Reason(enum.IntEnum):
    """What the device took the crash for."""

    FAULT = 0
    STACK_OVERFLOW = 1
    ARENA_OVERRUN = 2
    WATCHDOG = 3


REGISTER_NAMES: Mapping[int, tuple[str, ...]] = {
    FaultKind.ARM_M: (*(f"r{i}" for i in range(13)), "xpsr", "exc_return", "hfsr"),
    FaultKind.RISCV: ("gp", *(f"t{i}" for i in range(7)), *(f"a{i}" for i in range(8))),
    FaultKind.POSIX: (
        *("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp"),
        *(f"r{i}d" for i in range(8, 16)),
        "eflags",
    ),
}
"""The further registers of a record, in its order; of a native process low halves on x86-64."""

_REASONS = {
    Reason.STACK_OVERFLOW: "stack overflow",
    Reason.ARENA_OVERRUN: "write outside the arena",
    Reason.WATCHDOG: "watchdog: the run did not end in time",
}
_ARM_EXCEPTIONS = {
    2: "NMI",
    3: "HardFault",
    4: "MemManage",
    5: "BusFault",
    6: "UsageFault",
    7: "SecureFault",
}
_NMI = 2
# Configurable Fault Status Register: Armv7-M Architecture Reference Manual, B3.2.15.
_CFSR_BITS = {
    0: "instruction access violation",
    1: "data access violation",
    3: "MPU fault on exception return",
    4: "MPU fault on exception entry",
    5: "MPU fault while saving FPU state",
    8: "instruction bus error",
    9: "precise data bus error",
    10: "imprecise data bus error",
    11: "bus fault on exception return",
    12: "bus fault on exception entry",
    13: "bus fault while saving FPU state",
    16: "undefined instruction",
    17: "invalid state (Thumb bit clear)",
    18: "invalid exception return",
    19: "coprocessor disabled or absent",
    20: "stack overflow",
    24: "unaligned access",
    25: "division by zero",
}
_CFSR_ADDRESS_VALID = (1 << 7) | (1 << 15)
# HardFault Status Register: the same, B3.2.16.
_HFSR_BITS = {
    1: "bus error on reading the vector table",
    30: "escalated",
    31: "debug event",
}
# mcause: The RISC-V Instruction Set Manual, Volume II, "Machine Cause Register".
_RISCV_CAUSES = {
    0: "instruction address misaligned",
    1: "instruction access fault",
    2: "illegal instruction",
    3: "breakpoint",
    4: "load address misaligned",
    5: "load access fault",
    6: "store address misaligned",
    7: "store access fault",
    11: "environment call",
    0x80000007: "machine timer",
}
_RISCV_WITH_ADDRESS = (0, 1, 4, 5, 6, 7)
# POSIX.1-2017, <signal.h>: what si_code says of the signals that tell an address.
_SIGNAL_CODES = {
    (signal.SIGSEGV, 1): "no memory there",
    (signal.SIGSEGV, 2): "access not permitted",
    (signal.SIGBUS, 1): "unaligned access",
    (signal.SIGBUS, 2): "no such address",
    (signal.SIGFPE, 1): "division by zero",
    (signal.SIGFPE, 2): "integer overflow",
    (signal.SIGILL, 1): "illegal instruction",
    (signal.SIGILL, 2): "illegal operand",
}
_SIGNALS_WITH_ADDRESS = (signal.SIGSEGV, signal.SIGBUS)


@dataclass(frozen=True)
class Fault:
    """The record of a crash: PROTOCOL.md, TAKE_FAULT.

    `cause`, `status` and `address` are exception number, CFSR and BFAR or MMFAR (Arm); mcause, 0
    and mtval (RISC-V); signal, si_code and si_addr (native process, the low halves of addresses).
    `pc`, and `lr` of a native process, are 0 where they are not known. `callers` are return
    addresses that the device found on its stack, the last call first: hints, not a backtrace.
    """

    LAYOUT = struct.Struct("<BBH6I")
    WORDS = struct.Struct(f"<{REGISTERS + CALLERS}I")
    kind: int
    reason: int
    step: int | None
    cause: int
    status: int
    address: int
    pc: int
    lr: int
    sp: int
    registers: Mapping[str, int] = field(default_factory=dict)
    callers: tuple[int, ...] = ()

    @classmethod
    def decode(cls, payload: bytes) -> Fault | None:
        """None where the device remembers no fault; struct.error where the record is short."""
        if payload[:1] == b"\0":
            return None
        kind, reason, step, cause, status, address, pc, lr, sp = cls.LAYOUT.unpack_from(payload)
        further = cls.WORDS.unpack_from(payload, cls.LAYOUT.size)
        names = REGISTER_NAMES.get(kind, ())
        registers = dict(zip(names, further, strict=False))
        known = None if step == NO_STEP else step
        callers = tuple(word for word in further[REGISTERS:] if word)
        return cls(kind, reason, known, cause, status, address, pc, lr, sp, registers, callers)

    def describe(self) -> str:
        """One line: the cause in words, then the registers that every record has."""
        registers = (
            f"pc=0x{self.pc:08x} lr=0x{self.lr:08x} sp=0x{self.sp:08x} "
            f"address=0x{self.address:08x} cause={self.cause:#x} status=0x{self.status:08x}"
        )
        return f"{self.cause_in_words()} ({registers})"

    def cause_in_words(self) -> str:
        """What happened: the device's reason, then what the core says."""
        if self.reason == Reason.WATCHDOG:
            return _REASONS[Reason.WATCHDOG]
        core = self._core_cause()
        if self.reason in _REASONS:
            return f"{_REASONS[Reason(self.reason)]} ({core})"
        return core

    def _core_cause(self) -> str:
        if self.kind == FaultKind.ARM_M:
            return self._arm_cause()
        if self.kind == FaultKind.RISCV:
            name = _RISCV_CAUSES.get(self.cause, f"RISC-V trap {self.cause}")
            return self._at_address(name, self.cause in _RISCV_WITH_ADDRESS)
        if self.kind == FaultKind.POSIX and self.cause in list(signal.Signals):
            return self._signal_cause(signal.Signals(self.cause))
        return f"cause {self.cause}"

    def _arm_cause(self) -> str:
        exception = _ARM_EXCEPTIONS.get(self.cause, f"exception {self.cause}")
        hard = [
            text for bit, text in _HFSR_BITS.items() if self.registers.get("hfsr", 0) >> bit & 1
        ]
        soft = [text for bit, text in _CFSR_BITS.items() if self.status >> bit & 1]
        name = ", ".join([exception, *hard])
        told = f"{name}: {', '.join(soft)}" if soft else name
        # Without a status (Armv6-M) the address is that of the instruction's access, or 0.
        known = self.address != 0 if self.status == 0 else self.status & _CFSR_ADDRESS_VALID
        return self._at_address(told, bool(known))

    def _signal_cause(self, number: signal.Signals) -> str:
        code = _SIGNAL_CODES.get((number, self.status))
        told = f"{number.name}: {code}" if code else number.name
        return self._at_address(told, number in _SIGNALS_WITH_ADDRESS)

    def _at_address(self, told: str, known: bool) -> str:
        return f"{told} at 0x{self.address:08x}" if known else told
