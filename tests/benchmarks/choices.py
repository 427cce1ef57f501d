"""Every kernel offered for the layers of the benchmarks, counted and modelled; Markdown of all.

python -m tests.benchmarks.choices [--board BOARD]

One firmware per board holds each layer once per kernel; the cycle plugin counts what it executes
and models its cycles.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from exporter import ops, passes
from exporter.board import Board, load_board
from exporter.build import build
from exporter.build.firmware import Settings, target_for
from exporter.cycles import Call, build_plugin, plugin_arguments, read_calls
from exporter.flash import Emulator
from exporter.graph.ir import Graph
from exporter.graph.tflite_reader import read
from exporter.graph.verify import verify
from exporter.ops.base import Target
from exporter.ops.candidate import Candidate, Rows
from exporter.plan.planner import plan
from exporter.plan.program import ConstantArray, Function, Program, Stage, Step, View
from exporter.plan.search import cheapest
from exporter.render.environment import environment
from exporter.render.model import layer_name, render_model
from exporter.render.platform import render_platform
from tests.benchmarks.measure import MODELS, model_path
from tests.benchmarks.networks import NETWORKS
from tests.cycles.assembly import addresses
from tests.platform.probe import write_project

BOARDS = ("mps2-an385", "mps2-an386")
"""A Cortex-M3 and a Cortex-M4: the cores with a cycle model that kernels are written for."""
TOLERANCE = 0.01
"""By how much modelled cycles may exceed another kernel's: what code around a kernel decides."""
DONE = b"done"
SECONDS = 120.0

MAIN = """#include "model.h"
#include "model_layers.h"
#include "platform.h"

extern int8_t model_arena[];

static void (*const layers[])(int8_t *arena) = {
{% for step in steps %}
    model_{{ step | layer_name }},
{% endfor %}
};

int main(void)
{
    uint32_t random = 1;
    platform_init();
    for (uint32_t i = 0; i < MODEL_ARENA_BYTES; ++i) {
        random = random * 1664525u + 1013904223u;
        model_arena[i] = (int8_t)(random >> 24);
    }
    for (uint32_t n = 0; n < sizeof layers / sizeof *layers; ++n) {
        layers[n](model_arena);
    }
    platform_serial_write((const uint8_t *)"done", 4);
    for (;;) {
        platform_idle();
    }
}
"""


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer of a network and what is offered for it; `chosen` is an index into `offers`."""

    name: str
    step: Step
    offers: tuple[Candidate, ...]
    chosen: int


@dataclass(frozen=True)
class Cost:
    """Of one kernel for one layer. `estimate`: of `instructions`, what the planner goes by."""

    kernel: str
    estimate: int
    instructions: int
    cycles: int
    constant_bytes: int
    is_chosen: bool

    @property
    def error(self) -> float:
        """How far the estimate is above the count, as a share of it."""
        return self.estimate / self.instructions - 1


Choice = tuple[str, tuple[Cost, ...]]
"""A layer's name and what each kernel measured for it costs."""


def networks() -> dict[str, bytes]:
    """The flatbuffers of the four models and of the benchmark networks."""
    models = {name: model_path(name).read_bytes() for name in MODELS}
    return models | {name: make() for name, make in NETWORKS.items()}


def layers_of(name: str, data: bytes, target: Target) -> Iterator[Layer]:
    """The layers that have more than one kernel to choose from."""
    graph = ops.check(passes.run(verify(read(data), after="reading")))
    offers, program = offered(graph, target)
    for candidates, step in zip(offers, program.steps, strict=True):
        if len(candidates) > 1:
            chosen = candidates.index(step.candidate)
            title = f"{name}, layer {step.op_index}, {step.candidate.name}"
            yield Layer(title, step, candidates, chosen)


def offered(graph: Graph, target: Target) -> tuple[list[tuple[Candidate, ...]], Program]:
    """What the planner chose from, layer by layer, and what it made of it."""
    offers: list[tuple[Candidate, ...]] = []

    def choose(candidates: Sequence[Candidate]) -> Candidate:
        offers.append(tuple(candidates))
        return cheapest(target, candidates)

    return offers, plan(graph, target, choose)


def distinct(layers: Sequence[Layer]) -> list[Layer]:
    """Each set of offers once: equal functions over equal shapes take equally long."""
    found: dict[object, Layer] = {}
    for layer in layers:
        offers = ((c.signature, c.inputs, c.output, c.images, c.ring) for c in layer.offers)
        found.setdefault(tuple(offers), layer)
    return list(found.values())


def layers_on(board: Board) -> list[Layer]:
    """The distinct layers of all networks, as planned for `board`."""
    target = target_for(board, Settings())
    return distinct([layer for item in networks().items() for layer in layers_of(*item, target)])


def estimate(candidate: Candidate) -> int:
    """What the planner expects the layer to execute."""
    return candidate.instructions + candidate.copy_instructions


def measure_choices(layers: Sequence[Layer], board: Board, folder: Path) -> list[Choice]:
    """What every kernel offered costs on `board`, layer by layer."""
    cases = [(layer, candidate) for layer in layers for candidate in layer.offers]
    calls = iter(run(program_of(cases), board, folder))
    return [
        (
            layer.name,
            tuple(
                _cost(candidate, next(calls), number == layer.chosen)
                for number, candidate in enumerate(layer.offers)
            ),
        )
        for layer in layers
    ]


