"""Budgets: files that are refused, limits that hold, and each kind of overrun, seeded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from exporter.board import load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.errors import BadInput, CheckFailed
from exporter.hil.budget import BudgetReport, check_budget, limits_of, measure_budget
from exporter.hil.budget_file import BoardBudget, read_budgets
from exporter.hil.session import open_device
from exporter.link.device import Device
from tests.hil.support import nanoexport, refused

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")

BOARDS = ["mps2-an386", "riscv32-virt"]
LOAD = {"period_us": 5, "instructions": 2000}


def written(folder: Path, text: str) -> Path:
    """A budget file."""
    path = folder / "budget.yaml"
    path.write_text(text)
    return path


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("is no budget", "mps2-an386")),
        ("- arena_bytes", ("is no budget", "list")),
        ("arena_bytes: 5", ("no board", "arena_bytes", "default", "riscv32-virt")),
        ("mps2-an387: {ticks: 1}", ("no board", "mps2-an387")),
        ("default: 5", ("has no limits", "deadline_us")),
        ("default: {flash: 5}", ("unknown key", "default.flash", "flash_bytes", "jitter_us")),
        ("host: {interrupt_load: {us: 5}}", ("host.interrupt_load", "period_us")),
        ("host: {interrupt_load: {us: 5, period_us: 1, instructions: 1}}", ("unknown key", "us")),
        ("host: {arena_bytes: many}", ("host.arena_bytes", "'many'", "integer")),
        ("host: {arena_bytes: 1.5}", ("host.arena_bytes", "1.5", "integer")),
        ("host: {arena_bytes: -1}", ("host.arena_bytes", "-1", "greater")),
        ("host: {arena_bytes: true}", ("host.arena_bytes", "True")),
        ("host: {deadline_ms: 0}", ("host.deadline_ms", "greater")),
        ("host: {deadline_ms: .nan}", ("host.deadline_ms", "nan")),
        ("host: {runs: 0, ticks: 1}", ("host.runs", "greater")),
        ("host: {ticks: 1, ticks: 2}", ("ticks is written twice",)),
        ("host: {ticks: 1", ("cannot be read", "YAML")),
        ("? [a]\n: 1", ("cannot be read",)),
        ("host: {runs: 2026-13-45}", ("cannot be read", "month")),  # YAML takes it for a date
        ("[" * 1000, ("cannot be read",)),
    ],
)  # fmt: skip
def test_a_file_that_is_no_budget(text: str, words: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        read_budgets(written(tmp_path, text))
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_file_that_is_not_there(tmp_path: Path, small_model: Path) -> None:
    path = tmp_path / "none.yaml"
    run = nanoexport("bench", small_model, "--board", "host", "--budget", path, "--json")
    refused(run, 2, "none.yaml", "No such file")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="cannot be read"):
        read_budgets(tmp_path / "bytes.yaml")


def test_a_board_takes_what_it_does_not_state_from_the_default(tmp_path: Path) -> None:
    text = "default: {arena_bytes: 10, ticks: 20, runs: 3}\nhost: {ticks: 30, arena_bytes: null}"
    budgets = read_budgets(written(tmp_path, text))
    assert budgets.of("host") == BoardBudget(ticks=30, runs=3)
    assert budgets.of("riscv32-virt") == BoardBudget(arena_bytes=10, ticks=20, runs=3)


def test_a_board_that_nothing_is_said_of(tmp_path: Path) -> None:
    budgets = read_budgets(written(tmp_path, "host: {ticks: 1}\ndefault: {runs: 3}"))
    with pytest.raises(BadInput, match="limits nothing on riscv32-virt") as caught:
        budgets.of("riscv32-virt")
    assert "--write-budget" in str(caught.value)


# --- limits --------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=BOARDS)
def firmware(
    request: pytest.FixtureRequest, firmware_cache: Path, small_model: Path
) -> ModelFirmware:
    """The small model."""
    return firmware_for(small_model, load_board(request.param), Settings(), cache=firmware_cache)


@pytest.fixture
def device(firmware: ModelFirmware) -> Iterator[Device]:
    """Its board."""
    with open_device(firmware) as opened:
        yield opened


def measured(firmware: ModelFirmware, device: Device, **limits: object) -> BudgetReport:
    """What a budget of these limits finds, in three runs."""
    return measure_budget(firmware, device, BoardBudget.model_validate({"runs": 3, **limits}))


@pytest.mark.emulator
def test_every_overrun_is_found(firmware: ModelFirmware, device: Device) -> None:
    """A limit two ticks too small for what was measured, and one that is large enough."""
    seen = measured(firmware, device, interrupt_load=LOAD)
    assert seen.loaded is not None and not seen.checks
    clock, worst = seen.quiet.clock, seen.quiet.clock.microseconds(seen.quiet.worst)
    step_us, step = clock.microseconds(2), round(2 * (clock.instructions_per_tick or 0))
    figures = {name: value for name, value in seen.measured.items() if value is not None}
    assert len(figures) == 11
    for name, value in {**figures, "deadline_us": worst, "deadline_ms": worst / 1000}.items():
        margin: float = step_us if name.endswith("us") else step_us / 1000
        if isinstance(value, int):
            margin = step if name.endswith("instructions") else 2
        report = measured(firmware, device, **{name: value + margin})
        assert not report.overruns, name
        if value > margin:  # a jitter may be less than what two readings differ by
            report = measured(firmware, device, **{name: value - margin})
            assert [check.limit for check in report.overruns] == [name]
            with pytest.raises(CheckFailed, match="1 of 1 limits") as caught:
                report.require()
            assert report.overruns[0].describe() in str(caught.value)


@pytest.mark.emulator
def test_a_deadline_that_is_kept_until_interrupts_come(
    firmware: ModelFirmware, device: Device, tmp_path: Path
) -> None:
    """Three runs of one interrupt each on the one board, of three on the other."""
    quiet_us = measured(firmware, device).quiet
    deadline = quiet_us.clock.microseconds(quiet_us.worst) + 1
    text: dict[str, dict[str, object]] = {firmware.board.name: {"deadline_us": deadline, "runs": 3}}
    assert not check_budget(firmware, device, written(tmp_path, yaml.safe_dump(text))).overruns
    text[firmware.board.name]["interrupt_load"] = LOAD
    budgets = read_budgets(written(tmp_path, yaml.safe_dump(text)))
    with pytest.raises(CheckFailed, match="1 of 2 limits") as caught:
        check_budget(firmware, device, budgets)
    assert "deadline_us, under load, worst of 3 runs" in str(caught.value)
    report = measure_budget(firmware, device, budgets.of(firmware.board.name))
    assert [check.holds for check in report.checks] == [True, False]
    assert report.loaded is not None
    assert report.loaded.interrupts == {"mps2-an386": 3, "riscv32-virt": 9}[firmware.board.name]


@pytest.mark.emulator
def test_a_load_that_interrupts_nothing_is_no_load(firmware: ModelFirmware, device: Device) -> None:
    load = {"period_us": 1_000_000, "instructions": 100}
    with pytest.raises(CheckFailed, match="interrupted no run"):
        measured(firmware, device, deadline_us=1_000_000, interrupt_load=load)


def test_limits_written_from_a_measurement_hold(firmware: ModelFirmware, device: Device) -> None:
    report = measured(firmware, device, interrupt_load=LOAD)
    limits = limits_of(report, 0.0)
    again = measured(firmware, device, **limits)
    assert len(again.checks) == 8 and not again.overruns
    tight = {**limits, "arena_bytes": limits["arena_bytes"] - 1}
    assert [check.limit for check in measured(firmware, device, **tight).overruns] == [
        "arena_bytes"
    ]
    assert limits_of(report, 50.0)["flash_bytes"] == -(-3 * limits["flash_bytes"] // 2)


def test_a_board_that_counts_no_instructions(small_model: Path) -> None:
    firmware = firmware_for(small_model, load_board("host"), Settings())
    with open_device(firmware) as device:
        with pytest.raises(BadInput, match="cannot count instructions") as caught:
            measured(firmware, device, worst_instructions=5)
        assert "worst_ticks" in str(caught.value)
        with pytest.raises(BadInput, match="host has no timer"):
            measured(firmware, device, ticks=5, interrupt_load=LOAD)
        report = measured(firmware, device, ticks=1, deadline_ms=1e6)
        assert [check.limit for check in report.overruns] == ["ticks"]
        assert "ticks" in limits_of(report, 5.0) and "instructions" not in limits_of(report, 5.0)


# --- the command line ----------------------------------------------------------------------------


def test_where_limits_cannot_be_written_nothing_is_measured(
    small_model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "absent" / "budget.yaml"
    run = nanoexport("bench", small_model, "--board", "host", "--json", "--write-budget", path)
    refused(run, 2, "cannot write")
    assert "latency" not in run.document


@pytest.mark.emulator
def test_a_budget_on_the_command_line(small_model: Path, tmp_path: Path) -> None:
    """Written, kept, refused to be written over, exceeded."""
    path = tmp_path / "budget.yaml"
    bench = ("bench", small_model, "--board", "riscv32-virt", "--json")
    run = nanoexport(*bench, "--write-budget", path, "--runs", "3", "--interrupt-load", "5", "2000")
    assert run.code == 0, run.err
    assert run.document["budget"] is None and run.document["latency"]["quiet"]["runs"] == 3
    assert run.document["latency"]["load"]["interrupts"] == 9
    assert "under load, 3 runs" in run.err and "9 interrupts served" in run.err
    held = nanoexport(*bench, "--budget", path)
    assert held.code == 0 and held.document["budget"]["holds"] is True, held.err
    refused(nanoexport(*bench, "--write-budget", path), 2, "is there already", "--force")
    refused(nanoexport(*bench, "--budget", path, "--runs", "2"), 2, "--runs", "budget.yaml")
    before = path.read_text()
    path.write_text(before.replace("arena_bytes: ", "arena_bytes: 1 #") + "host: {ticks: 9}\n")
    over = nanoexport(*bench, "--budget", path)
    error = refused(over, 1, "over its budget", "1 of 8 limits", "arena_bytes: 204 measured")
    assert str(error["value"]).endswith("1 allowed") and over.document["budget"]["holds"] is False
    again = nanoexport(*bench, "--write-budget", path, "--force", "--margin", "10%")
    assert again.code == 0
    sections = yaml.safe_load(path.read_text())
    assert sections["host"] == {"ticks": 9} and sections["riscv32-virt"]["arena_bytes"] == 225
