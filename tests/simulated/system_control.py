"""The System Control Space of a Cortex-M: SysTick, NVIC, system control block; and the DWT.

Sections of DDI 0403E. What Armv6-M (DDI 0419E) lacks is absent there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tests.simulated.peripheral import Peripheral, Register, Table, bits

if TYPE_CHECKING:
    from tests.simulated.cortex_m import CortexM

_CPUID = {
    "cortex-m0": 0x410CC200,
    "cortex-m0plus": 0x410CC601,
    "cortex-m3": 0x412FC231,
    "cortex-m4": 0x410FC241,
    "cortex-m7": 0x411FC271,
    "cortex-m33": 0x411FD210,
}
_PENDSTSET, _PENDSTCLR, _PENDSVSET = 1 << 26, 1 << 25, 1 << 28
_SYSTICK, _PENDSV = 15, 14
_FAULT_ENABLES = {4: 1 << 16, 5: 1 << 17, 6: 1 << 18}
_ARMV7M = range(0xD14, 0xF48, 4)
_ARMV6M = (0xD14, 0xD1C, 0xD20, 0xD24, 0xD30, *range(0xD90, 0xDA4, 4), 0xDFC)
"""What Armv6-M has of that (DDI 0419E, B3.2.2, B3.5.1, C1.5.3)."""
_CCR = {"cortex-m0plus": 0x208, "cortex-m0": 0x208, "cortex-m7": 0x40200, "cortex-m33": 0x201}
_CACHE_SIZES = {0: 0xF00FE019, 1: 0xF01FE009}
"""By CSSELR: 16 KB of four ways for data, 16 KB of two for instructions (RM0433, 1.2)."""


class SysTick:
    """B3.3: counts down from RVR to 0 by the core's clock."""

    def __init__(self, machine: CortexM) -> None:
        self._machine = machine
        self.reset()

    def reset(self) -> None:
        """Stopped."""
        self.csr = self.rvr = 0
        self._last = 0
        self._value = 0
        self._flag = 0

    def run(self) -> None:
        """Count what has passed since the last call."""
        now = self._machine.clocks
        passed, self._last = now - self._last, now
        if not self.csr & 1 or self.rvr == 0 or passed <= 0:
            return
        period = self.rvr + 1
        to_zero = self._value if self._value else period
        if passed >= to_zero:
            self._flag = 1 << 16
            if self.csr & 2:
                self._machine.pend(_SYSTICK)
        self._value = (self._value - passed) % period

    def clocks_to_interrupt(self) -> int | None:
        """How long until it interrupts."""
        if self.csr & 3 != 3 or self.rvr == 0:
            return None
        return self._value or self.rvr + 1

    def read(self, offset: int) -> int:
        """A register, by its offset in the space."""
        self.run()
        if offset == 0x10:
            value, self._flag = self.csr | self._flag, 0
            return value
        return {0x14: self.rvr, 0x18: self._value, 0x1C: 0xC0000000}[offset]

    def write(self, offset: int, value: int) -> None:
        """See read."""
        self.run()
        if offset == 0x10:
            if value & 5 == 1:
                self._machine.violation("SysTick counts the chip's reference, which is not here")
            self.csr = value & 7
        elif offset == 0x14:
            self.rvr = value & 0xFFFFFF
        else:
            self._value = self._flag = 0


