"""From a graph to a `Program`: kernels chosen, storage shared, offsets given, constants packed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from exporter.graph.ir import Graph, Op, Tensor, TensorId
from exporter.ops import operator, tensor_intervals
from exporter.ops.base import Lowering, Target
from exporter.ops.candidate import Candidate, MicroKernel, Rows
from exporter.plan.arena import Request, allocate
from exporter.plan.program import Buffer, ConstantArray, Function, Port, Program, Step, View

OPERAND_ROLES = ("input", "weights", "bias")


@dataclass(frozen=True, eq=False)
class Layer:
    """An operator with the kernel chosen for it."""

    op: Op
    candidate: Candidate


@dataclass(eq=False)
class Storage:
    """Bytes of the arena that hold one tensor after another, live from `first` to `last`."""

    name: str
    bytes: int
    first: int
    last: int
    tensors: set[TensorId] = field(default_factory=set)


Choose = Callable[[Sequence[Candidate]], Candidate]


def plan(graph: Graph, target: Target, choose: Choose | None = None) -> Program:
    """Compile `graph`, which `exporter.ops.check` has accepted, for `target`.

    `choose` picks the kernel of each layer; the cheapest by default.

    Raises:
        BadInput: an int32 of some layer could overflow.
    """
    layers = _choose_kernels(graph, target, choose or partial(cheapest, target))
    storages = _storages(graph, layers)
    requests = [Request(s.name, s.bytes, s.first, s.last) for s in set(storages.values())]
    requests += _working_memory(layers)
    requests.sort(key=lambda request: (request.first, request.name))
    offsets, arena_bytes = allocate(requests)
    addresses = {tensor: offsets[storage.name] for tensor, storage in storages.items()}
    functions, function_of = _share_functions([layer.candidate for layer in layers])
    steps = tuple(
        _step(graph, index, layer, addresses, offsets, function_of[index])
        for index, layer in enumerate(layers)
    )
    return Program(
        name=graph.name,
        model_sha256=graph.sha256,
        dialect=target.dialect,
        optimize=target.optimize,
        arena_bytes=arena_bytes,
        inputs=tuple(Port(graph[tensor], addresses[tensor]) for tensor in graph.inputs),
        outputs=tuple(Port(graph[tensor], addresses[tensor]) for tensor in graph.outputs),
        steps=steps,
        functions=functions,
        micro_kernels=_micro_kernels(layers),
        constants=tuple(array for layer in layers for array in _arrays(layer)),
        buffers=tuple(Buffer(r.name, offsets[r.name], r.bytes, r.first, r.last) for r in requests),
    )


def _choose_kernels(graph: Graph, target: Target, choose: Choose) -> list[Layer]:
    """A candidate for every operator that is not a view."""
    bounds = tensor_intervals(graph)
    layers = []
    for op in graph.ops:
        rules = operator(op.kind)
        if not rules.is_view:
            offers = rules.candidates(Lowering(graph, op, bounds, target))
            layers.append(Layer(op, choose(offers)))
    return layers


def cheapest(target: Target, candidates: Sequence[Candidate]) -> Candidate:
    """The least of instructions and flash together, at the target's price of a byte of flash."""
    return min(
        candidates,
        key=lambda item: (
            item.instructions + item.copy_instructions + target.price_of_flash * item.constant_bytes
        ),
    )


def _storages(graph: Graph, layers: Sequence[Layer]) -> dict[TensorId, Storage]:
    """Which storage holds each activation, and how long that storage is live.

    Views share the storage of their input; a kernel that may run in place takes over the storage of
    an input that nobody reads later.
    """
    last_read = _last_reads(graph, layers)
    views = {op.outputs[0]: op.input(0) for op in graph.ops if operator(op.kind).is_view}
    storages: dict[TensorId, Storage] = {}

    def hold(tensor: Tensor, storage: Storage) -> None:
        storages[tensor.id] = storage
        storage.tensors.add(tensor.id)
        storage.last = max(storage.last, last_read.get(tensor.id, storage.first))
        for view in (v for v, source in views.items() if source == tensor.id):
            hold(graph[view], storage)

    for tensor in graph.inputs:
        if tensor not in storages:
            hold(graph[tensor], Storage(f"input_{tensor}", graph[tensor].bytes, -1, -1))
    for index, layer in enumerate(layers):
        for output in layer.op.outputs:
            storage = _reusable(graph, layer, index, storages, output)
            if storage is None:
                storage = Storage(f"tensor_{output}", graph[output].bytes, index, index)
            hold(graph[output], storage)
    return storages


def _last_reads(graph: Graph, layers: Sequence[Layer]) -> dict[TensorId, int]:
    """The last step that reads each tensor; outputs are read after the last step."""
    reads = {
        tensor: index
        for index, layer in enumerate(layers)
        for tensor in layer.op.inputs
        if tensor is not None
    }
    return reads | dict.fromkeys(graph.outputs, len(layers))


def _reusable(
    graph: Graph, layer: Layer, index: int, storages: Mapping[TensorId, Storage], output: TensorId
) -> Storage | None:
    """The storage of an input over which this layer can write its output."""
    if layer.candidate.rereads or layer.candidate.window is not None:
        return None
    for tensor in _activations(graph, layer.op):
        storage = storages[tensor]
        if storage.last <= index and graph[tensor].bytes == graph[output].bytes == storage.bytes:
            return storage
    return None


def _activations(graph: Graph, op: Op) -> list[TensorId]:
    """The operator's inputs that live in the arena, in order."""
    return [t for t in op.inputs if t is not None and not graph[t].is_constant]


def _working_memory(layers: Sequence[Layer]) -> list[Request]:
    """Rings and scratch, each live during its own step."""
    requests = []
    for index, layer in enumerate(layers):
        if layer.candidate.ring is not None:
            requests.append(Request(f"ring_{index}", layer.candidate.ring.bytes, index, index))
        if layer.candidate.scratch_bytes:
            requests.append(
                Request(f"scratch_{index}", layer.candidate.scratch_bytes, index, index)
            )
    return requests


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
    graph: Graph,
    index: int,
    layer: Layer,
    addresses: Mapping[TensorId, int],
    offsets: Mapping[str, int],
    function: str,
) -> Step:
    op, candidate = layer.op, layer.candidate
    inputs = zip(_activations(graph, op), candidate.inputs, strict=True)
    return Step(
        index=index,
        op_index=op.index,
        kind=op.kind,
        name=graph.op_name(op),
        function=function,
        candidate=candidate,
        inputs=tuple(_view(tensor, rows, addresses[tensor]) for tensor, rows in inputs),
        output=_view(op.outputs[0], candidate.output, addresses[op.outputs[0]]),
        constants=tuple(array.name for array in _arrays(layer)),
        ring_offset=offsets.get(f"ring_{index}"),
        scratch_offset=offsets.get(f"scratch_{index}"),
        operands=tuple(_operands(graph, op)),
        macs=operator(op.kind).macs(graph, op),
    )


def _view(tensor: TensorId, rows: Rows, offset: int) -> View:
    """A tensor that exists as a whole, row after row."""
    return View(
        tensor, offset, rows.count, rows.bytes, rows.bytes, rows.count, rows.count * rows.bytes
    )


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
