"""Modelled cycles: those of the run that the board's ticks count, or none, with a reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from exporter import cycles as plugin
from exporter.board import all_boards, load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.cycles import CORES, Call
from exporter.errors import CheckFailed, InternalError
from exporter.hil import cycles
from exporter.hil.bench import Benchmark, bench_on_board
from exporter.hil.cycles import has_model, model_cycles, steady_state, with_cycles
from tests.hil.support import nanoexport
from tests.platform.probe import need_tool

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")

MODELLED = ["lm3s6965evb", "mps2-an385", "mps2-an386", "netduinoplus2", "stm32vldiscovery"]
COUNTED_BY_DWT = pytest.param("stm32vldiscovery", marks=pytest.mark.long)
NOTHING = Benchmark(instructions=None, stack_bytes=0, layers=())


@pytest.fixture(params=["mps2-an385", "mps2-an386", COUNTED_BY_DWT])
def firmware(request: pytest.FixtureRequest, small_model: Path) -> ModelFirmware:
    """The small model on each board whose core has a model."""
    need_tool("qemu-system-arm", "arm-none-eabi-gcc", plugin.HOST_COMPILER)
    return firmware_for(small_model, load_board(request.param), Settings())


def test_which_boards_have_a_model() -> None:
    assert [board.name for board in all_boards() if has_model(board)] == MODELLED
    assert {load_board(name).core for name in MODELLED} < set(CORES)


@pytest.mark.emulator
def test_cycles_are_those_of_the_counted_run(firmware: ModelFirmware) -> None:
    counted, modelled = bench_on_board(firmware), model_cycles(firmware)
    assert counted.instructions is not None
    hz = firmware.board.ticks.hz
    tick = 1_000_000_000 // hz
    assert abs(modelled.instructions - counted.instructions) <= 2 * tick
    assert 1.0 < modelled.cycles / modelled.instructions < 3.0
    assert len(modelled.layers) == len(firmware.program.steps)
    assert sum(modelled.layers) == pytest.approx(modelled.cycles, rel=0.02)
    assert modelled.milliseconds == pytest.approx(1000 * modelled.cycles / hz)


@pytest.mark.emulator
def test_cycles_repeat(firmware: ModelFirmware) -> None:
    assert model_cycles(firmware) == model_cycles(firmware)


@pytest.mark.emulator
def test_a_plugin_that_counts_something_else_is_not_believed(
    firmware: ModelFirmware, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fewer(log: Path) -> list[Call]:
        calls = plugin.read_calls(log)
        return [replace(call, instructions=call.instructions - 200) for call in calls]

    monkeypatch.setattr(cycles, "read_calls", fewer)
    with pytest.raises(CheckFailed, match="count different instructions"):
        with_cycles(firmware, NOTHING)


@pytest.mark.emulator
def test_without_a_compiler_there_is_a_warning(
    firmware: ModelFirmware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NANOEXPORT_CACHE", str(tmp_path))
    monkeypatch.setattr(plugin, "HOST_COMPILER", "no-such-compiler")
    result = with_cycles(firmware, NOTHING)
    assert result.cycles is None
    assert result.no_cycles == "warning: the program no-such-compiler is not installed"


@pytest.mark.emulator
def test_an_emulator_without_plugins_gives_a_warning(
    firmware: ModelFirmware, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU may be built without them, or speak another version of their interface."""
    (tmp_path / "old.so").write_bytes(b"no plugin")
    monkeypatch.setattr(cycles, "build_plugin", lambda _: tmp_path / "old.so")
    result = with_cycles(firmware, NOTHING)
    assert result.cycles is None and str(result.no_cycles).startswith("warning: the emulator ended")


def test_a_core_without_a_model(small_model: Path) -> None:
    result = with_cycles(firmware_for(small_model, load_board("host"), Settings()), NOTHING)
    assert result.cycles is None
    assert result.no_cycles == "there is no cycle model of host"


@pytest.mark.emulator
def test_the_command_shows_them_apart(firmware: ModelFirmware, small_model: Path) -> None:
    board = firmware.board.name
    run = nanoexport("bench", small_model, "--board", board, "--json")
    document = run.document
    assert document["cycle_model"] == f"{firmware.board.core}, zero wait states"
    assert document["modelled_cycles"] > document["instructions"]
    hz = firmware.board.ticks.hz
    milliseconds = 1000 * document["modelled_cycles"] / hz
    assert document["modelled_milliseconds"] == pytest.approx(milliseconds)
    assert all(layer["modelled_cycles"] > 0 for layer in document["layers"])
    assert "not measured" in run.err and f"{hz // 1_000_000} MHz" in run.err


@pytest.mark.emulator
def test_the_command_can_leave_them_out(firmware: ModelFirmware, small_model: Path) -> None:
    run = nanoexport("bench", small_model, "--board", firmware.board.name, "--no-cycles", "--json")
    assert run.document["modelled_cycles"] is None and run.document["cycle_model"] is None
    assert "modelled" not in run.err


def call(address: int, cycles: int = 1) -> Call:
    return Call(address=address, cycles=cycles, instructions=cycles)


def test_the_last_run_counts() -> None:
    inferences = [call(2, 5), call(3, 6), call(1, 20), call(2, 7), call(3, 8), call(1, 22)]
    layers = [call(2, 9), call(3, 10)]
    assert steady_state(inferences + layers, 1, [2, 3]) == (inferences[-1], tuple(layers))


def test_layers_of_one_address_are_told_apart_by_their_order() -> None:
    log = [call(1, 30), call(2, 10), call(2, 20)]
    assert steady_state(log, 1, [2, 2])[1] == (call(2, 10), call(2, 20))


def test_a_model_without_layers() -> None:
    assert steady_state([call(1, 3), call(1, 3)], 1, []) == (call(1, 3), ())


@pytest.mark.parametrize("log", [[], [call(1)], [call(2), call(3)], [call(1), call(3), call(2)]])
def test_a_log_without_a_whole_run(log: list[Call]) -> None:
    with pytest.raises(InternalError, match="no whole run"):
        steady_state(log, 1, [2, 3])
