"""From a graph to a `Program`: stages chosen, offsets given, constants packed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from exporter.graph.ir import Graph, Op, Tensor, TensorId
from exporter.ops import operator
from exporter.ops.base import Target
from exporter.ops.candidate import Candidate, MicroKernel, Rows
from exporter.plan.access import Interval
from exporter.plan.arena import Request, aligned, allocate
from exporter.plan.arrange import arrangements
from exporter.plan.lives import BEFORE, Lives, activations, lives
from exporter.plan.program import (
    Buffer,
    ConstantArray,
    Function,
    Port,
    Program,
    Stage,
    Step,
    View,
)
from exporter.plan.search import Kernels, Search, instructions, no_rows, peak_bytes
from exporter.plan.stages import Stage as PlannedStage
from exporter.plan.stages import requests, ring_in, single
from exporter.plan.views import views

OPERAND_ROLES = ("input", "weights", "bias")

Choose = Callable[[Sequence[Candidate]], Candidate]


@dataclass(frozen=True, eq=False)
class Layer:
    """An operator with the kernel chosen for it, and the stage it runs in."""

    op: Op
    candidate: Candidate
    stage: PlannedStage


@dataclass(frozen=True, eq=False)
class Layout:
    """Stages with the place of every buffer in one arena."""

    stages: tuple[PlannedStage, ...]
    requests: tuple[Request, ...]
    offsets: Mapping[str, int]
    arena_bytes: int

    def backward(self, stage: PlannedStage) -> bool:
        """Whether the places call for the rows from the last to the first."""
        return any(
            low < self.offsets[read.name] - self.offsets[made.name] < high
            for (made, read), intervals in stage.distances().items()
            for low, high in intervals
        )


def plan(graph: Graph, target: Target, choose: Choose | None = None) -> Program:
    """Compile `graph`, which `exporter.ops.check` has accepted, for `target`.

    `choose` picks the kernel of each layer, each a stage of its own; by default both are searched
    for.

    Raises:
        BadInput: an int32 of some layer could overflow.
    """
    kernels = Kernels(graph, target)
    if choose is not None:
        alive = lives(views(graph))
        chosen = [single(alive, n, choose(kernels.of(op).all)) for n, op in enumerate(alive.ops)]
        return _program(graph, target, alive, _layout(alive, tuple(chosen)))
    searches = [Search(alive, target, kernels) for alive in arrangements(graph, target, kernels)]
    return _program(graph, target, *_best(graph, searches))


def _best(graph: Graph, searches: Sequence[Search]) -> tuple[Lives, Layout]:
    """The least product of arena and instructions: a per cent more of the one must save more than
    a per cent of the other.

    Time is measured by the fastest plan whose views are whole ones, so that what other views save
    of it takes no plan away that needs less memory.
    """
    possible = [search for search in searches if search.fastest or not search.lives.ops]
    if not possible:
        raise no_rows(graph)
    usual = [search for search in possible if not search.lives.views.partly] or possible
    fastest = min(instructions(search.fastest) for search in usual)
    plans = [(s.lives, stages) for s in possible for stages in s.plans(fastest)]
    best: tuple[Lives, Layout] | None = None
    least = math.inf
    for alive, stages in sorted(plans, key=lambda plan: _product(*plan)):
        if best is not None and _product(alive, stages) >= least:
            break
        layout = _layout(alive, stages)
        product = layout.arena_bytes * instructions(stages)
        if best is None or product < least:
            best, least = (alive, layout), product
    assert best is not None
    return best


def _product(alive: Lives, stages: Sequence[PlannedStage]) -> int:
    return _floor(alive, stages) * instructions(stages)


def _floor(alive: Lives, stages: Sequence[PlannedStage]) -> int:
    """No arena can be smaller: the stages, all graph inputs together, all graph outputs."""
    given = {tensor for stage in stages for tensor in stage.rows}
    inputs = [s.bytes for s in alive.all if s.first == BEFORE and s.tensors[0] not in given]
    outputs = [s.bytes for s in alive.all if s.last == len(alive.ops)]
    return max(_together(inputs), _together(outputs), peak_bytes(stages))


def _together(sizes: Sequence[int]) -> int:
    """Each on a word; what is missing to the next word after the last one is not needed."""
    return sum(map(aligned, sizes)) - max((aligned(size) - size for size in sizes), default=0)


def _layout(alive: Lives, stages: tuple[PlannedStage, ...]) -> Layout:
    wanted = _requests(alive, stages)
    forbidden: dict[tuple[str, str], tuple[Interval, ...]] = {
        (made.name, read.name): intervals
        for stage in stages
        for (made, read), intervals in stage.overlaps.items()
    }
    offsets, arena_bytes = allocate(wanted, forbidden, _floor(alive, stages))
    return Layout(stages, wanted, offsets, arena_bytes)


def _requests(alive: Lives, stages: Sequence[PlannedStage]) -> tuple[Request, ...]:
    """What is live when, by the number of the stage."""
    number = {layer: n for n, stage in enumerate(stages) for layer in stage.candidates}
    inner = {tensor for stage in stages for tensor in stage.rows}
    wanted = [
        Request(
            storage.name,
            storage.bytes,
            number.get(storage.first, -1),
            len(stages) if storage.last == len(alive.ops) else number.get(storage.last, -1),
        )
        for storage in alive.all
        if storage.tensors[0] not in inner
    ]
    wanted += [request for n, stage in enumerate(stages) for request in requests(stage, n)]
    return tuple(sorted(wanted, key=lambda request: (request.first, request.name)))


def _program(graph: Graph, target: Target, alive: Lives, layout: Layout) -> Program:
    offsets = layout.offsets
    layers = [
        Layer(alive.ops[n], _placed(candidate, n, stage), stage)
        for stage in layout.stages
        for n, candidate in stage.candidates.items()
    ]
    functions, function_of = _share_functions([layer.candidate for layer in layers])

    given = _given(alive, layout)
    inputs = tuple(
        Port(graph[t], given.offset if given else _offset(alive, t, offsets)) for t in graph.inputs
    )

    return Program(
        name=graph.name,
        model_sha256=graph.sha256,
        dialect=target.dialect,
        optimize=target.optimize,
        arena_bytes=layout.arena_bytes,
        inputs=inputs,
        outputs=tuple(Port(graph[t], _offset(alive, t, offsets)) for t in graph.outputs),
        steps=tuple(
            _step(alive, n, layer, offsets, function_of[n]) for n, layer in enumerate(layers)
        ),
        stages=tuple(
            Stage(
                stage.first,
                stage.last,
                tuple(layer for layer, _ in stage.order) if stage.is_group else (),
                layout.backward(stage),
            )
            for stage in layout.stages
        ),
        functions=functions,
        micro_kernels=_micro_kernels(layers),
        constants=tuple(array for layer in layers for array in _arrays(layer)),
        buffers=_buffers(alive, layout),
        given=given,
        metadata=graph.metadata,
    )


def _buffers(alive: Lives, layout: Layout) -> tuple[Buffer, ...]:
    tensors = {storage.name: tuple(storage.tensors) for storage in alive.all}
    return tuple(
        Buffer(r.name, layout.offsets[r.name], r.bytes, r.first, r.last, tensors.get(r.name, ()))
        for r in layout.requests
    )


def _given(alive: Lives, layout: Layout) -> View | None:
    """The input as the application gives it, where that is row by row."""
    for stage in layout.stages[:1]:
        for tensor in alive.graph.inputs:
            if tensor in stage.rows:
                _, height, *row = alive.graph[tensor].shape
                return _view(alive, stage, tensor, Rows(height, prod(row)), layout.offsets)
    return None


def _placed(candidate: Candidate, layer: int, stage: PlannedStage) -> Candidate:
    """`candidate` with its ring as large as the rows of its input that it shares."""
    for buffer in stage.rows.values():
        if buffer.owner == layer:
            assert candidate.ring is not None
            return replace(candidate, ring=ring_in(buffer, candidate.ring))
    return candidate


def _share_functions(candidates: Sequence[Candidate]) -> tuple[tuple[Function, ...], list[str]]:
    """One function per signature; a stem that stands for several signatures gets a number."""
    by_signature: dict[tuple[object, ...], Function] = {}
    names: set[str] = set()
    for candidate in candidates:
        if candidate.signature not in by_signature:
            name = _unique(candidate.name, names)
            names.add(name)
            by_signature[candidate.signature] = Function(
                name=name,
                kernel=candidate.kernel,
                params=candidate.params,
                constants=tuple((c.role, c.c_type) for c in candidate.constants),
                micro_kernels=tuple(micro.name for micro in candidate.micro_kernels),
            )
    return tuple(by_signature.values()), [by_signature[c.signature].name for c in candidates]


def _micro_kernels(layers: Sequence[Layer]) -> tuple[MicroKernel, ...]:
    """Each once, in the order of first use."""
    return tuple(dict.fromkeys(m for layer in layers for m in layer.candidate.micro_kernels))


def _unique(stem: str, taken: set[str]) -> str:
    if stem not in taken:
        return stem
    return next(name for n in range(2, len(taken) + 3) if (name := f"{stem}_v{n}") not in taken)


def _step(
    alive: Lives, index: int, layer: Layer, offsets: Mapping[str, int], function: str
) -> Step:
    graph, op, candidate = alive.graph, layer.op, layer.candidate
    read = activations(graph, op)
    inputs = zip(read, candidate.inputs, strict=True)
    shared = [tensor for tensor in read if _owner(layer, tensor) == index]
    ring = f"rows_{shared[0]}" if shared else f"ring_{index}"
    return Step(
        index=index,
        op_index=op.index,
        kind=op.kind,
        name=graph.op_name(op),
        function=function,
        candidate=candidate,
        inputs=tuple(_view(alive, layer.stage, tensor, rows, offsets) for tensor, rows in inputs),
        output=_view(alive, layer.stage, op.outputs[0], candidate.output, offsets),
        constants=tuple(array.name for array in _arrays(layer)),
        ring_offset=offsets[ring] if candidate.ring else None,
        ring_is_input=bool(shared),
        scratch_offset=offsets[f"scratch_{layer.stage.first}"] if candidate.scratch_bytes else None,
        operands=tuple(_operands(graph, op)),
        macs=operator(op.kind).macs(graph, op),
        part=op.part,
        in_place=op.in_place,
    )


def _owner(layer: Layer, tensor: TensorId) -> int | None:
    buffer = layer.stage.rows.get(tensor)
    return None if buffer is None else buffer.owner


def _view(
    alive: Lives, stage: PlannedStage, tensor: TensorId, rows: Rows, offsets: Mapping[str, int]
) -> View:
    """A tensor that exists as a whole, row after row, or as a few rows."""
    size = rows.count * rows.bytes
    buffer = stage.rows.get(tensor)
    if buffer is None:
        offset = _offset(alive, tensor, offsets)
        return View(tensor, offset, rows.count, rows.bytes, rows.bytes, rows.count, size)
    offset = offsets[f"rows_{tensor}"] + buffer.margin_bytes
    pitch, slots = buffer.pitch_bytes, buffer.slots
    return View(tensor, offset, rows.count, rows.bytes, pitch, slots, size, buffer.phase)


def _offset(alive: Lives, tensor: TensorId, offsets: Mapping[str, int]) -> int:
    """Where a tensor that exists as a whole begins."""
    return offsets[alive.storages[tensor].name] + alive.offsets[tensor]


def _arrays(layer: Layer) -> Iterator[ConstantArray]:
    for constant in layer.candidate.constants:
        yield ConstantArray(
            name=f"{constant.role}_{layer.op.index}",
            c_type=constant.c_type,
            role=constant.role,
            layout=constant.layout,
            values=constant.values,
        )


def _operands(graph: Graph, op: Op) -> Iterator[tuple[str, Tensor]]:
    """Inputs and outputs of the operator with the names its specification gives them."""
    has_weights = op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    for position, tensor in enumerate(op.inputs):
        if tensor is not None:
            role = OPERAND_ROLES[position] if has_weights else f"input {position}"
            yield role, graph[tensor]
    for tensor in op.outputs:
        yield "output", graph[tensor]
