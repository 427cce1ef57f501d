"""The Pico, whose emulator counts cycles: bit-exact, and told as cycles, never as instructions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from exporter.board import load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.console import Output
from exporter.hil.bench import as_dict, bench_on_board
from exporter.hil.calibration import instructions_per_tick, ticks_are_cycles
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import verify_on_board
from exporter.link.device import Device
from exporter.reports import show_benchmark
from tests.hil.test_bench import Spinner
from tests.platform.test_rp2040 import need_emulator

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")

PICO = "raspberry-pi-pico"


@pytest.mark.parametrize(
    ("instructions_per_cycle", "cycles"),
    [
        (2 / 3, True),  # a round of three cycles
        (2 / 1, True),
        (2 / 4, True),
        (2 / 3.01, False),
        (8.0, False),  # a nanosecond an instruction: a quarter of a tick a round
        (None, False),
    ],
)
def test_a_round_takes_whole_cycles(instructions_per_cycle: float | None, cycles: bool) -> None:
    board = load_board(PICO)
    device = cast(Device, Spinner(instructions_per_cycle, board.ticks.hz))
    assert ticks_are_cycles(device, board) is cycles


def test_a_counter_at_another_clock_counts_no_cycles() -> None:
    board = load_board(PICO)
    assert not ticks_are_cycles(cast(Device, Spinner(2 / 3, board.ticks.hz // 8)), board)
    for name in ("mps2-an386", "host"):  # nothing is known of the core's clock
        other = load_board(name)
        assert not ticks_are_cycles(cast(Device, Spinner(2 / 3, other.ticks.hz)), other)


def test_cycles_are_no_instructions() -> None:
    board = load_board(PICO)
    assert instructions_per_tick(cast(Device, Spinner(2 / 3, board.ticks.hz)), board) is None


@pytest.fixture
def firmware(small_model: Path) -> ModelFirmware:
    """A small model for the Pico."""
    need_emulator()
    return firmware_for(small_model, load_board(PICO), Settings())


@pytest.mark.emulator
@pytest.mark.toolchain
def test_bit_exact(firmware: ModelFirmware) -> None:
    vectors = make_vectors([port.tensor for port in firmware.program.inputs], 4)
    result = verify_on_board(firmware, vectors)
    assert result.bit_exact and result.vectors == 4
    assert result.memory is not None
    assert result.memory.image_bytes > 0


@pytest.mark.emulator
@pytest.mark.toolchain
def test_cycles_are_counted_and_add_up(
    firmware: ModelFirmware, capsys: pytest.CaptureFixture[str]
) -> None:
    result = bench_on_board(firmware)
    assert result.instructions is None
    assert result.counted_cycles is not None
    layers = [layer.cycles or 0 for layer in result.layers]
    assert all(cycles > 0 for cycles in layers)
    assert sum(layers) == pytest.approx(result.counted_cycles, rel=0.02)
    assert all(layer.instructions is None for layer in result.layers)
    document = as_dict(firmware, result)
    assert document["cycles"] == result.counted_cycles and document["instructions"] is None
    again = bench_on_board(firmware)
    assert again.counted_cycles == pytest.approx(result.counted_cycles, abs=300)
    show_benchmark(Output(), firmware, result)
    shown = capsys.readouterr().out
    assert f"cycles        {result.counted_cycles:,}, " in shown
    assert "as rp2040js counts them: no wait for the flash, not measured" in shown
    assert "instructions" not in shown
    show_benchmark(Output(), firmware, replace(result, on_chip=True))
    assert "MHz: counted on the chip" in capsys.readouterr().out
