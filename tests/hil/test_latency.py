"""Latency: the figures of a distribution, and on emulated boards the same ones every time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from exporter.board import all_boards, load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.errors import BadInput
from exporter.hil.latency import Clock, Latency, Load, check_timer, measure_latency
from exporter.hil.session import open_device
from exporter.hil.vectors import Int8Array, make_vectors
from exporter.link.device import Device
from exporter.link.session import DeviceRestarted, RequestRefused
from tests.hil.support import doctored, nanoexport, refused

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")

TIMER_BOARDS = [
    board.name
    for board in all_boards()
    if board.timer is not None and board.default_flasher.name in ("emulator", "native")
]
SAME_TIMER = ("mps2-an385", "mps2-an500")  # as mps2-an386
LOAD = Load(period_us=5, instructions=2000)
RUNS = 4
INVOKE = "void model_invoke(void)\n{\n"


def latency(*ticks: int, hz: int = 1_000_000, per_tick: float | None = None) -> Latency:
    return Latency(ticks, Clock(hz, per_tick, 0.0))


# --- figures -------------------------------------------------------------------------------------


def test_quantiles_are_figures_that_were_measured() -> None:
    runs = latency(*range(100, 0, -1))
    assert [runs.quantile(part) for part in (0.0, 0.5, 0.9, 0.99, 1.0)] == [1, 50, 90, 99, 100]
    assert (runs.worst, runs.jitter) == (100, 99)
    assert latency(7).quantile(0.99) == 7 and latency(7).jitter == 0
    assert latency(1, 9).quantile(0.5) == 1


@pytest.mark.parametrize("ticks", [(5,), (5, 5, 6), tuple(range(8)), (0, 1000), (3, 4, 90, 17)])
def test_every_run_is_in_one_bin(ticks: tuple[int, ...]) -> None:
    bins = latency(*ticks).histogram()
    assert 1 <= len(bins) <= 8 and sum(runs for _, _, runs in bins) == len(ticks)
    assert bins[0][0] == min(ticks) and bins[-1][1] == max(ticks)
    assert all(one[1] + 1 == other[0] for one, other in itertools.pairwise(bins))
    for start, end, runs in bins:
        assert runs == sum(start <= tick <= end for tick in ticks)


def test_ticks_as_time_and_as_instructions() -> None:
    clock = Clock(25_000_000, 40.0, 0.5)
    assert clock.microseconds(25) == 1.0
    assert clock.instructions(10) == 380 and clock.instructions(0) == 0
    assert clock.instructions_between(3) == 120
    assert Clock(25_000_000, None, 0.5).instructions(10) is None
    document = Latency((20, 10), clock, LOAD, interrupts=7).as_dict()
    assert document["microseconds"]["max"] == 0.8 and document["ticks"]["jitter"] == 10
    assert document["instructions"]["jitter"] == 400 and document["load"]["period_us"] == 5
    assert latency(1).as_dict()["instructions"] is None


# --- on boards -----------------------------------------------------------------------------------


@pytest.fixture(params=["mps2-an386", "riscv32-virt"])
def firmware(request: pytest.FixtureRequest, own_cache: Path, small_model: Path) -> ModelFirmware:
    """The small model."""
    return firmware_for(small_model, load_board(request.param), Settings())


def measured(firmware: ModelFirmware) -> Iterator[Latency]:
    """Quiet, under load and quiet again, on a board that was just started."""
    with open_device(firmware) as device:
        clock = Clock.of(device, firmware.board)
        for load in (None, LOAD, None):
            yield measure_latency(device, firmware, clock, runs=RUNS, load=load)


@pytest.mark.emulator
def test_the_same_figures_every_time(firmware: ModelFirmware) -> None:
    """To the instruction where instructions are read, to one tick where a timer is."""
    quiet, loaded, again = measured(firmware)
    tolerance = 0 if firmware.board.ticks.source == "minstret" else 1
    for one, other in zip(measured(firmware), (quiet, loaded, again), strict=True):
        assert one.interrupts == other.interrupts
        assert np.abs(np.subtract(one.ticks, other.ticks)).max() <= tolerance
    assert np.abs(np.subtract(quiet.ticks, again.ticks)).max() <= tolerance
    assert quiet.stack_bytes > 0 and quiet.interrupts == again.interrupts == 0


@pytest.mark.emulator
def test_each_interrupt_costs_what_it_executes(firmware: ModelFirmware) -> None:
    """One for every period that a run lasts, each of them the load and its entry and exit."""
    quiet, loaded, _ = measured(firmware)
    clock = quiet.clock
    served = [int(clock.microseconds(ticks) // LOAD.period_us) for ticks in loaded.ticks]
    assert loaded.interrupts == sum(served) >= RUNS
    for before, under, interrupts in zip(quiet.ticks, loaded.ticks, served, strict=True):
        assert clock.instructions_per_tick is not None
        added = (under - before) * clock.instructions_per_tick / interrupts
        assert LOAD.instructions <= added + clock.instructions_per_tick
        assert added <= LOAD.instructions + 200 + clock.instructions_per_tick


@pytest.mark.emulator
@pytest.mark.parametrize(
    "board",
    [
        pytest.param(name, marks=[pytest.mark.long] if name in SAME_TIMER else [])
        for name in TIMER_BOARDS
    ],
)
def test_the_outputs_are_the_same_under_load(board: str, small_model: Path) -> None:
    firmware = firmware_for(small_model, load_board(board), Settings())
    vectors = make_vectors([port.tensor for port in firmware.program.inputs], 2)
    with open_device(firmware) as device:
        quiet = [run(device, vector, interrupts=False) for vector in vectors]
        assert device.load(2, 500) == 0
        assert [run(device, vector, interrupts=True) for vector in vectors] == quiet
        served = device.load(0, 0)
        assert served is not None and served >= 4
        run(device, vectors[0], interrupts=True)
        assert device.load(0, 0) == 0 and device.memory().guards_intact


@pytest.mark.emulator
@pytest.mark.parametrize("board", ["mps2-an386", "riscv32-virt"])
def test_the_watchdog_ends_a_run_that_hangs_under_load(
    board: str, small_model: Path, tmp_path: Path
) -> None:
    """On RISC-V one timer is both: interrupts go on until the watchdog's time, not beyond."""
    firmware = firmware_for(small_model, load_board(board), Settings())
    hangs = f"{INVOKE}    for (volatile int more = 1; more;) {{\n    }}\n"
    hung = doctored(firmware, tmp_path, patch={"model/model.c": (INVOKE, hangs)})
    with open_device(hung) as device:
        device.load(1000, 100)
        with pytest.raises(DeviceRestarted) as caught:
            device.invoke(120.0, watchdog_seconds=0.02, interrupts=True)
        assert "watchdog" in str(caught.value)
        assert device.load(0, 0) == 0, "a load ends with the boot"


