"""The program as text that diffs well, and the figures of a plan layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from exporter.plan.program import Program, Step, View


@dataclass(frozen=True)
class LayerFigures:
    """What one layer takes. `arena_bytes`: live while it runs; `weights_bytes`: its constants;
    `choice`: the forms its kernel uses, and what ruled out cheaper ones.
    """

    index: int
    op: str
    name: str
    output_shape: tuple[int, ...]
    kernel: str
    choice: str
    macs: int
    weights_bytes: int
    arena_bytes: int


def layer_figures(program: Program) -> tuple[LayerFigures, ...]:
    """One entry per step, in execution order."""
    sizes = {constant.name: constant.bytes for constant in program.constants}
    return tuple(
        LayerFigures(
            index=step.op_index,
            op=step.kind,
            name=step.name,
            output_shape=step.operands[-1][1].shape,
            kernel=step.candidate.kernel,
            choice=step.candidate.choice,
            macs=step.macs,
            weights_bytes=sum(sizes[name] for name in step.constants),
            arena_bytes=program.live_bytes(step),
        )
        for step in program.steps
    )


def dump(program: Program) -> str:
    """`program` as text."""
    return "\n".join(_lines(program)) + "\n"


def _lines(program: Program) -> Iterator[str]:
    yield f"program {program.name} dialect={program.dialect} optimize={program.optimize}"
    yield f"  arena {program.arena_bytes} bytes"
    for buffer in sorted(program.buffers, key=lambda b: (b.first, b.offset, b.name)):
        live = f"steps {buffer.first}..{buffer.last}"
        yield f"    {buffer.offset:>8} +{buffer.bytes:<8} {buffer.name:<12} {live}"
    for direction, ports in (("input", program.inputs), ("output", program.outputs)):
        for port in ports:
            yield f"  {direction} %{port.tensor.id} at {port.offset}"
    for step in program.steps:
        yield from _step_lines(step)


def _step_lines(step: Step) -> Iterator[str]:
    inputs = ", ".join(_view(view) for view in step.inputs)
    yield f"  step {step.index} (layer {step.op_index} {step.kind}):"
    if step.candidate.choice:
        yield f"    {step.candidate.kernel}: {step.candidate.choice}"
    yield f"    {_view(step.output)} = {step.function}({inputs})"
    if step.candidate.window is not None:
        yield f"    {step.candidate.window}"
    if step.candidate.ring is not None:
        yield f"    {step.candidate.ring} at {step.ring_offset}"
    if step.constants:
        yield f"    constants {', '.join(step.constants)}"


def _view(view: View) -> str:
    return f"%{view.tensor}@{view.offset}[{view.rows}x{view.row_bytes}]"
