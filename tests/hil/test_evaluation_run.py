"""A test set through devices: how many there are, and which are lost, makes no difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from exporter import flash
from exporter.arrays import Array
from exporter.board import load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.errors import BadInput, CheckFailed, LinkFailed, MissingTool
from exporter.flash import NativeProcess
from exporter.hil.evaluation import devices
from exporter.hil.evaluation.devices import Seat, Share
from exporter.hil.evaluation.record import Output, Record, Result
from exporter.hil.evaluation.run import Job, Tally, run
from exporter.hil.evaluation.work import Work
from exporter.hil.pool import DevicePool
from exporter.hil.session import open_device
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import run_on_device
from exporter.oracle import Oracle
from tests.hil.support import doctored

pytest_plugins = ["tests.hil.fixtures"]

SAMPLES = 60
SECONDS = 1000.0

Progress = Callable[[int, int], None]


@pytest.fixture(autouse=True)
def alone(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of this test alone."""
    monkeypatch.setenv("NANOEXPORT_LOCKS", str(tmp_path / "locks"))


@pytest.fixture
def firmware(own_cache: Path, small_model: Path) -> ModelFirmware:
    """The small model for `host`."""
    return firmware_for(small_model, load_board("host"), Settings())


@pytest.fixture
def port_of(firmware: ModelFirmware) -> Iterator[Callable[[], NativeProcess]]:
    """Starts a board that is reached at a port."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(NativeProcess(firmware.firmware.elf))


def quiet(done: int, total: int) -> None:
    """Progress nobody watches."""


class Evaluation:
    """`SAMPLES` vectors, and the record in a folder."""

    def __init__(self, firmware: ModelFirmware, folder: Path, samples: int = SAMPLES) -> None:
        tensors = [port.tensor for port in firmware.program.inputs]
        self.firmware = firmware
        self.vectors: Sequence[Sequence[Array]] = make_vectors(tensors, samples)
        self.path = folder / "record.jsonl"
        self.lines: list[str] = []

    def run(
        self, seats: list[Seat], *, progress: Progress = quiet, oracle: Oracle | None = None
    ) -> Tally:
        numbers = [100 + k for k in range(len(self.vectors))]
        job = Job(self.firmware, self.vectors, numbers)
        with self.record() as record:
            return run(job, seats, oracle, record, progress=progress, told=self.lines.append)

    def record(self) -> Record:
        outputs = [Output(port.tensor.shape) for port in self.firmware.program.outputs]
        return Record(self.path, {}, outputs, fresh=False)

    def outputs(self) -> dict[int, list[list[int]]]:
        """What the record holds of boards, by sample."""
        with self.record() as record:
            return {k: [o.tolist() for o in r.outputs] for k, r in record.kept.board.items()}

    def right(self) -> dict[int, list[list[int]]]:
        """What it must hold."""
        with Oracle(self.firmware.compilation.model) as oracle:
            return {k: [o.tolist() for o in oracle.run(v)] for k, v in enumerate(self.vectors)}


@pytest.fixture
def evaluation(firmware: ModelFirmware, tmp_path: Path) -> Evaluation:
    return Evaluation(firmware, tmp_path)


@pytest.mark.parametrize("count", [1, 3])
def test_the_outputs_are_the_same_on_any_number_of_devices(
    evaluation: Evaluation, count: int
) -> None:
    seen: list[tuple[int, int]] = []
    with Oracle(evaluation.firmware.compilation.model) as oracle:
        tally = evaluation.run(
            devices.emulators("host", count),
            oracle=oracle,
            progress=lambda done, total: seen.append((done, total)),
        )
    assert evaluation.outputs() == evaluation.right()
    assert (tally.run, tally.reused, sum(tally.by_device.values())) == (SAMPLES, 0, SAMPLES)
    assert seen[0] == (0, SAMPLES) and seen[-1] == (SAMPLES, SAMPLES) and seen == sorted(seen)
    assert not evaluation.lines


@pytest.mark.emulator
def test_an_emulated_board_shared_by_two(small_model: Path, tmp_path: Path) -> None:
    firmware = firmware_for(small_model, load_board("mps2-an386"), Settings())
    evaluation = Evaluation(firmware, tmp_path, 12)
    evaluation.run(devices.emulators("mps2-an386", 2))
    assert evaluation.outputs() == evaluation.right()


def test_what_is_known_is_not_run_again(
    evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation.run(devices.emulators("host", 2))
    monkeypatch.setattr(flash, "start", lambda *a, **k: pytest.fail("a board was started"))
    tally = evaluation.run(devices.emulators("host", 2))
    assert (tally.run, tally.reused) == (0, SAMPLES)


def test_a_started_board_that_dies_is_started_again(
    evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, started = flash.start, []

    def remember(*arguments: Any, **options: Any) -> Any:
        started.append(start(*arguments, **options))
        return started[-1]

    def kill_first(done: int, total: int) -> None:
        if done and len(started) == 1:
            started[0].stop()

    monkeypatch.setattr(flash, "start", remember)
    monkeypatch.setattr(devices, "HELD", 4)
    tally = evaluation.run(devices.emulators("host", 1), progress=kill_first)
    assert evaluation.outputs() == evaluation.right()
    assert len(started) == 2 and len(tally.lost) == 1
    assert "opening it again" in evaluation.lines[0]


def failing_on(monkeypatch: pytest.MonkeyPatch, fails: Callable[[Any, int], bool]) -> None:
    """Boards are lost where `fails` (device, sample)."""

    def run(device: Any, inputs: Any, index: int, *more: Any) -> Any:
        if fails(device, index):
            raise LinkFailed("it fell off the table", next_step="pick it up")
        return run_on_device(device, inputs, index, *more)

    monkeypatch.setattr(devices, "run_on_device", run)


def test_what_a_lost_device_had_not_handed_over_is_run_again(
    evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has seen whether the guards were whole then."""
    work = Work(range(6))
    emitted: list[dict[int, Result]] = []
    monkeypatch.setattr(devices, "HELD_SECONDS", SECONDS)
    failing_on(monkeypatch, lambda device, sample: sample == 3)
    share = Share("a", evaluation.vectors, work, emitted.append, 0)
    with open_device(evaluation.firmware) as device, pytest.raises(LinkFailed):
        share.run(device)
    assert share.sample == 3 and not emitted
    assert [work.take(wait=False) for _ in range(6)] == [*range(6)]


