"""Modelled cycles of an inference and of each layer: a model, never a measurement.

The board's image runs once more in the emulator, with the plugin of `exporter.cycles`. What the
plugin saw is the very run that the board's ticks measured only if both count the same instructions,
so that is checked before a figure is given.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from exporter.board import Board
from exporter.build.firmware import ModelFirmware
from exporter.cycles import CORES, Call, build_plugin, plugin_arguments, read_calls
from exporter.errors import BadInput, CheckFailed, InternalError, LinkFailed, MissingTool
from exporter.hil.bench import Benchmark, ModelledCycles, run_inferences
from exporter.hil.calibration import NANOSECONDS
from exporter.hil.session import open_device
from exporter.render.model import stage_name, takes_rows
from exporter.render.project import DEFAULT_PREFIX

TICKS_OF_VIRTUAL_TIME = ("systick", "dwt")
"""What `-icount shift=0` makes a count of instructions; in QEMU `dwt` is SysTick, too."""

READING_INSTRUCTIONS = 64
"""What two readings of the tick counter and the call between them execute at most."""


def has_model(board: Board) -> bool:
    """Whether cycles can be modelled: QEMU runs the board, and the model knows its core."""
    ticks_of_instructions = board.ticks.source in TICKS_OF_VIRTUAL_TIME
    return board.core in CORES and board.emulator is not None and ticks_of_instructions


def model_cycles(firmware: ModelFirmware) -> ModelledCycles:
    """The cycles of the last whole inference, and of each layer run by itself.

    Raises:
        MissingTool: no host compiler. LinkFailed: the emulator takes no plugins.
        CheckFailed: the plugin and the board's ticks disagree about what was executed.
    """
    board = firmware.board
    if board.emulator is None or not has_model(board):
        raise InternalError("no cycle model", value=board.core, allowed=CORES)
    plugin = build_plugin(board.emulator.program)
    invoke, *steps = function_addresses(firmware)
    with tempfile.TemporaryDirectory(prefix="nanoexport-cycles-") as folder:
        log = Path(folder) / "calls"
        arguments = plugin_arguments(plugin, board.core, log, sorted({invoke, *steps}))
        with open_device(firmware, arguments=arguments) as device:
            invoked, _ = run_inferences(device, firmware, warm_up=False)
            ticks_hz = device.identity.ticks_hz
            calls = read_calls(log)
    whole, layers = steady_state(calls, invoke, steps)
    _require_same_instructions(whole.instructions, invoked.ticks, ticks_hz)
    return ModelledCycles(
        core=board.core,
        clock_hz=board.ticks.hz,
        cycles=whole.cycles,
        layers=tuple(call.cycles for call in layers),
        instructions=whole.instructions,
    )


def with_cycles(firmware: ModelFirmware, result: Benchmark) -> Benchmark:
    """`result` with modelled cycles, or with the reason why there are none.

    For want of a compiler a benchmark goes on without them. Raises CheckFailed as `model_cycles`.
    """
    if not has_model(firmware.board):
        return replace(result, no_cycles=f"there is no cycle model of {firmware.board.core}")
    try:
        return replace(result, cycles=model_cycles(firmware))
    except (BadInput, LinkFailed, MissingTool) as error:
        remedy = f"; {error.next_step}" if error.next_step else ""
        return replace(result, no_cycles=f"warning: {error.what}{remedy}")


def steady_state(
    calls: Sequence[Call], invoke: int, steps: Sequence[int]
) -> tuple[Call, tuple[Call, ...]]:
    """The last whole inference, and the layers run one by one after it, in order.

    Layers are told apart by their order, not by their addresses: the linker may fold two into one.
    Raises InternalError where the log has no such run.
    """
    inferences = [call for call in calls if call.address == invoke]
    layers = tuple(calls[len(calls) - len(steps) :])
    if not inferences or [call.address for call in layers] != list(steps):
        raise InternalError(
            "the cycle plugin logged no whole run",
            value=f"{len(calls)} calls, {len(inferences)} of them inferences",
            allowed=f"an inference, then {len(steps)} layers",
        )
    return inferences[-1], layers


def function_addresses(firmware: ModelFirmware) -> list[int]:
    """Where the inference begins, then each layer. Raises InternalError where one is missing."""
    program = firmware.program
    stages = [
        "give_rows" if takes_rows(stage) else f"{DEFAULT_PREFIX}_{stage_name(program, stage)}"
        for stage in program.stages
    ]
    # What the description of the model calls an inference: its own function, or the model's.
    wrapped = program.given is not None or firmware.settings.arena == "caller"
    names = ["invoke" if wrapped else f"{DEFAULT_PREFIX}_invoke", *stages]
    with firmware.firmware.elf.open("rb") as stream:
        symbols = ELFFile(stream).get_section_by_name(".symtab")
        assert isinstance(symbols, SymbolTableSection)
        found = {symbol.name: symbol["st_value"] & ~1 for symbol in symbols.iter_symbols()}
    missing = [name for name in names if name not in found]
    if missing:
        raise InternalError("the image lacks functions of the model", value=", ".join(missing))
    return [found[name] for name in names]


def _require_same_instructions(counted: int, ticks: int, ticks_hz: int) -> None:
    """Under `-icount shift=0` a tick is so many nanoseconds, and each is an instruction."""
    per_tick = NANOSECONDS / ticks_hz
    if not -per_tick <= ticks * per_tick - counted <= per_tick + READING_INSTRUCTIONS:
        raise CheckFailed(
            "the cycle plugin and the board's ticks count different instructions",
            value=f"{counted:,} by the plugin, {ticks * per_tick:,.0f} by ticks",
            allowed=f"{per_tick:g} for a tick and {READING_INSTRUCTIONS} for reading it",
            next_step="report this defect with the model; --no-cycles leaves the cycles out",
        )
