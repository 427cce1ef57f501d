"""What a device remembers of a crash, and what its registers say."""

from __future__ import annotations

import enum
import signal
import struct
from dataclasses import dataclass


class FaultKind(enum.IntEnum):
    """Whose registers a record holds."""

    ARM_M = 1
    RISCV = 2
    POSIX = 3


_ARM_EXCEPTIONS = {
    2: "NMI",
    3: "HardFault",
    4: "MemManage",
    5: "BusFault",
    6: "UsageFault",
    7: "SecureFault",
}
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
}


@dataclass(frozen=True)
class Fault:
    """The registers of a crash.

    `cause`, `status` and `address` are exception number, CFSR and BFAR or MMFAR (Arm); mcause, 0
    and mtval (RISC-V); signal, si_code and si_addr (native process).
    """

    LAYOUT = struct.Struct("<B6I")
    kind: int
    cause: int
    status: int
    address: int
    pc: int
    lr: int
    sp: int

    @classmethod
    def decode(cls, payload: bytes) -> Fault | None:
        """None where the device remembers no fault; struct.error where the payload is short."""
        if payload[:1] == b"\0":
            return None
        return cls(*cls.LAYOUT.unpack_from(payload))

    def describe(self) -> str:
        """One line: the cause in words, then the registers."""
        registers = (
            f"pc=0x{self.pc:08x} lr=0x{self.lr:08x} sp=0x{self.sp:08x} "
            f"address=0x{self.address:08x} cause={self.cause} status=0x{self.status:08x}"
        )
        return f"{self._cause()} ({registers})"

    def _cause(self) -> str:
        if self.kind == FaultKind.ARM_M:
            return self._arm_cause()
        if self.kind == FaultKind.RISCV:
            return _RISCV_CAUSES.get(self.cause, f"RISC-V trap {self.cause}")
        if self.kind == FaultKind.POSIX and self.cause in list(signal.Signals):
            return signal.Signals(self.cause).name
        return f"cause {self.cause}"

    def _arm_cause(self) -> str:
        exception = _ARM_EXCEPTIONS.get(self.cause, f"exception {self.cause}")
        reasons = [text for bit, text in _CFSR_BITS.items() if self.status >> bit & 1]
        if self.status & _CFSR_ADDRESS_VALID:
            reasons.append(f"at 0x{self.address:08x}")
        return f"{exception}: {', '.join(reasons)}" if reasons else exception