class SystemControl(Peripheral):
    """0xE000E000 to 0xE000EFFF."""

    machine: CortexM
    narrow = True
    registers: ClassVar[Table] = {
        0x004: Register("ICTR", defined=0xF, read_only=0xF),
        0x008: Register("ACTLR"),
        0xD00: Register("CPUID", read_only=0xFFFFFFFF),
        0xD04: Register(
            "ICSR",
            defined=bits((31, 31), (28, 25), (23, 22), (20, 11), (8, 0)),
            write_one=bits(31, (28, 25)),
        ),
        0xD08: Register("VTOR", defined=0xFFFFFF80),
        0xD0C: Register("AIRCR", write_one=0xFFFFFFFF),
        0xD10: Register("SCR", defined=bits(4, 2, 1)),
        0xD14: Register("CCR", defined=bits((18, 16), (9, 8), 4, 3, 1, 0), reset=0x200),
        0xD18: Register("SHPR1"),
        0xD1C: Register("SHPR2"),
        0xD20: Register("SHPR3"),
        0xD24: Register("SHCSR", defined=bits((19, 10), 8, 7, 3, 1, 0)),
        0xD28: Register("CFSR", write_one=0xFFFFFFFF),
        0xD2C: Register("HFSR", write_one=0xFFFFFFFF),
        0xD30: Register("DFSR", write_one=0x1F),
        0xD34: Register("MMFAR"),
        0xD38: Register("BFAR"),
        0xD80: Register("CCSIDR", read_only=0xFFFFFFFF),
        0xD84: Register("CSSELR", defined=0xF),
        0xF50: Register("ICIALLU", write_one=0xFFFFFFFF),
        0xF60: Register("DCISW", write_one=0xFFFFFFFF),
        0xD88: Register("CPACR", defined=bits((23, 20), (3, 0))),
        0xD90: Register("MPU_TYPE", read_only=0xFFFFFFFF),
        0xD94: Register("MPU_CTRL", defined=7),
        0xD98: Register("MPU_RNR", defined=0xFF),
        0xD9C: Register("MPU_RBAR"),
        0xDA0: Register("MPU_RASR"),
        0xDFC: Register("DEMCR", defined=bits(24, (19, 16), (10, 4), 0)),
        0xF00: Register("STIR", defined=0x1FF),
        0xF34: Register("FPCCR", reset=0xC0000000),
    }

    def __init__(self, machine: CortexM) -> None:
        self.systick = SysTick(machine)
        self.enabled = 0
        self.priorities: dict[int, int] = {}
        self.regions_left: dict[int, int] = {}
        """MPU_RASR of the regions in which a boot loader leaves the memory protection unit."""
        self.regions: dict[int, int] = {}
        self.vectors = 0
        super().__init__(machine, "SCS", 0xE000E000, 0x1000)

    def reset(self) -> None:
        super().reset()
        self.values["CPUID"] = _CPUID[self.machine.core]
        self.values["CCR"] = _CCR.get(self.machine.core, 0x200)
        self.values["ICTR"] = (self.machine.irq_count - 1) // 32
        self.systick.reset()
        self.systick._last = self.machine.clocks
        self.enabled = 0
        self.priorities.clear()
        self.regions = dict(self.regions_left)
        if self.regions:
            self.values["MPU_TYPE"], self.values["MPU_CTRL"] = 8 << 8, 5

    def is_enabled(self, irq: int) -> bool:
        """Whether the NVIC lets it through."""
        return bool(self.enabled >> irq & 1)

    def priority(self, number: int) -> int:
        """Of an exception that has one to choose; the byte of its register."""
        if number >= 16:
            return self.priorities.get(number - 16, 0)
        register = self.values[f"SHPR{number // 4}"]
        return register >> (number % 4 * 8) & self._priority_mask()

    def _priority_mask(self) -> int:
        """The upper bits of the eight are there, B1.5.4."""
        return 0xFF & ~(0xFF >> self.machine.priority_bits)

    def has_handler(self, number: int) -> bool:
        """Whether a fault is enabled and does not become a HardFault, B3.2.13."""
        return not self.machine.armv6m and bool(self.values["SHCSR"] & _FAULT_ENABLES[number])

    def fault(self, status: int, address: int | None) -> None:
        """What the status registers say afterwards."""
        self.values["CFSR"] |= status
        if address is not None:
            self.values["BFAR"] = address

    def load(self, offset: int, size: int) -> int:
        if 0x10 <= offset < 0x20:
            return self.systick.read(offset)
        if 0x100 <= offset < 0x600:
            return self._read_nvic(offset, size)
        if self._is_absent(offset):
            self.violation(f"offset 0x{offset:X} read: Armv6-M has no such register")
        return super().load(offset, size)

    def store(self, offset: int, size: int, value: int) -> None:
        if 0x10 <= offset < 0x20:
            self.systick.write(offset, value)
        elif 0x100 <= offset < 0x600:
            self._write_nvic(offset, size, value)
        else:
            if self._is_absent(offset):
                self.violation(f"offset 0x{offset:X} written: Armv6-M has no such register")
            super().store(offset, size, value)

    def _is_absent(self, offset: int) -> bool:
        return self.machine.armv6m and offset & ~3 in _ARMV7M and offset & ~3 not in _ARMV6M

    def _pending_irqs(self) -> int:
        return sum(1 << n - 16 for n in self.machine.pending if n >= 16)

    def _read_nvic(self, offset: int, size: int) -> int:
        """B3.4: five banks of one bit each, then one byte each."""
        if offset >= 0x400:
            return sum(self.priorities.get(offset - 0x400 + i, 0) << 8 * i for i in range(size))
        bank, word = divmod(offset - 0x100, 0x80)
        if bank == 4:
            active = sum(1 << n - 16 for n in self.machine.active if n >= 16)
            return active >> word * 8 & 0xFFFFFFFF
        value = self.enabled if bank < 2 else self._pending_irqs()
        return value >> word * 8 & 0xFFFFFFFF

    def _write_nvic(self, offset: int, size: int, value: int) -> None:
        if offset >= 0x400:
            if self.machine.armv6m and size != 4:
                self.violation("NVIC: Armv6-M has words of priorities only (DDI 0419E, B3.4.1)")
            for i in range(size):
                self.priorities[offset - 0x400 + i] = value >> 8 * i & self._priority_mask()
            return
        bank, word = divmod(offset - 0x100, 0x80)
        value <<= word * 8
        if value >> self.machine.irq_count:
            self.violation(f"NVIC: interrupt {value.bit_length() - 1} does not exist")
        if bank == 0:
            self.enabled |= value
            self.machine.attention = bool(self._pending_irqs() & self.enabled)
        elif bank == 1:
            self.enabled &= ~value
        elif bank < 4:  # IABR is to be read
            self._set_pending(value, bank == 2)

    def _set_pending(self, irqs: int, on: bool) -> None:
        for irq in range(irqs.bit_length()):
            if irqs >> irq & 1 and on:
                self.machine.pend_irq(irq)
            elif irqs >> irq & 1:
                self.machine.pending.discard(16 + irq)

    def read_ccsidr(self) -> int:
        """B4.8.4: the cache that CSSELR selects."""
        return _CACHE_SIZES.get(self.values["CSSELR"], 0)

    def read_icsr(self) -> int:
        """B3.2.4."""
        self.systick.run()
        active = self.machine.active[-1] if self.machine.active else 0
        pending = self.machine.pending
        waiting = min(pending, default=0) << 12
        return active | waiting | (_SYSTICK in pending) << 26 | (_PENDSV in pending) << 28

    def write_icsr(self, old: int, value: int) -> None:
        """B3.2.4."""
        if value & _PENDSTCLR:
            self.machine.pending.discard(_SYSTICK)
        if value & _PENDSTSET:
            self.machine.pend(_SYSTICK)
        if value & _PENDSVSET:
            self.machine.pend(_PENDSV)

    def write_vtor(self, old: int, value: int) -> None:
        """B3.2.5: aligned to the table's size, rounded up to a power of two."""
        align = 1 << (4 * (16 + self.machine.irq_count) - 1).bit_length()
        align = 256 if self.machine.armv6m else max(align, 128)
        if value % align:
            self.violation(f"VTOR 0x{value:08X} is not aligned to {align} bytes")
        self.vectors = value

    def read_aircr(self) -> int:
        """B3.2.6: VECTKEYSTAT."""
        return 0xFA050000

    def write_aircr(self, old: int, value: int) -> None:
        """B3.2.6."""
        if value >> 16 != 0x05FA:
            self.violation(f"AIRCR written with 0x{value:08X}: without the key")
        elif value & 4:
            self.machine.reset_wanted = True

    def write_mpu_rbar(self, old: int, value: int) -> None:
        """With VALID it selects the region, B3.5.8. Nothing is protected."""
        if value & 1 << 4:
            self.values["MPU_RNR"] = value & 0xF

    def write_mpu_rasr(self, old: int, value: int) -> None:
        """Of the region that is selected."""
        self.regions[self.values["MPU_RNR"]] = value

    def write_cfsr(self, old: int, value: int) -> None:
        """Ones clear."""
        self.values["CFSR"] &= ~value

    def write_hfsr(self, old: int, value: int) -> None:
        """Ones clear."""
        self.values["HFSR"] &= ~value


