"""A RISC-V core in machine mode: traps and level interrupts around Unicorn's instructions.

Sections of the RISC-V Instruction Set Manual, Volume II (20211203).
"""

from __future__ import annotations

from abc import abstractmethod
from enum import IntEnum

from unicorn import UC_ARCH_RISCV, UC_MODE_RISCV32
from unicorn import riscv_const as riscv
from unicorn.unicorn_const import UC_MEM_FETCH_PROT, UC_MEM_FETCH_UNMAPPED, UC_MEM_READ_UNMAPPED

from tests.simulated.machine import Machine
from tests.simulated.processor import new_processor
from tests.simulated.serial_line import SerialLine

_MIE, _MPIE, _MPP = 1 << 3, 1 << 7, 3 << 11
_INTERRUPT = 1 << 31


class Cause(IntEnum):
    """3.1.15."""

    INSTRUCTION_ACCESS = 1
    ILLEGAL = 2
    LOAD_ACCESS = 5
    STORE_ACCESS = 7


class RiscV(Machine):
    """A machine with such a core, whose trap vector is a table. A chip's class adds the rest."""

    def __init__(self, line: SerialLine, entry: int) -> None:
        super().__init__(new_processor(UC_ARCH_RISCV, UC_MODE_RISCV32), line)
        self._entry = entry

    @abstractmethod
    def interrupt(self) -> int | None:
        """The line of the core that is up, enabled and of enough priority; None where none is."""

    def step(self) -> None:
        """See Machine."""
        line = self.interrupt()
        if line is not None and self.uc.reg_read(riscv.UC_RISCV_REG_MSTATUS) & _MIE:
            self._trap(_INTERRUPT | line, 0, 4 * line)
        self.run_slice(self.resume_address())
        if self.bad_access is not None:
            self._access_fault(*self.bad_access)
        elif self.intr is not None:
            self.violation(
                f"the core raised exception {self.intr} at 0x{self.resume_address():08X}"
            )
            self._trap(self.intr, 0, 0)

    def _access_fault(self, access: int, address: int) -> None:
        if access in (UC_MEM_FETCH_UNMAPPED, UC_MEM_FETCH_PROT):
            cause = Cause.INSTRUCTION_ACCESS
        else:
            cause = Cause.LOAD_ACCESS if access == UC_MEM_READ_UNMAPPED else Cause.STORE_ACCESS
        self._trap(cause, address, 0)

    def _trap(self, cause: int, value: int, offset: int) -> None:
        """3.1.6.1, 3.1.7: what a trap into machine mode writes."""
        uc = self.uc
        status = uc.reg_read(riscv.UC_RISCV_REG_MSTATUS)
        status = status & ~(_MIE | _MPIE) | (_MPIE if status & _MIE else 0) | _MPP
        uc.reg_write(riscv.UC_RISCV_REG_MSTATUS, status)
        uc.reg_write(riscv.UC_RISCV_REG_MEPC, self.resume_address())
        uc.reg_write(riscv.UC_RISCV_REG_MCAUSE, cause)
        uc.reg_write(riscv.UC_RISCV_REG_MTVAL, value)
        table = uc.reg_read(riscv.UC_RISCV_REG_MTVEC) & ~3
        uc.reg_write(riscv.UC_RISCV_REG_PC, table + offset)

    def resume_address(self) -> int:
        """See Machine."""
        return int(self.uc.reg_read(riscv.UC_RISCV_REG_PC))

    def is_asleep(self) -> bool:
        """See Machine. This firmware polls: it never sleeps."""
        return False

    def asleep_at_end(self) -> bool:
        """See Machine."""
        return False

    def boot(self) -> None:
        """3.4."""
        self.uc.reg_write(riscv.UC_RISCV_REG_MSTATUS, _MPP)
        self.uc.reg_write(riscv.UC_RISCV_REG_PC, self._entry)
