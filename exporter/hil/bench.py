"""What an inference costs on a board: instructions or cycles by layer, and bytes by kind.

Instructions are ticks times a constant, where a tick counts instructions; elsewhere cycles are
ticks, where these count cycles: see calibration.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from exporter.build.firmware import ModelFirmware
from exporter.errors import CheckFailed
from exporter.hil.budget import BudgetReport, measure_budget
from exporter.hil.budget_file import BoardBudget
from exporter.hil.calibration import instructions_per_tick, ticks_are_cycles
from exporter.hil.reference import baseline_of, silicon_of
from exporter.hil.session import EMULATOR, open_device
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import SHORTEST_DEADLINE_SECONDS, SLOWEST_MACS_PER_SECOND
from exporter.link.device import Device
from exporter.link.messages import InvokeResult, ProfileResult
from exporter.plan.program import Program, Stage
from exporter.render.model import stage_kind

TICKS_OF_READINGS = 1_000
"""What reading the counter around each step may add at most."""


@dataclass(frozen=True)
class LayerCost:
    """One layer, or several that make their rows in turn: `index` is the first operator's in the
    flatbuffer, `instructions` and `cycles` None if uncounted.
    """

    index: int
    op: str
    name: str
    macs: int
    instructions: int | None
    cycles: int | None = None


@dataclass(frozen=True)
class ModelledCycles:
    """Cycles by the timing model of `core` at zero wait states, never measured: docs/cycles.md."""

    core: str
    clock_hz: int
    cycles: int
    layers: tuple[int, ...]
    instructions: int
    """What was executed in those cycles."""

    @property
    def model(self) -> str:
        """Whose timings, and under which condition."""
        return f"{self.core}, zero wait states"

    @property
    def milliseconds(self) -> float:
        """The time of one inference at the board's clock."""
        return 1000 * self.cycles / self.clock_hz


@dataclass(frozen=True)
class Benchmark:
    """One model on one board. `instructions` of a whole inference, None where uncounted;
    `counted_cycles`, which the board counted, as opposed to `cycles`, which are modelled.
    """

    instructions: int | None
    stack_bytes: int
    layers: tuple[LayerCost, ...]
    counted_cycles: int | None = None
    on_chip: bool = False
    """Whether it was the chip that ran, no emulator."""
    cycles: ModelledCycles | None = None
    no_cycles: str | None = None
    """Why there are no modelled cycles, where they were asked for."""
    budget: BudgetReport | None = None
    """The latency, and the limits that it was measured against, if any."""

    def counts(self, layer: LayerCost) -> tuple[int | None, int | None]:
        """What was counted of `layer`, and of all: instructions or cycles."""
        if self.instructions is None:
            return layer.cycles, self.counted_cycles
        return layer.instructions, self.instructions

    @property
    def layer_cycles(self) -> tuple[int | None, ...]:
        """Modelled cycles of each layer."""
        return self.cycles.layers if self.cycles else (None,) * len(self.layers)


def bench_on_board(
    firmware: ModelFirmware, *, port: str | None = None, budget: BoardBudget | None = None
) -> Benchmark:
    """Measure `firmware` on its board; with `budget` also the latency, as it says.

    Raises LinkFailed, MissingTool; BadInput where a budget asks for what cannot be measured. That a
    limit does not hold is for `Benchmark.budget.require` to tell.
    """
    with open_device(firmware, port=port) as device:
        emulated = port in (None, EMULATOR) and firmware.board.emulator is not None
        result = bench_device(device, firmware, warm_up=not emulated)
        report = measure_budget(firmware, device, budget) if budget else None
        return replace(result, on_chip=not emulated, budget=report)


def run_inferences(
    device: Device, firmware: ModelFirmware, *, warm_up: bool = True
) -> tuple[InvokeResult, ProfileResult]:
    """An inference in the steady state, and one layer by layer.

    The second inference is the steady state by rule; an emulator, which has no caches, may do
    without the first.
    """
    deadline = max(SHORTEST_DEADLINE_SECONDS, firmware.program.macs / SLOWEST_MACS_PER_SECOND)
    if warm_up:
        _write_inputs(device, firmware)
        device.invoke(deadline)
    _write_inputs(device, firmware)
    invoked = device.invoke(deadline)
    _write_inputs(device, firmware)
    return invoked, device.profile(deadline)


