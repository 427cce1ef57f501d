"""The devices that share a test set out among them, and what one of them does with its part."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from exporter.arrays import Array
from exporter.build.firmware import ModelFirmware
from exporter.errors import BadInput, CheckFailed, MissingTool
from exporter.hil.evaluation.record import Result
from exporter.hil.evaluation.work import Work
from exporter.hil.pool import POLL_SECONDS, DevicePool, Place, read_pool
from exporter.hil.session import EMULATOR, open_device
from exporter.hil.verify import Verification, run_on_device
from exporter.link.device import Device

HELD = 16
HELD_SECONDS = 0.5
"""Results are handed over together, so many or after so long: their guards are read once."""
EMULATOR_RESTARTS = 3
PORT_RESTARTS = 1
"""How often a device that was lost is opened again."""
WAIT_SECONDS = 60.0
"""How long a place that another run holds is waited for."""


@dataclass(frozen=True)
class Seat:
    """A device of this evaluation: its name, its place, how often it is opened again once lost."""

    name: str
    place: Place
    restarts: int


def emulators(board: str, count: int) -> list[Seat]:
    """So many boards that this computer starts by itself."""
    names = [f"{board} {number}" for number in range(1, count + 1)] if count > 1 else [board]
    return [Seat(name, Place.named(board), EMULATOR_RESTARTS) for name in names]


def ports(board: str, named: Sequence[tuple[str, str]]) -> list[Seat]:
    """Devices by name and port. Raises BadInput where two of them are one."""
    doubled = [name for name, count in Counter(name for name, _ in named).items() if count > 1]
    if doubled:
        raise BadInput(
            "two devices have one name", value=", ".join(doubled), allowed="each name once"
        )
    places = [Place.named(board, None if port == EMULATOR else port) for _, port in named]
    DevicePool(places)  # refuses two that are one port
    return [_seat(name, place) for (name, _), place in zip(named, places, strict=True)]


def of_pool(board: str, file: Path) -> list[Seat]:
    """All places of `board` that a pool file lists. Raises BadInput where there is none."""
    places = read_pool(file)
    seats = [_seat(place.name, place) for place in places if place.board == board]
    if not seats:
        raise BadInput(
            f"the pool '{file}' has no place with the board {board}",
            value=", ".join(sorted({place.board for place in places})),
            allowed=f"a place of {board}",
            next_step="add one to the file, or name another board with --board",
        )
    return seats


def _seat(name: str, place: Place) -> Seat:
    return Seat(name, place, EMULATOR_RESTARTS if place.port is None else PORT_RESTARTS)


@contextmanager
def opened(seat: Seat, firmware: ModelFirmware, stopped: Callable[[], bool]) -> Iterator[Device]:
    """The device of `seat`, which nobody else uses meanwhile.

    Raises MissingTool: not there, or others hold it for `WAIT_SECONDS` or until `stopped`.
    LinkFailed: silence, or another image.
    """
    with (
        _held(DevicePool([seat.place]), stopped) as place,
        open_device(firmware, port=place.port, chip_id=place.chip_id) as device,
    ):
        yield device


@contextmanager
def _held(pool: DevicePool, stopped: Callable[[], bool]) -> Iterator[Place]:
    """The pool's only place, waited for no longer than anybody wants it."""
    deadline = time.monotonic() + WAIT_SECONDS
    with ExitStack() as stack:
        while True:
            try:
                place = stack.enter_context(pool.acquire(wait_seconds=0))
                break
            except MissingTool:
                if stopped() or time.monotonic() >= deadline:
                    raise
            time.sleep(POLL_SECONDS)
        yield place


Emit = Callable[[dict[int, Result]], None]


@dataclass
class Share:
    """What one device does: samples from `work`, results to `emit`.

    `sample` is the one that runs, None between two: the one to blame where the device is lost.
    """

    name: str
    vectors: Sequence[Sequence[Array]]
    work: Work
    emit: Emit
    macs: int
    sample: int | None = None
    _held: dict[int, Result] = field(default_factory=dict)
    _since: float = 0.0

    def run(self, device: Device) -> None:
        """Until there is nothing left. What was not handed over goes back, whatever happens.

        Raises LinkFailed where the device is lost, CheckFailed where it wrote beside its arena.
        """
        try:
            while True:
                sample = self.work.take(wait=not self._held)
                if sample is not None:
                    self._run_sample(device, sample)
                elif not self._held:
                    return
                if sample is None or self._is_due():
                    self._hand_over(device)
        finally:
            current = [] if self.sample is None else [self.sample]
            self.work.give_back([*self._held, *current])
            self._held.clear()

    def _run_sample(self, device: Device, sample: int) -> None:
        self.sample = sample
        if not self._held:
            self._since = time.monotonic()
        measured = Verification()
        outputs = run_on_device(device, self.vectors[sample], sample, measured, self.macs)
        self._held[sample] = Result(outputs, measured.stack_bytes, self.name)
        self.sample = None

    def _is_due(self) -> bool:
        return len(self._held) >= HELD or time.monotonic() - self._since >= HELD_SECONDS

    def _hand_over(self, device: Device) -> None:
        """Only what the device computed within its arena counts."""
        memory = device.memory()
        if not memory.guards_intact:
            raise CheckFailed(
                f"{self.name} wrote outside the arena",
                value=f"{memory.guard_below_damaged} bytes below, "
                f"{memory.guard_above_damaged} above, in one of {len(self._held)} inferences",
                allowed="0",
                next_step="report this defect with the model",
            )
        self.emit(dict(self._held))
        self.work.done(self._held)
        self._held.clear()
