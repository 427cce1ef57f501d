"""A test set through devices and oracle at once: a thread for each device, one for the oracle.

The calling thread alone writes the record. A device that is lost gives its samples back and is
opened again, a few times; the others go on. What was recorded is never run again.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from exporter.arrays import Array
from exporter.build.firmware import ModelFirmware
from exporter.errors import LinkFailed, MissingTool, NanoexportError
from exporter.hil.evaluation.devices import Seat, Share, opened
from exporter.hil.evaluation.record import Author, Record, Result
from exporter.hil.evaluation.work import Work
from exporter.oracle.oracle import Oracle

JOIN_SECONDS = 5.0
"""How long a device is waited for in the end; its thread and its emulator end with the process."""
SAMPLE_FAILURES = 3
"""A sample in which so many devices were lost is not tried on the next one."""


@dataclass(frozen=True)
class Job:
    """What is to be run: the quantised inputs of every sample, on boards with this firmware.

    `numbers` are those of the samples in the data, for messages.
    """

    firmware: ModelFirmware
    vectors: Sequence[Sequence[Array]]
    numbers: Sequence[int]


@dataclass
class Tally:
    """What one run did. `lost` says of each loss which device and why."""

    run: int = 0
    reused: int = 0
    seconds: float = 0.0
    by_device: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Results:
    author: Author
    results: dict[int, Result]


@dataclass(frozen=True)
class _Lost:
    seat: Seat
    error: NanoexportError
    sample: int | None
    final: bool


@dataclass(frozen=True)
class _Failed:
    error: BaseException


_Event = _Results | _Lost | _Failed
Told = Callable[[str], None]
Progress = Callable[[int, int], None]


def run(
    job: Job,
    seats: Sequence[Seat],
    oracle: Oracle | None,
    record: Record,
    *,
    progress: Progress,
    told: Told,
) -> Tally:
    """Run every sample that `record` lacks, on the devices and on the oracle.

    `progress` gets the samples that are complete, and all; `told` a line for each lost device.

    Raises:
        LinkFailed, MissingTool: all devices were lost, or one sample ended several of them.
        CheckFailed: a board wrote outside of its arena, or the oracle crashes on the model.
    """
    return _Run(job, seats, oracle, record, progress, told).run()


class _Run:
    def __init__(
        self,
        job: Job,
        seats: Sequence[Seat],
        oracle: Oracle | None,
        record: Record,
        progress: Progress,
        told: Told,
    ) -> None:
        everything = range(len(job.vectors))
        self.job, self.oracle, self.record = job, oracle, record
        self.progress, self.told = progress, told
        self.work = Work(k for k in everything if k not in record.kept.board)
        self.unreferred = [k for k in everything if k not in record.kept.oracle] if oracle else []
        self.seats = seats[: self.work.left]  # no more devices than samples
        self.tally = Tally(reused=len(job.vectors) - self.work.left)
        kept = record.kept
        self.complete = len(kept.board.keys() & kept.oracle.keys() if oracle else kept.board)
        self.failures: Counter[int] = Counter()
        self.gone: list[_Lost] = []
        self.events: queue.Queue[_Event] = queue.Queue()

    def run(self) -> Tally:
        start = time.monotonic()
        threads = self._started()
        self._show()
        try:
            while self.complete < len(self.job.vectors):
                self._handle(self.events.get())
        finally:
            self._stop(threads)
            self.tally.seconds = time.monotonic() - start
        return self.tally

    def _started(self) -> list[threading.Thread]:
        threads = [threading.Thread(target=self._serve, args=(s,), daemon=True) for s in self.seats]
        if self.unreferred:
            threads.append(threading.Thread(target=self._refer, daemon=True))
        for thread in threads:
            thread.start()
        return threads

    def _stop(self, threads: Sequence[threading.Thread]) -> None:
        """Each ends after its sample; what they have handed over by then is kept."""
        self.work.stop()
        until = time.monotonic() + JOIN_SECONDS
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        while not self.events.empty():
            event = self.events.get_nowait()
            if isinstance(event, _Results):
                self._keep(event)

    def _handle(self, event: _Event) -> None:
        if isinstance(event, _Results):
            self._keep(event)
            self._show()
        elif isinstance(event, _Lost):
            self._lose(event)
        else:
            raise event.error

    def _keep(self, event: _Results) -> None:
        kept = self.record.kept
        other = kept.oracle if event.author == "board" else kept.board
        for sample, result in event.results.items():
            self.record.add(event.author, sample, result)
            self.complete += self.oracle is None or sample in other
            if event.author == "board":
                self.tally.run += 1
                self.tally.by_device[result.device] += 1

    def _show(self) -> None:
        self.progress(self.complete, len(self.job.vectors))

    def _lose(self, lost: _Lost) -> None:
        line = f"{lost.seat.name}: {lost.error.what}"
        self.tally.lost.append(line)
        self.told(f"lost {line}; {'not opened again' if lost.final else 'opening it again'}")
        if lost.sample is not None:
            self.failures[lost.sample] += 1
            if self.failures[lost.sample] >= SAMPLE_FAILURES:
                raise _deadly(self.job.numbers[lost.sample], lost.error)
        if lost.final:
            self.gone.append(lost)
            if len(self.gone) == len(self.seats) and self.work.left:
                raise _all_lost(self.gone)

    # --- in threads of their own -----------------------------------------------------------------

    def _serve(self, seat: Seat) -> None:
        """A device, opened again where it is lost. An emulator lives as long as this thread."""
        for attempt in range(seat.restarts + 1):
            share = Share(
                seat.name,
                self.job.vectors,
                self.work,
                lambda results: self.events.put(_Results("board", results)),
                self.job.firmware.program.macs,
            )
            try:
                with opened(seat, self.job.firmware, lambda: self.work.stopped) as device:
                    share.run(device)
                break
            except (LinkFailed, MissingTool) as error:
                final = attempt == seat.restarts or isinstance(error, MissingTool)
                self.events.put(_Lost(seat, error, share.sample, final))
                if final:
                    break
            except BaseException as error:  # told by the calling thread
                self.events.put(_Failed(error))
                break

    def _refer(self) -> None:
        assert self.oracle is not None
        try:
            for sample in self.unreferred:
                if self.work.stopped:
                    break
                outputs = self.oracle.run(self.job.vectors[sample])
                self.events.put(_Results("oracle", {sample: Result(outputs)}))
        except BaseException as error:  # told by the calling thread
            self.events.put(_Failed(error))


def _deadly(sample: int, error: NanoexportError) -> LinkFailed:
    return LinkFailed(
        f"devices are lost again and again on sample {sample}",
        value=str(error),
        allowed="an inference that ends",
        next_step="run this sample by itself with nanoexport verify --inputs, and report what it "
        "finds with the model",
    )


def _all_lost(gone: Sequence[_Lost]) -> NanoexportError:
    """One device's own error; of several, all of their reasons."""
    if len(gone) == 1:
        return gone[0].error
    kind = MissingTool if all(isinstance(g.error, MissingTool) for g in gone) else LinkFailed
    reasons = dict.fromkeys(f"{g.seat.name}: {g.error.what}" for g in gone)
    steps = dict.fromkeys(g.error.next_step for g in gone if g.error.next_step)
    return kind(
        f"all {len(gone)} devices were lost",
        value="; ".join(reasons),
        allowed="one device that goes on",
        next_step="; ".join(steps) or None,
    )
