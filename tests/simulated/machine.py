"""A machine: a processor in slices, simulated time, peripherals on a bus, and what was done wrong.

Time is counted in clocks of the core: an instruction takes one, an access to a peripheral
ACCESS_CLOCKS. Real cores take other times; durations on this machine mean nothing but order.
"""

from __future__ import annotations

import heapq
import itertools
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile
from unicorn import (
    UC_HOOK_INTR,
    UC_HOOK_MEM_INVALID,
    UC_PROT_ALL,
    UC_PROT_EXEC,
    UC_PROT_READ,
)
from unicorn.unicorn_const import UC_MEM_WRITE_PROT

from tests.simulated.peripheral import Peripheral
from tests.simulated.processor import ProcessorError
from tests.simulated.serial_line import SerialLine

SLICE_INSTRUCTIONS = 4000
ACCESS_CLOCKS = 2
_GRANULE_BITS = 8
_MOST_VIOLATIONS = 50


@dataclass(frozen=True)
class Memory:
    """A range of memory; of kind flash, stores are violations."""

    origin: int
    bytes: int
    kind: str


class Halted(Exception):
    """The processor cannot go on: a lock-up, or code that the machine lets nobody run."""


class Machine(ABC):
    """One board. `violations` lists, in words, what the manuals forbid and the firmware did."""

    def __init__(self, uc: Any, line: SerialLine) -> None:
        self.uc, self.line = uc, line
        self.violations: list[str] = []
        self.notes: list[str] = []
        self.clocks = 0
        self.seconds = 0.0
        self.resets = 0
        self.attention = False
        self.interrupted = False
        self.reset_wanted = False
        self.ready = True
        """False: no oscillator and no PLL but what runs after reset ever gets ready."""
        self.in_loader = False
        self.peripherals: list[Peripheral] = []
        self._granules: dict[int, list[Peripheral]] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._replay: int | None = None
        self._charged = 0
        self.intr: int | None = None
        self.bad_access: tuple[int, int] | None = None
        uc.hook_add(UC_HOOK_INTR, self._on_intr)
        uc.hook_add(UC_HOOK_MEM_INVALID, self._on_invalid)

    # What a kind of core or a chip adds.

    @abstractmethod
    def core_hz(self) -> float:
        """Clocks of the core in a second, now."""

    @abstractmethod
    def boot(self) -> None:
        """The processor as it is after a reset."""

    @abstractmethod
    def step(self) -> None:
        """Serve what is pending, or run one slice, or sleep."""

    # Building it.

    def map_memory(self, *memories: Memory) -> None:
        """RAM holds noise, as after power-up; flash is erased."""
        noise = random.Random(1)
        for memory in memories:
            is_flash = memory.kind == "flash"
            pages = (memory.bytes + 4095) // 4096 * 4096
            self.uc.mem_map(
                memory.origin, pages, UC_PROT_READ | UC_PROT_EXEC if is_flash else UC_PROT_ALL
            )
            content = b"\xff" * memory.bytes if is_flash else noise.randbytes(memory.bytes)
            self.uc.mem_write(memory.origin, content)

    def map_bus(self, origin: int, size: int) -> None:
        """Addresses that belong to peripherals."""
        self.uc.mmio_map(origin, size, self._on_read, origin, self._on_write, origin)

    def add(self, peripheral: Peripheral) -> None:
        """A peripheral on the bus."""
        self.peripherals.append(peripheral)
        first = peripheral.base >> _GRANULE_BITS
        last = (peripheral.base + peripheral.size - 1) >> _GRANULE_BITS
        for granule in range(first, last + 1):
            self._granules.setdefault(granule, []).append(peripheral)

    def load_elf(self, elf: Path) -> None:
        """What a loader would write into flash."""
        with elf.open("rb") as stream:
            for segment in ELFFile(stream).iter_segments("PT_LOAD"):
                if segment["p_filesz"]:
                    self.uc.mem_write(segment["p_paddr"], segment.data())

    def word(self, address: int) -> int:
        """A word of memory."""
        return int.from_bytes(self.uc.mem_read(address, 4), "little")

    # What happens.

    def violation(self, text: str) -> None:
        """The firmware did what a manual forbids."""
        if len(self.violations) < _MOST_VIOLATIONS and text not in self.violations:
            self.violations.append(text)

    def note(self, text: str) -> None:
        """Something that a test may look for."""
        self.notes.append(text)

    def advance(self, clocks: int) -> None:
        """The core's clock goes on."""
        self.clocks += clocks
        self.seconds += clocks / self.core_hz()
        self._run_events()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` in so many simulated seconds."""
        heapq.heappush(self._events, (self.seconds + seconds, next(self._numbers), action))

    def next_event(self) -> float | None:
        """When something happens by itself."""
        return self._events[0][0] if self._events else None

    def skip_to(self, seconds: float) -> None:
        """The processor waits, in a poll or asleep, until then or the next event before."""
        event = self.next_event()
        until = min(seconds, event) if event is not None else seconds
        if until > self.seconds:
            self.clocks += round((until - self.seconds) * self.core_hz())
            self.seconds = until
        self._run_events()

    def _run_events(self) -> None:
        while self._events and self._events[0][0] <= self.seconds:
            heapq.heappop(self._events)[2]()

    def reset(self) -> None:
        """A reset of the system: registers, not RAM. What is under way on the line is lost."""
        self.resets += 1
        self.reset_wanted = False
        self.drop_access()
        self._events.clear()
        self.line.restart()
        for peripheral in self.peripherals:
            peripheral.reset()
        self.boot()

    def drop_access(self) -> None:
        """What the processor was about to complete is void."""
        self._replay = None

    # The processor.

    def run_slice(self, pc: int, instructions: int = SLICE_INSTRUCTIONS) -> None:
        """Run from `pc`. Ends early at an exception, a sleep, or what needs attention."""
        self.intr = self.bad_access = None
        self._charged = 0
        self.attention = self.interrupted = False
        try:
            self.uc.emu_start(pc, ~1 & 0xFFFFFFFF, count=instructions)
            if self._replay is not None:  # the access that stopped it is yet to be completed
                self.uc.emu_start(self.resume_address(), ~1 & 0xFFFFFFFF, count=1)
                self._replay = None
            elif self.intr is None and not self.interrupted and not self.asleep_at_end():
                self.advance(max(0, instructions - self._charged))
        except ProcessorError as error:
            if self.bad_access is None:
                raise Halted(f"{error} at 0x{self.resume_address():08X}") from error

    @abstractmethod
    def resume_address(self) -> int:
        """Where emu_start goes on."""

    @abstractmethod
    def is_asleep(self) -> bool:
        """Whether the processor waits for an interrupt."""

    @abstractmethod
    def asleep_at_end(self) -> bool:
        """Whether the slice ended in a sleep."""

    def _on_intr(self, uc: Any, number: int, _: Any) -> None:
        self.intr = number
        uc.emu_stop()

    def _on_invalid(
        self, uc: Any, access: int, address: int, size: int, value: int, _: Any
    ) -> bool:
        what = "store into flash" if access == UC_MEM_WRITE_PROT else "access where nothing is"
        self.violation(f"{what}: 0x{address:08X} by 0x{self.resume_address() & ~1:08X}")
        self.bad_access = (access, address)
        return False

    def _find(self, address: int) -> Peripheral | None:
        for peripheral in self._granules.get(address >> _GRANULE_BITS, ()):
            if peripheral.base <= address < peripheral.base + peripheral.size:
                return peripheral
        self.violation(
            f"access where no peripheral is: 0x{address:08X} by 0x{self.resume_address() & ~1:08X}"
        )
        return None

    def _on_read(self, uc: Any, offset: int, size: int, origin: int) -> int:
        if self._replay is not None:
            value, self._replay = self._replay, None
            return value
        self._charge()
        peripheral = self._find(origin + offset)
        value = peripheral.load(origin + offset - peripheral.base, size) if peripheral else 0
        self._stop_if_needed(value)
        return value

    def _on_write(self, uc: Any, offset: int, size: int, value: int, origin: int) -> None:
        if self._replay is not None:
            self._replay = None
            return
        self._charge()
        peripheral = self._find(origin + offset)
        if peripheral is not None:
            peripheral.store(origin + offset - peripheral.base, size, value)
        self._stop_if_needed(0)

    def _charge(self) -> None:
        self._charged += ACCESS_CLOCKS
        self.advance(ACCESS_CLOCKS)

    def _stop_if_needed(self, value: int) -> None:
        """Unicorn begins a stopped access anew: it is given what it read, and not made twice."""
        if self.attention or self.reset_wanted:
            self._replay = value
            self.uc.emu_stop()