def bench_device(device: Device, firmware: ModelFirmware, *, warm_up: bool = True) -> Benchmark:
    """Instructions or cycles from the device's ticks, where these count them."""
    program, board = firmware.program, firmware.board
    invoked, profile = run_inferences(device, firmware, warm_up=warm_up)
    per_tick = instructions_per_tick(device, board)
    cycles = per_tick is None and ticks_are_cycles(device, board)
    if per_tick is not None or cycles:
        _require_whole_time(invoked.ticks, sum(profile.step_ticks))

    def counted(ticks: int, rate: float | None) -> int | None:
        """Of what passes `rate` times in a tick, without reading the counter."""
        return None if rate is None else round(max(0.0, ticks - profile.reading_ticks) * rate)

    rates = (per_tick, 1.0 if cycles else None)
    layers = tuple(
        _cost(program, stage, *(counted(ticks, rate) for rate in rates))
        for stage, ticks in zip(program.stages, profile.step_ticks, strict=True)
    )
    instructions, counted_cycles = (counted(invoked.ticks, rate) for rate in rates)
    return Benchmark(instructions, invoked.stack_bytes, layers, counted_cycles)


def _cost(
    program: Program, stage: Stage, instructions: int | None, cycles: int | None
) -> LayerCost:
    steps = program.steps[stage.first : stage.last + 1]
    macs = sum(step.macs for step in steps)
    kind = stage_kind(program, stage)
    return LayerCost(steps[0].op_index, kind, steps[-1].name, macs, instructions, cycles)


def _require_whole_time(whole: int, parts: int) -> None:
    """Raises CheckFailed where an inference and its steps one by one take times far apart.

    A counter that loses time (wraps while interrupts are masked) shows here instead of as a record.
    """
    if parts > 2 * whole + TICKS_OF_READINGS or whole > 2 * parts + TICKS_OF_READINGS:
        raise CheckFailed(
            "the board's tick counter loses time",
            value=f"{whole} ticks for an inference, {parts} for its layers one by one",
            allowed="figures that agree",
            next_step="choose a slower tick source in the board's file",
        )


def _write_inputs(device: Device, firmware: ModelFirmware) -> None:
    """Noise: the cost of an inference hardly depends on its input."""
    (vector,) = make_vectors([port.tensor for port in firmware.program.inputs], 1)
    for index, values in enumerate(vector):
        device.write_input(index, values)


def as_dict(firmware: ModelFirmware, result: Benchmark) -> dict[str, object]:
    """The document that `nanoexport bench --json` prints."""
    footprint, program, cycles = firmware.footprint, firmware.program, result.cycles
    baseline = baseline_of(program.model_sha256, firmware.board, firmware.settings.optimize)
    silicon = silicon_of(program.model_sha256, firmware.board.core)
    return {
        "schema_version": 1,
        "model": program.name,
        "model_sha256": program.model_sha256,
        "board": firmware.board.name,
        "toolchain": firmware.toolchain,
        "optimize": firmware.settings.optimize,
        "dialect": firmware.settings.dialect,
        "instructions": result.instructions,
        "cycles": result.counted_cycles,
        "modelled_cycles": cycles.cycles if cycles else None,
        "cycle_model": cycles.model if cycles else None,
        "clock_hz": cycles.clock_hz if cycles else None,
        "modelled_milliseconds": cycles.milliseconds if cycles else None,
        "no_modelled_cycles": result.no_cycles,
        "macs": program.macs,
        "arena_bytes": program.arena_bytes,
        "static_ram_bytes": footprint.static_ram_bytes,
        "stack_bytes": result.stack_bytes,
        "code_bytes": footprint.code_bytes,
        "weights_bytes": footprint.weights_bytes,
        "flash_bytes": footprint.flash_bytes,
        "baseline": asdict(baseline) if baseline else None,
        "silicon": [asdict(figure) for figure in silicon],
        "latency": latency_document(result.budget),
        "budget": result.budget.as_dict() if result.budget and result.budget.checks else None,
        "layers": [
            {
                "index": layer.index,
                "op": layer.op,
                "name": layer.name,
                "macs": layer.macs,
                "instructions": layer.instructions,
                "instructions_per_mac": ratio(layer.instructions, layer.macs),
                "cycles": layer.cycles,
                "cycles_per_mac": ratio(layer.cycles, layer.macs),
                "share_percent": share(*result.counts(layer)),
                "modelled_cycles": modelled,
            }
            for layer, modelled in zip(result.layers, result.layer_cycles, strict=True)
        ],
    }


def latency_document(report: BudgetReport | None) -> dict[str, object] | None:
    """The distributions, quiet and under load; None where none was measured."""
    if report is None:
        return None
    load = report.loaded.as_dict() if report.loaded else None
    return {"quiet": report.quiet.as_dict(), "load": load}


def ratio(figure: int | None, of: int | None) -> float | None:
    """One figure divided by another; None where one is missing or there is nothing to divide by."""
    return None if figure is None or not of else figure / of


def share(part: int | None, whole: int | None) -> float | None:
    """`part` of `whole` in percent."""
    return None if part is None or not whole else 100 * part / whole
