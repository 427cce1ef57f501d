"""A peripheral: registers as the manual's tables have them, and what happens beside storing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from tests.simulated.machine import Machine

ALL = 0xFFFFFFFF


def bits(*places: int | tuple[int, int]) -> int:
    """A mask: single bits, and ranges as the manuals have them, (highest, lowest)."""
    mask = 0
    for place in places:
        high, low = (place, place) if isinstance(place, int) else place
        mask |= ((1 << (high - low + 1)) - 1) << low
    return mask


def field(value: int, high: int, low: int) -> int:
    """Bits `high` to `low` of `value`."""
    return value >> low & ((1 << (high - low + 1)) - 1)


@dataclass(frozen=True)
class Register:
    """One row of a register table. Bits outside `defined` keep their reset value."""

    name: str
    defined: int = ALL
    reset: int = 0
    read_only: int = 0
    """Bits of `defined` that only the hardware changes; writing them has no effect."""
    write_one: int = 0
    """Bits of `defined` that are commands: they read as 0, or as what the model makes of them."""


Table = Mapping[int, Register]
"""Registers by offset."""


class Peripheral:
    """A block of registers. A subclass gives `registers`, and methods `read_name`, `write_name` for
    those with effects: the first returns what is read, the second is told the old and new value.
    """

    registers: ClassVar[Table] = {}
    narrow = False
    """Whether bytes and half words may be accessed."""

    def __init__(self, machine: Machine, name: str, base: int, size: int = 0x400) -> None:
        self.machine, self.name, self.base, self.size = machine, name, base, size
        self.values: dict[str, int] = {}
        self._readers: dict[str, Callable[[], int]] = {}
        self._writers: dict[str, Callable[[int, int], None]] = {}
        self.table = self.make_table()
        for register in self.table.values():
            reader = getattr(self, f"read_{register.name.lower()}", None)
            writer = getattr(self, f"write_{register.name.lower()}", None)
            if reader is not None:
                self._readers[register.name] = reader
            if writer is not None:
                self._writers[register.name] = writer
        self.reset()

    def make_table(self) -> Table:
        """The registers, where parts of a family differ in them."""
        return self.registers

    def reset(self) -> None:
        """The values after a reset of the system."""
        self.values = {register.name: register.reset for register in self.table.values()}

    def sleeping(self) -> str | None:
        """Why it does not answer (no clock, held in reset); None where it does."""
        return None

    def violation(self, text: str) -> None:
        """What the manual forbids."""
        self.machine.violation(f"{self.name}: {text}")

    def load(self, offset: int, size: int) -> int:
        """A read of `size` bytes."""
        register = self._register(offset, size, "read")
        if register is None:
            return 0
        reader = self._readers.get(register.name)
        value = reader() if reader is not None else self.values[register.name]
        return value >> (offset % 4 * 8) & ((1 << size * 8) - 1)

    def store(self, offset: int, size: int, value: int) -> None:
        """A write of `size` bytes."""
        register = self._register(offset, size, "written")
        if register is None:
            return
        old = self.values[register.name]
        if size < 4:
            shift, mask = offset % 4 * 8, (1 << size * 8) - 1
            value = (old & ~(mask << shift) & ~register.write_one) | value << shift
        strange = (value ^ register.reset) & ~register.defined
        if strange:
            self.violation(
                f"{register.name} written with 0x{value:08X}: bits 0x{strange:08X} are reserved"
            )
        kept = register.read_only | register.write_one
        new = (old & kept) | (value & ~kept)
        self.values[register.name] = new & register.defined | register.reset & ~register.defined
        writer = self._writers.get(register.name)
        if writer is not None:
            writer(old, value)

    def _register(self, offset: int, size: int, done: str) -> Register | None:
        reason = self.sleeping()
        if reason is not None:
            self.violation(f"offset 0x{offset:X} {done} while {reason}")
            return None
        register = self.table.get(offset & ~3)
        if register is None:
            self.violation(f"offset 0x{offset:X} {done}: no register is known there")
        elif size != 4 and not self.narrow:
            self.violation(f"{register.name} {done} with {size} bytes")
        return register
