"""What a negative control is, what it works with, and what came of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from exporter.build.firmware import ModelFirmware
from exporter.errors import CheckFailed
from exporter.hil.controls.image import Image
from exporter.hil.controls.relay import Census, Relay, Tamper
from exporter.hil.real_board import is_written
from exporter.hil.session import EMULATOR, open_device
from exporter.hil.vectors import kind_of
from exporter.hil.verify import Verification, verify_device
from exporter.link import Timing
from exporter.link.device import Device
from exporter.link.transport import Transport
from exporter.oracle.oracle import Oracle

Array = NDArray[Any]
Rng = np.random.Generator
Verdict = Literal["caught", "missed", "not applicable"]

MOST_DRAWS = 50
"""Draws of one fault until one of them changes an output."""
QUICK_RETRY = Timing(retry_seconds=0.4, bytes_per_second=20_000.0, transfer_seconds=120.0)
"""A frame is lost on purpose: its repetition need not be waited for long, every deadline may."""


@dataclass(frozen=True)
class Outcome:
    """What came of one fault. `redrawn`: draws before it that were no fault, by reason."""

    verdict: Verdict
    place: str
    detail: str
    redrawn: Mapping[str, int] = field(default_factory=dict)


class Control(ABC):
    """One kind of fault. To add one:

    1. Write a subclass in the file of its theme; `name` is what reports call it, `proves` what a
       catch shows.
    2. `not_applicable` says why there can be no such fault here, or None.
    3. `run` draws one fault with `rng`, puts it in place, runs the ordinary check, and says whether
       that noticed. It decides by what the check says, never by what it knows of the fault.
       A draw that changes nothing is drawn anew, and counted: a fault without effect proves
       nothing.
    4. Add it to `CONTROLS` in run.py, and to docs/controls.md.
    5. In tests/hil/controls: a case in which it catches, and a defect of the check by which it
       misses.
    """

    name: str
    proves: str

    def not_applicable(self, bench: Bench) -> str | None:
        """Why this kind of fault does not apply; None where it does."""
        return None

    @abstractmethod
    def run(self, bench: Bench, rng: Rng) -> Outcome:
        """Seed one fault. Raises LinkFailed where the board is lost, which counts as missed."""


class Bench:
    """A board with its firmware, its reference, and inputs: what controls work with.

    `vectors`: int8 inputs, vector by vector. `folder` is for doctored copies. Leave the block to
    stop what was started.
    """

    def __init__(
        self,
        firmware: ModelFirmware,
        oracle: Oracle,
        vectors: Sequence[Sequence[Array]],
        folder: Path,
        port: str | None,
    ) -> None:
        self.firmware = firmware
        self.oracle = oracle
        self.vectors = vectors
        self.folder = folder
        self.port = port
        self._running = ExitStack()
        self._device: Device | None = None
        self._relay: Relay | None = None

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def takes_images(self) -> bool:
        """Whether broken images are started on the board: in a real one's flash they would stay."""
        return self.port in (None, EMULATOR) and not is_written(self.firmware.board)

    @cached_property
    def image(self) -> Image:
        """The firmware's ELF file."""
        return Image(self.firmware.firmware.elf)

    @cached_property
    def expected(self) -> list[list[Array]]:
        """The reference's outputs, vector by vector."""
        return [self.oracle.run(vector) for vector in self.vectors]

    def expected_of(self, model: bytes) -> list[list[Array]]:
        """The outputs of another model of the same inputs. Raises BadInput, CheckFailed."""
        try:
            self.oracle.load(model)
            return [self.oracle.run(vector) for vector in self.vectors]
        finally:
            self.oracle.load(self.firmware.compilation.model)

    def verify(self, device: Device, chosen: Sequence[int]) -> Verification:
        """The ordinary comparison, on the vectors of these numbers."""
        vectors = [self.vectors[index] for index in chosen]
        result = verify_device(device, self.oracle, vectors, macs=self.firmware.program.macs)
        for place, mismatch in enumerate(result.mismatches):
            vector = chosen[mismatch.vector]
            result.mismatches[place] = replace(mismatch, vector=vector, kind=kind_of(vector))
        return result

    @cached_property
    def requests(self) -> Counter[int]:
        """How many requests of each command one vector takes, counted on a run without a fault.

        Raises CheckFailed where the board is not exact even then: everything would look caught.
        """
        census = Census()
        with self.tampered(census) as device:
            result = self.verify(device, [0])
        if not result.bit_exact:
            raise CheckFailed(
                f"{self.firmware.board.name} is not exact even without a seeded fault",
                value="; ".join(mismatch.describe() for mismatch in result.mismatches),
                allowed="equal outputs",
                next_step="controls prove nothing so: see what 'verify --no-controls' says",
            )
        return census.requests

    @property
    def device(self) -> Device:
        """The board with the right image, over the relay; started where it does not run yet."""
        if self._device is None:
            opened = open_device(
                self.firmware, port=self.port, wrap=self._relayed, timing=QUICK_RETRY
            )
            self._device = self._running.enter_context(opened)
        return self._device

    def _relayed(self, inner: Transport) -> Transport:
        self._relay = Relay(inner)
        return self._relay

    @contextmanager
    def tampered(self, tamper: Tamper) -> Iterator[Device]:
        """The board with the right image, and `tamper` on the way to it."""
        device = self.device
        assert self._relay is not None
        self._relay.tamper = tamper
        try:
            yield device
        finally:
            self._relay.tamper = Tamper()

    @contextmanager
    def started(self, elf: Path) -> Iterator[Device]:
        """The board with another image, which must claim to be the right one."""
        self.stop()  # a board runs one image at a time
        with open_device(self.firmware, elf=elf) as device:
            yield device

    def stop(self) -> None:
        """Stop the board with the right image; it is started anew when it is needed."""
        self._device = None
        self._running.close()


def no_images(bench: Bench) -> str | None:
    """Why a fault inside an image cannot be put on the board."""
    if bench.takes_images:
        return None
    if is_written(bench.firmware.board):
        return f"no broken image is written into the flash of {bench.firmware.board.name}"
    return f"nanoexport cannot put another image on the board at {bench.port}"


def nothing_found(redrawn: Counter[str]) -> Outcome:
    """None of all draws was a fault."""
    return Outcome("not applicable", "", f"none of {redrawn.total()} draws is a fault", redrawn)