class Watchpoints(Peripheral):
    """C1.8: the cycle counter, which counts only while DEMCR.TRCENA is set."""

    machine: CortexM
    registers: ClassVar[Table] = {
        0x000: Register(
            "CTRL", defined=bits((31, 28), (22, 0)), reset=0x40000000, read_only=bits((31, 24))
        ),
        0x004: Register("CYCCNT"),
        0xFB0: Register("LAR"),
    }

    def __init__(self, machine: CortexM) -> None:
        super().__init__(machine, "DWT", 0xE0001000, 0x1000)

    def reset(self) -> None:
        super().reset()
        self._offset = 0

    def store(self, offset: int, size: int, value: int) -> None:
        locked = self.machine.core == "cortex-m7" and self.values["LAR"] != 0xC5ACCE55
        if locked and offset != 0xFB0:
            self.violation(f"offset 0x{offset:X} written while the lock is closed (LAR)")
            return
        super().store(offset, size, value)

    def sleeping(self) -> str | None:
        return None if self.machine.scs.values["DEMCR"] & 1 << 24 else "DEMCR.TRCENA is 0"

    def read_cyccnt(self) -> int:
        """Counts while it is enabled."""
        if self.values["CTRL"] & 1:
            return (self.machine.clocks - self._offset) & 0xFFFFFFFF
        return self.values["CYCCNT"]

    def write_ctrl(self, old: int, value: int) -> None:
        """It goes on from where it stands."""
        if value & 1 and not old & 1:
            self._offset = self.machine.clocks - self.values["CYCCNT"]

    def write_cyccnt(self, old: int, value: int) -> None:
        """It goes on from there."""
        self._offset = self.machine.clocks - value