def test_of_two_ports_one_is_lost(
    evaluation: Evaluation,
    port_of: Callable[[], NativeProcess],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other one runs its samples too."""
    first, second = port_of(), port_of()
    failing_on(monkeypatch, lambda device, sample: device.name == first.port and sample > 5)
    seats = devices.ports("host", [("left", str(first.port)), ("right", str(second.port))])
    tally = evaluation.run(seats)
    assert evaluation.outputs() == evaluation.right()
    assert tally.by_device["right"] >= SAMPLES - 8
    assert evaluation.lines[0].startswith("lost left: it fell off")


def test_all_are_lost_and_the_run_goes_on_later(
    evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(devices, "HELD", 4)
        failing_on(patch, lambda device, sample: sample >= 20 + sample % 2)
        with pytest.raises(LinkFailed) as caught:
            evaluation.run(devices.emulators("host", 2))
    assert "all 2 devices were lost" in caught.value.what or "again and again" in caught.value.what
    kept = evaluation.outputs()
    assert 0 < len(kept) <= 20
    tally = evaluation.run(devices.emulators("host", 1))
    assert tally.run == SAMPLES - len(kept) and evaluation.outputs() == evaluation.right()


def test_a_sample_that_ends_every_board_is_named(
    evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its number in the data."""
    failing_on(monkeypatch, lambda device, sample: sample == 7)
    with pytest.raises(LinkFailed, match="again and again on sample 107"):
        evaluation.run(devices.emulators("host", 2))


def test_no_device_at_all(evaluation: Evaluation, tmp_path: Path) -> None:
    ports = [("a", str(tmp_path / "none")), ("b", str(tmp_path / "nothing"))]
    with pytest.raises(MissingTool) as caught:
        evaluation.run(devices.ports("host", ports))
    assert "all 2 devices were lost" in caught.value.what
    assert "a: the port" in str(caught.value.value) and "b: the port" in str(caught.value.value)


def test_one_device_tells_its_own_error(evaluation: Evaluation, tmp_path: Path) -> None:
    with pytest.raises(MissingTool, match="is not there"):
        evaluation.run(devices.ports("host", [("a", str(tmp_path / "none"))]))


def test_a_place_that_another_run_holds(
    evaluation: Evaluation, port_of: Callable[[], NativeProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for, but not when the others have done everything."""
    held, free = port_of(), port_of()
    seats = devices.ports("host", [("held", str(held.port)), ("free", str(free.port))])
    with DevicePool([seats[0].place]).acquire(wait_seconds=0):
        tally = evaluation.run(seats)
        assert [*tally.by_device] == ["free"] and not evaluation.lines
        evaluation.path.unlink()
        monkeypatch.setattr(devices, "WAIT_SECONDS", 0.0)
        with pytest.raises(MissingTool, match="no place became free"):
            evaluation.run(seats[:1])


def test_a_write_beside_the_arena_is_found_and_nothing_kept(
    firmware: ModelFirmware, tmp_path: Path
) -> None:
    invoke = "void model_invoke(void)\n{\n"
    wild = f"{invoke}    model_arena[MODEL_GUARD_BYTES - 1] = 0;\n"
    patch = {"model/model.c": (invoke, wild)}
    evaluation = Evaluation(doctored(firmware, tmp_path, patch=patch), tmp_path)
    for _ in range(2):  # a second run must not take the first one's outputs for good
        with pytest.raises(CheckFailed, match="outside the arena"):
            evaluation.run(devices.emulators("host", 1))
        assert not evaluation.outputs()


def test_an_oracle_that_crashes(evaluation: Evaluation) -> None:
    """Not waited for, and what the boards computed is kept."""
    with Oracle(evaluation.firmware.compilation.model) as oracle:
        oracle._deadline_s = 1e-9
        with pytest.raises(CheckFailed, match="host reference"):
            evaluation.run(devices.emulators("host", 1), oracle=oracle)


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ([("a", "/dev/null"), ("b", "/dev/../dev/null")], "are one port"),
        ([("a", "/dev/null"), ("a", "/dev/zero")], "have one name"),
    ],
)
def test_two_devices_that_are_one(named: list[tuple[str, str]], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        devices.ports("host", named)


def test_the_places_of_a_pool(tmp_path: Path) -> None:
    pool = tmp_path / "lab.yaml"
    pool.write_text(
        "places:\n  - {board: mps2-an386, count: 2}\n  - {board: host, port: /dev/null}\n"
    )
    assert [seat.name for seat in devices.of_pool("mps2-an386", pool)] == [
        "mps2-an386 #1",
        "mps2-an386 #2",
    ]
    with pytest.raises(BadInput, match="no place with the board riscv32-virt"):
        devices.of_pool("riscv32-virt", pool)
