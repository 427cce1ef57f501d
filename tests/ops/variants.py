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
from exporter.plan.program import Program
from tests.ops.harness import Case, make_case

GAP_BYTES = 64


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


def _variants(case: Case, target: Target, kernels: str) -> Iterator[Case]:
    for number, candidate in enumerate(offered(case.graph, target)):
        if not candidate.kernel.startswith(kernels):
            continue
        program = plan(case.graph, target, itemgetter(number))
        spread, gaps = spread_buffers(program)
        yield replace(
            case,
            name=f"{case.name}, {candidate.kernel} {candidate.choice}",
            program=check(spread, case.graph),
            gaps=gaps,
        )


def spread_buffers(program: Program) -> tuple[Program, tuple[tuple[int, int], ...]]:
    """The program of one layer with a gap before, between and after its buffers; the gaps."""
    gaps, moved, offset = [], {}, 0
    for buffer in sorted(program.buffers, key=lambda buffer: buffer.offset):
        gaps.append((offset, GAP_BYTES))
        moved[buffer.offset] = offset + GAP_BYTES
        # To the byte: what follows an odd buffer begins at once.
        gaps.append((offset + GAP_BYTES + buffer.bytes, -buffer.bytes % 8))
        offset += GAP_BYTES + buffer.bytes + -buffer.bytes % 8
    gaps.append((offset, GAP_BYTES))
    steps = tuple(
        replace(
            step,
            inputs=tuple(replace(view, offset=moved[view.offset]) for view in step.inputs),
            output=replace(step.output, offset=moved[step.output.offset]),
            ring_offset=None if step.ring_offset is None else moved[step.ring_offset],
            scratch_offset=None if step.scratch_offset is None else moved[step.scratch_offset],
        )
        for step in program.steps
    )
    spread = replace(
        program,
        arena_bytes=offset + GAP_BYTES,
        inputs=tuple(replace(port, offset=moved[port.offset]) for port in program.inputs),
        outputs=tuple(replace(port, offset=moved[port.offset]) for port in program.outputs),
        steps=steps,
        buffers=tuple(replace(buffer, offset=moved[buffer.offset]) for buffer in program.buffers),
    )
    return spread, tuple(gap for gap in gaps if gap[1])
