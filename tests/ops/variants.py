"""Every kernel that is offered for a layer, not only the cheapest, each buffer between guards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter

from exporter.graph.ir import Graph
from exporter.ops.base import Target
from exporter.ops.candidate import Candidate
from exporter.plan.check import check
from exporter.plan.planner import plan
from exporter.plan.program import Program, Step
from tests.ops.harness import Case, make_case

GAP_BYTES = 64
PARTLY_WRITTEN = ("CONCATENATION", "PAD", "PADV2")


def variants(
    models: Mapping[str, bytes], target: Target, vectors: int = 14, *, kernels: str = ""
) -> list[Case]:
    """A case for each kernel offered for the only layer of each model, with spread buffers.

    `kernels`: how their templates begin, such as `dsp/`.
    """
    return [
        variant
        for name, data in models.items()
        for variant in _variants(make_case(name, data, target, vectors), target, kernels)
    ]


def offered(graph: Graph, target: Target) -> tuple[Candidate, ...]:
    """What the planner may choose from for the only layer of a graph."""
    found: list[Candidate] = []

    def first(candidates: Sequence[Candidate]) -> Candidate:
        assert not found, "a model of several layers"
        found.extend(candidates)
        return candidates[0]

    plan(graph, target, first)
    return tuple(found)


def in_place(graph: Graph, target: Target) -> Program | None:
    """As it is planned where the layer's inputs lie in its output already: it writes the rest."""
    if graph.ops[0].kind not in PARTLY_WRITTEN:
        return None
    program = plan(graph, target)
    return program if any(step.in_place for step in program.steps) else None


def _variants(case: Case, target: Target, kernels: str) -> Iterator[Case]:
    for number, candidate in enumerate(offered(case.graph, target)):
        if not candidate.kernel.startswith(kernels):
            continue
        program = plan(case.graph, target, itemgetter(number))
        spread, gaps = spread_buffers(program)
        name = f"{case.name}, {candidate.kernel} {candidate.choice}"
        yield replace(case, name=name, program=check(spread, case.graph), gaps=gaps)
        if candidate.tiling is not None or candidate.by_channels:
            # What it says of the order in which it reads and writes: the output over the input.
            tight = check(program, case.graph)
            title = f"{name}, over its input"
            yield replace(case, name=title, program=tight, gaps=(), is_over_input=True)
    rest = in_place(case.graph, target)
    if rest is not None and rest.steps[0].candidate.kernel.startswith(kernels):
        title = f"{case.name}, {rest.steps[0].candidate.kernel}, its input in place"
        yield replace(case, name=title, program=check(rest, case.graph))


def spread_buffers(program: Program) -> tuple[Program, tuple[tuple[int, int], ...]]:
    """The program of one layer with a gap before, between and after its buffers; the gaps."""
    gaps, place, offset = [], {}, 0
    for buffer in sorted(program.buffers, key=lambda buffer: (buffer.offset, buffer.name)):
        gaps.append((offset, GAP_BYTES))
        place[buffer.name] = offset + GAP_BYTES
        # To the byte: what follows an odd buffer begins at once.
        gaps.append((offset + GAP_BYTES + buffer.bytes, -buffer.bytes % 8))
        offset += GAP_BYTES + buffer.bytes + -buffer.bytes % 8
    gaps.append((offset, GAP_BYTES))

    def moved(step: Step) -> Step:
        output = f"tensor_{step.output.tensor}"
        return replace(
            step,
            inputs=tuple(replace(v, offset=place[f"input_{v.tensor}"]) for v in step.inputs),
            output=replace(step.output, offset=place[output]),
            ring_offset=place.get(f"ring_{step.index}"),
            scratch_offset=place.get(f"scratch_{step.index}"),
        )

    spread = replace(
        program,
        arena_bytes=offset + GAP_BYTES,
        inputs=tuple(replace(p, offset=place[f"input_{p.tensor.id}"]) for p in program.inputs),
        outputs=tuple(replace(p, offset=place[f"tensor_{p.tensor.id}"]) for p in program.outputs),
        steps=tuple(map(moved, program.steps)),
        buffers=tuple(replace(b, offset=place[b.name]) for b in program.buffers),
    )
    return spread, tuple(gap for gap in gaps if gap[1])
