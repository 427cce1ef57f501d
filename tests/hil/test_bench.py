"""Instruction counts: exact, repeatable, and refused where ticks do not count instructions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from exporter.board import Board, load_board
from exporter.build.firmware import Settings, firmware_for
from exporter.hil.bench import Benchmark, bench_on_board
from exporter.hil.calibration import CALIBRATION_TOLERANCE, instructions_per_tick
from exporter.link.device import Device

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")

COUNTING = ["mps2-an386", "riscv32-virt"]


class Spinner:
    """A device whose loop of N instructions takes `ticks(N)` ticks; None where it cannot spin."""

    def __init__(
        self, instructions_per_tick: float | None, ticks_hz: int, overhead_ticks: int = 3
    ) -> None:
        self.identity = SimpleNamespace(ticks_hz=ticks_hz)
        self.rate = instructions_per_tick
        self.overhead_ticks = overhead_ticks

    def spin(self, instructions: int) -> int | None:
        if self.rate is None:
            return None
        return round(instructions / self.rate) + self.overhead_ticks


def calibrated(rate: float | None, board: str) -> float | None:
    """What calibration makes of a device that runs `rate` instructions in a tick."""
    loaded = load_board(board)
    return instructions_per_tick(cast(Device, Spinner(rate, loaded.ticks.hz)), loaded)


def instructions_in_a_tick(board: Board) -> int:
    """Under `-icount shift=0` one instruction is 1 ns; `minstret` counts instructions."""
    return 1 if board.ticks.source == "minstret" else 1_000_000_000 // board.ticks.hz


@pytest.mark.parametrize("board", COUNTING)
def test_the_right_tick_rate_is_accepted(board: str) -> None:
    rate = instructions_in_a_tick(load_board(board))
    assert calibrated(rate, board) == rate


@pytest.mark.parametrize("board", COUNTING)
@pytest.mark.parametrize("error", [0.5, 0.9, 0.99, 0.998, 1.002, 1.01, 2.0])
def test_a_wrong_tick_rate_is_refused(error: float, board: str) -> None:
    assert calibrated(error * instructions_in_a_tick(load_board(board)), board) is None


def test_a_device_that_cannot_count() -> None:
    assert calibrated(None, "mps2-an386") is None


def test_ticks_that_stand_still() -> None:
    assert calibrated(1e12, "mps2-an386") is None


def measure(model: Path, board: str) -> Benchmark:
    """One benchmark with the default settings."""
    return bench_on_board(firmware_for(model, load_board(board), Settings()))


@pytest.mark.emulator
@pytest.mark.parametrize("board", COUNTING)
def test_counts_repeat(board: str, small_model: Path) -> None:
    """To the instruction where instructions are read, to one tick where a timer is."""
    first, second = measure(small_model, board), measure(small_model, board)
    tick = instructions_in_a_tick(load_board(board))
    allowed = 0 if tick == 1 else 2 * tick
    assert first.instructions is not None and second.instructions is not None
    assert abs(first.instructions - second.instructions) <= allowed
    for one, other in zip(first.layers, second.layers, strict=True):
        assert abs((one.instructions or 0) - (other.instructions or 0)) <= allowed
    assert first.stack_bytes == second.stack_bytes > 0


@pytest.mark.emulator
@pytest.mark.parametrize("board", COUNTING)
def test_the_layers_make_up_the_whole(board: str, small_model: Path) -> None:
    result = measure(small_model, board)
    assert result.instructions is not None and result.instructions > 0
    layers = [layer.instructions or 0 for layer in result.layers]
    assert all(count > 0 for count in layers)
    assert sum(layers) == pytest.approx(result.instructions, rel=0.02)


@pytest.mark.emulator
def test_more_work_counts_more(small_model: Path) -> None:
    """A convolution of 3,888 multiply-accumulates costs at least one instruction for each four."""
    result = measure(small_model, "riscv32-virt")
    convolution = result.layers[0]
    assert convolution.op == "CONV_2D" and convolution.instructions is not None
    assert convolution.instructions > convolution.macs / 4


def test_a_native_process_counts_nothing(small_model: Path) -> None:
    result = measure(small_model, "host")
    assert result.instructions is None and result.stack_bytes > 0
    assert all(layer.instructions is None for layer in result.layers)


def test_a_wrong_clock_in_the_board_file_gives_no_count(
    small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host's nanoseconds must not pass for instructions, whatever rate the file states."""
    firmware = firmware_for(small_model, load_board("host"), Settings())
    ticks = firmware.board.ticks.model_copy(update={"source": "systick"})
    board = firmware.board.model_copy(update={"ticks": ticks})
    assert bench_on_board(replace(firmware, board=board)).instructions is None
    assert CALIBRATION_TOLERANCE <= 1e-3