def run(device: Device, vector: Sequence[Int8Array], *, interrupts: bool) -> bytes:
    """One inference; all its outputs."""
    for index, values in enumerate(vector):
        device.write_input(index, values)
    device.invoke(interrupts=interrupts)
    return b"".join(device.read_output(i).tobytes() for i in range(len(device.outputs)))


# --- what cannot be measured ---------------------------------------------------------------------


def test_a_board_without_a_timer(small_model: Path) -> None:
    with pytest.raises(BadInput, match="host has no timer") as caught:
        check_timer(load_board("host"))
    assert "mps2-an386" in str(caught.value) and "riscv32-virt" in str(caught.value)
    run = nanoexport(
        "bench", small_model, "--board", "host", "--interrupt-load", "100", "1000", "--json"
    )
    refused(run, 2, "host has no timer", "riscv32-virt")


@pytest.mark.emulator
def test_a_load_that_leaves_no_time(small_model: Path) -> None:
    firmware = firmware_for(small_model, load_board("riscv32-virt"), Settings())
    with open_device(firmware) as device:
        clock = Clock.of(device, firmware.board)
        for instructions in (4600, 2**32 - 1):
            load = Load(5, instructions)
            with pytest.raises(BadInput, match="too little time") as caught:
                measure_latency(device, firmware, clock, runs=1, load=load)
            assert "90% of the period" in str(caught.value)
        assert measure_latency(device, firmware, clock, runs=1, load=Load(5, 4400)).interrupts > 4
        with pytest.raises(RequestRefused, match="OUT_OF_RANGE"):
            device.load(2**32 - 1, 10)
