"""A board that is not the one that is meant: a stale image, a wrong board."""

from __future__ import annotations

import dataclasses
import string
from pathlib import Path

from exporter.errors import LinkFailed
from exporter.hil.controls.base import Bench, Control, Outcome, Rng
from exporter.hil.session import expected_identity
from exporter.link import device as devices
from exporter.link.device import WrongIdentity

NAME_CHARACTERS = string.ascii_lowercase + string.digits


class ForeignIdentity(Control):
    """One field of the identity in the image is another; the rest, weights and code, is the same.

    Where no image can be put on the board the host expects the altered field instead.
    """

    def __init__(self, name: str, field: str, proves: str) -> None:
        self.name = name
        self.proves = proves
        self._field = field

    def not_applicable(self, bench: Bench) -> str | None:
        """See Control."""
        places = self._places(bench) if bench.takes_images else [0]
        if len(places) == 1:
            return None
        return f"{self._field} is {len(places)} times in the image, so it cannot be altered there"

    def run(self, bench: Bench, rng: Rng) -> Outcome:
        """See Control."""
        right = str(getattr(expected_identity(bench.firmware), self._field))
        wrong = altered_name(right, rng) if self._is_text else altered_hash(right, rng)
        place = f"{self._field} {wrong} for {right}"
        try:
            if bench.takes_images:
                self._start_as(bench, wrong)
            else:
                self._expect(bench, wrong)
        except WrongIdentity as refusal:
            found = refusal.found if bench.takes_images else wrong
            if (refusal.field, found) == (self._field, wrong):
                return Outcome("caught", place, refusal.what)
            return Outcome("missed", place, f"refused for its {refusal.field}: {refusal.what}")
        except LinkFailed as failure:
            return Outcome("missed", place, f"not refused, but failed: {failure.what}")
        return Outcome("missed", place, "it was accepted")

    @property
    def _is_text(self) -> bool:
        return self._field == "board"

    def _stored(self, value: str) -> bytes:
        """A value of the field as the image stores it: a whole string of C, or a hash."""
        return b"\0" + value.encode() + b"\0" if self._is_text else bytes.fromhex(value)

    def _places(self, bench: Bench) -> list[int]:
        right = str(getattr(expected_identity(bench.firmware), self._field))
        return bench.image.find(self._stored(right))

    def _start_as(self, bench: Bench, wrong: str) -> None:
        (place,) = self._places(bench)
        path = bench.folder / "foreign.elf"
        elf: Path = bench.image.write_copy(path, {place: self._stored(wrong)})
        with bench.started(elf):
            pass

    def _expect(self, bench: Bench, wrong: str) -> None:
        expected = dataclasses.replace(expected_identity(bench.firmware), **{self._field: wrong})
        devices.require_identity(bench.device.identity, expected)


def altered_hash(right: str, rng: Rng) -> str:
    """One bit of a hash, in hexadecimal, is another."""
    number = bytearray.fromhex(right)
    bit = int(rng.integers(8 * len(number)))
    number[bit // 8] ^= 1 << bit % 8
    return number.hex()


def altered_name(right: str, rng: Rng) -> str:
    """One character of a name is another."""
    index = int(rng.integers(len(right)))
    others = [c for c in NAME_CHARACTERS if c != right[index]]
    return right[:index] + others[int(rng.integers(len(others)))] + right[index + 1 :]
