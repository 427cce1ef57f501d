"""What a crash of the board means: cause, place in the source, callers, registers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import DWARFError, ELFError

from exporter.build.source_lines import Place, SourceLines
from exporter.link.faults import Fault, FaultKind
from exporter.link.session import Explain

_REGISTERS_A_LINE = 6


@dataclass(frozen=True)
class CrashReport:
    """A fault's record beside the image that crashed.

    `place` is of pc; None where the core could not save it. `callers` are the calls that lead
    there, the last one first: lr where it is one, then hints, found on the stack.
    """

    fault: Fault
    place: Place | None
    callers: tuple[Place, ...]

    @property
    def cause(self) -> str:
        """What happened, in words."""
        return self.fault.cause_in_words()

    @property
    def where(self) -> Place | None:
        """The line to look at: that of pc where there is code, otherwise that of the last call."""
        if self.place is not None and self.place.known:
            return self.place
        return next(iter(self.callers), None)

    def text(self) -> str:
        """Several lines for people: cause, place, callers, registers."""
        return "\n           ".join(self._lines())

    def as_dict(self) -> dict[str, object]:
        """The same as data for JSON."""
        fault = self.fault
        return {
            "cause": self.cause,
            "reason": fault.reason,
            "step": fault.step,
            "place": _as_dict(self.place) if self.place else None,
            "callers": [_as_dict(place) for place in self.callers],
            "registers": {"pc": fault.pc, "lr": fault.lr, "sp": fault.sp, **fault.registers},
            "address": fault.address,
            "status": fault.status,
        }

    def _lines(self) -> Iterator[str]:
        yield self.cause
        if self.place is not None:
            yield f"at {self.place.describe()} (pc=0x{self.place.address:08x})"
        else:
            yield "at an unknown pc: the core found no room on the stack to save it"
        if self.fault.step is not None:
            yield f"in step {self.fault.step}"
        for text, same in itertools.groupby(place.describe() for place in self.callers):
            count = len(list(same))
            yield f"called from {text}" + (f" ({count} times)" if count > 1 else "")
        yield from _register_lines(self.fault)


def describe_crash(fault: Fault, elf: Path) -> CrashReport:
    """The report of `fault`; without source lines where `elf` cannot be read."""
    try:
        lines = SourceLines(elf)
    except (OSError, ELFError, DWARFError):
        return CrashReport(fault, Place(fault.pc) if fault.pc else None, ())
    place = lines.place(fault.pc) if fault.pc else None
    return CrashReport(fault, place, tuple(_callers(fault, lines)))


def explain_with(elf: Path) -> Explain:
    """What `Device` takes to word the report of a crash."""
    return lambda fault: describe_crash(fault, elf).text()


def _callers(fault: Fault, lines: SourceLines) -> Iterator[Place]:
    """lr is the caller until the function has called another; then it is on the stack, too."""
    last = lines.place_of_call(fault.lr) if fault.lr else None
    if last is not None and last.known and fault.lr not in fault.callers[:1]:
        yield last
    for address in fault.callers:
        place = lines.place_of_call(address)
        if place.known:
            yield place


def _register_lines(fault: Fault) -> Iterator[str]:
    """All registers that the record names, some to a line."""
    link_register = {"lr": fault.lr} if fault.kind != FaultKind.POSIX else {}
    values = {**link_register, "sp": fault.sp, **fault.registers, "status": fault.status}
    words = [f"{name}=0x{value:08x}" for name, value in values.items()]
    for start in range(0, len(words), _REGISTERS_A_LINE):
        yield " ".join(words[start : start + _REGISTERS_A_LINE])


def _as_dict(place: Place) -> dict[str, object]:
    return {
        "address": place.address,
        "function": place.function,
        "file": place.file,
        "line": place.line,
    }