def _cost(candidate: Candidate, call: Call, is_chosen: bool) -> Cost:
    return Cost(
        kernel=", ".join(filter(None, (candidate.kernel, candidate.choice))),
        estimate=estimate(candidate),
        instructions=call.instructions,
        cycles=call.cycles,
        constant_bytes=candidate.constant_bytes,
        is_chosen=is_chosen,
    )


def slower_choices(choices: Sequence[Choice]) -> list[str]:
    """Where the chosen kernel executes less than another and takes more modelled cycles."""
    return [
        f"{name}: chosen {chosen}, but {other}"
        for name, costs in choices
        for chosen in costs
        if chosen.is_chosen
        for other in costs
        if chosen.instructions < other.instructions
        and chosen.cycles > other.cycles * (1 + TOLERANCE)
    ]


def program_of(cases: Sequence[tuple[Layer, Candidate]]) -> Program:
    """One step per case, all over the same bytes: what they compute does not matter."""
    functions: dict[tuple[object, ...], Function] = {}
    steps, constants, arena_bytes = [], [], 0
    for index, (layer, candidate) in enumerate(cases):
        function = functions.setdefault(candidate.signature, _function(candidate, len(functions)))
        arrays = [
            ConstantArray(f"{c.role}_{index}", c.c_type, c.role, c.layout, c.values)
            for c in candidate.constants
        ]
        step, end = _step(layer.step, index, candidate, function.name, arrays)
        steps.append(step)
        constants += arrays
        arena_bytes = max(arena_bytes, end)
    micro_kernels = tuple(dict.fromkeys(m for _, c in cases for m in c.micro_kernels))
    assert len({micro.name for micro in micro_kernels}) == len(micro_kernels)
    return Program(
        name="choices", model_sha256="", dialect="tflite", optimize="speed",
        arena_bytes=arena_bytes, inputs=(), outputs=(), steps=tuple(steps),
        stages=tuple(Stage(index, index) for index in range(len(steps))),
        functions=tuple(functions.values()), micro_kernels=micro_kernels,
        constants=tuple(constants), buffers=(),
    )  # fmt: skip


def _function(candidate: Candidate, number: int) -> Function:
    return Function(
        name=f"{candidate.name}_{number}",
        kernel=candidate.kernel,
        params=candidate.params,
        constants=tuple((c.role, c.c_type) for c in candidate.constants),
        micro_kernels=tuple(micro.name for micro in candidate.micro_kernels),
    )


def _step(
    step: Step, index: int, candidate: Candidate, function: str, arrays: Sequence[ConstantArray]
) -> tuple[Step, int]:
    """The layer by another kernel, its buffers side by side; where they end."""
    sizes = [rows.count * rows.bytes * candidate.images for rows in candidate.inputs]
    sizes += [candidate.output.count * candidate.output.bytes * candidate.images]
    sizes += [candidate.ring.bytes if candidate.ring else 0, candidate.scratch_bytes]
    ends = [int(end) for end in np.cumsum([-(-size // 16) * 16 for size in sizes])]
    *inputs, output, ring, scratch = [0, *ends[:-1]]
    views = [
        _view(view, rows, offset)
        for view, rows, offset in zip(
            (*step.inputs, step.output),
            (*candidate.inputs, candidate.output),
            (*inputs, output),
            strict=True,
        )
    ]
    moved = replace(
        step,
        index=index,
        op_index=index,
        function=function,
        candidate=candidate,
        inputs=tuple(views[:-1]),
        output=views[-1],
        constants=tuple(array.name for array in arrays),
        ring_offset=ring if candidate.ring else None,
        ring_is_input=False,
        scratch_offset=scratch if candidate.scratch_bytes else None,
    )
    return moved, ends[-1]


def _view(view: View, rows: Rows, offset: int) -> View:
    return View(
        view.tensor, offset, rows.count, rows.bytes, rows.bytes, rows.count, rows.count * rows.bytes
    )


def run(program: Program, board: Board, folder: Path) -> list[Call]:
    """One call of each step, in order."""
    assert board.emulator is not None
    files = render_model(program)
    sources = [path for path in files if path.endswith(".c")]
    main = environment().from_string(MAIN).render(steps=program.steps)
    files |= render_platform(
        board, app={"main.c": main}, toolchain="gcc", optimize="speed", model_sources=sources
    )
    files["nanoexport.json"] = json.dumps({"board": board.name, "toolchain": "gcc"})
    elf = build(write_project(folder, files)).elf
    names = addresses(elf)
    watched = [names[f"model_{layer_name(step)}"] for step in program.steps]
    log = folder / "calls"
    plugin = build_plugin(board.emulator.program)
    arguments = plugin_arguments(plugin, board.core, log, sorted({*watched}))
    with Emulator(board, elf, arguments=arguments) as emulator:
        emulator.connection.settimeout(SECONDS)
        received = b""
        while received != DONE:
            received += emulator.connection.recv(len(DONE))
            assert DONE.startswith(received) and received, received
        calls = read_calls(log)
    assert [call.address for call in calls] == watched
    return calls


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--board", default=BOARDS[-1], choices=BOARDS)
    board = load_board(parser.parse_args().board)
    print("| layer | kernel | instructions | estimate | off by | modelled cycles | constants |")
    print("|---|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for name, costs in measure_choices(layers_on(board), board, Path(folder)):
            for cost in costs:
                cells = (
                    name,
                    f"**{cost.kernel}**" if cost.is_chosen else cost.kernel,
                    f"{cost.instructions:,}",
                    f"{cost.estimate:,}",
                    f"{cost.error:+.0%}",
                    f"{cost.cycles:,}",
                    f"{cost.constant_bytes:,}",
                )
                print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
