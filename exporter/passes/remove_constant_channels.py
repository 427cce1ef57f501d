"""Removes the channels that are the same for every input, and those that nobody reads.

Interval analysis proves some channels constant, whatever int8 the input holds: a filter that died
in training behind a ReLU, most often. Such a channel of a CONV_2D, DEPTHWISE_CONV_2D or
FULLY_CONNECTED goes from the weights that make it and from the weights that read it, and what it
contributed goes into the reader's bias:

    bias'[o] = bias[o] + sum over its taps of w[o, tap] * (constant - zero point)

Every other accumulator stays the same integer, so no output changes. Nothing is proven anew:
magnitudes of accumulators only shrink, and no interval grows.

Three questions are answered one after the other, per tensor and channel:

1. Constant: the proven interval is one value.
2. Needed: some reader depends on the value. From the outputs backwards; constants that can be
   folded end the dependence. A tap outside the image sees the zero point: a convolution with a
   border can fold only a channel that is constantly the zero point. Other channels stay.
3. Kept: needed, or tied to a kept one, since a depthwise convolution, a pooling or a view has each
   of its channels made of one channel of its input.

Graph inputs and outputs keep all their channels, and so does whatever an operator touches that
mixes or compares channels in other ways, such as ADD. A channel that is kept and constant, or kept
and not needed, gets weights of zero and the bias that makes its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from exporter import ops
from exporter.errors import BadInput
from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op, Quantization, Tensor, TensorId
from exporter.ops import linear
from exporter.ops.arithmetic import INT32_MAX, Rounding, quantize_multiplier
from exporter.ops.base import Target
from exporter.ops.geometry import spatial_axes
from exporter.ops.lookup import LookupOperator
from exporter.ops.padding import PadOperator
from exporter.ops.pooling import Pool2D

CHANNEL_MULTIPLE = 4
"""A count of channels that is a multiple of this stays one: kernels take four channels at a time.
It costs at most 3 channels of zero weights; 1 removes all that can go."""

MIXING = ("CONV_2D", "FULLY_CONNECTED")
WEIGHTED = (*MIXING, "DEPTHWISE_CONV_2D")

Mask = npt.NDArray[np.bool_]
Masks = Mapping[TensorId, Mask]
Int64Array = npt.NDArray[np.int64]


def remove_constant_channels(graph: Graph) -> Graph:
    """`graph` with fewer channels; one that cannot be compiled is left to the check that says so.

    The proofs hold only where every operator is known and no int32 overflows.
    """
    try:
        analysis = _analyse(graph)
    except BadInput:
        return graph
    needed = _needed(analysis)
    kept = _kept(analysis, needed)
    return _shrunk(analysis, needed, kept)


@dataclass(frozen=True, eq=False)
class _Analysis:
    """What is known before anything is decided."""

    graph: Graph
    bounds: Mapping[TensorId, Interval]
    sums: Mapping[TensorId, linear.Accumulator]
    """The accumulators of the operators with weights, by output."""
    whole: frozenset[TensorId]
    """Tensors that keep all their channels, and their arithmetic as it is."""

    def constant(self, tensor: TensorId) -> Mask:
        """[C]: channels of one value, in tensors that can lose channels."""
        bounds = self.bounds[tensor]
        is_constant: Mask = bounds.low == bounds.high
        return is_constant & (tensor not in self.whole)


def _analyse(graph: Graph) -> _Analysis:
    """Raises BadInput where the graph cannot be compiled."""
    ops.check(graph)
    bounds, sums = ops.tensor_intervals(graph), dict[TensorId, linear.Accumulator]()
    for op in graph.ops:
        operator = ops.operator(op.kind)
        if isinstance(operator, linear.LinearOperator):
            found = operator.sums(graph, op, bounds[op.input(0)])
            linear.require_int32(graph, op, found, operator.requantization(graph, op, Target()))
            sums[op.outputs[0]] = found
    return _Analysis(graph, bounds, sums, _whole(graph))


def _whole(graph: Graph) -> frozenset[TensorId]:
    whole = {*graph.inputs, *graph.outputs}
    whole |= {tensor.id for tensor in graph.tensors.values() if tensor.is_constant}
    for op in graph.ops:
        operands = op.inputs[1:] if _can_shrink(graph, op) else (*op.inputs, *op.outputs)
        whole |= {tensor for tensor in operands if tensor is not None}
    return frozenset(whole)


def _can_shrink(graph: Graph, op: Op) -> bool:
    """Whether removing channels of the operator's activations is understood."""
    if op.kind == "FULLY_CONNECTED":  # flattens where its depth is several pixels; not half of one
        return graph[op.input(1)].shape[1] % _channels(graph[op.input(0)]) == 0
    return op.kind in MIXING or _origins(graph, op) is not None


def _channels(tensor: Tensor) -> int:
    return tensor.shape[-1] if tensor.shape else 1


def _origins(graph: Graph, op: Op) -> Int64Array | None:
    """[C']: the one channel of the input that each channel of the output is made of; else None."""
    source, output = graph[op.input(0)], graph[op.outputs[0]]
    channels, made = _channels(source), np.arange(_channels(output), dtype=np.int64)
    if op.kind == "DEPTHWISE_CONV_2D":
        return made // (len(made) // channels)
    if op.kind == "RESHAPE":  # rows of pixels: the channels repeat
        return made % channels if len(made) % channels == 0 else None
    return made if _keeps_channels(graph, op) else None


def _keeps_channels(graph: Graph, op: Op) -> bool:
    """Whether channel c of the output depends on channel c of the input alone."""
    operator = ops.operator(op.kind)
    if op.kind == "MEAN":
        last = len(graph[op.input(0)].shape) - 1
        axes = graph[op.input(1)].constant.ravel().tolist()
        return all(axis % (last + 1) != last for axis in axes)
    if isinstance(operator, PadOperator):
        return not graph[op.input(1)].constant[-1:].any()
    return isinstance(operator, LookupOperator | Pool2D)


# --- 2. Needed -----------------------------------------------------------------------------------


def _needed(analysis: _Analysis) -> Masks:
    """Channels whose value some kept result depends on."""
    graph = analysis.graph
    needed = {
        tensor.id: np.full(_channels(tensor), tensor.id in analysis.whole)
        for tensor in graph.tensors.values()
    }
    for op in reversed(graph.ops):
        if _can_shrink(graph, op):
            needed[op.input(0)] |= _demand(analysis, op, needed[op.outputs[0]])
    return needed


def _demand(analysis: _Analysis, op: Op, needed: Mask) -> Mask:
    """Channels of the input that the `needed` channels of the output depend on."""
    graph, output = analysis.graph, op.outputs[0]
    if op.kind in WEIGHTED:  # a constant is made by the bias alone
        needed = needed & ~analysis.constant(output)
    demand = np.zeros(_channels(graph[op.input(0)]), np.bool_)
    origins = _origins(graph, op)
    if origins is not None:
        demand[origins[needed]] = True
        return demand
    read = (_matrix(graph, op)[needed] != 0).any(axis=0).reshape(-1, len(demand)).any(axis=0)
    return np.asarray(read & ~_foldable(analysis, op))


def _foldable(analysis: _Analysis, op: Op) -> Mask:
    """[C]: input channels of a mixing operator that its bias can stand for."""
    graph, source = analysis.graph, analysis.graph[op.input(0)]
    offset = _offsets(analysis, source)
    foldable = analysis.constant(source.id)
    if _has_border(graph, op):
        foldable &= offset == 0
    terms = np.abs(_matrix(graph, op) * np.tile(offset * foldable, _positions(graph, op)))
    biases = linear.bias_of(graph, op, len(terms))
    fits = int((np.abs(biases) + terms.sum(axis=1)).max()) <= INT32_MAX
    return foldable & fits


def _offsets(analysis: _Analysis, source: Tensor) -> Int64Array:
    """[C]: the channels' constants less the zero point; of no meaning for other channels."""
    return analysis.bounds[source.id].low - source.zero_point


def _has_border(graph: Graph, op: Op) -> bool:
    """Whether a tap of the convolution ever lies outside the image."""
    if op.kind != "CONV_2D":
        return False
    source, weights, output = (graph[t].shape for t in (op.input(0), op.input(1), op.outputs[0]))
    axes = spatial_axes(op, source, output, (weights[1], weights[2]))
    return any(axis.is_padded for axis in axes)


def _matrix(graph: Graph, op: Op) -> Int64Array:
    """The weights, int64 [O, K]. Of a mixing operator, column p reads input channel p % C."""
    weights = graph[op.input(1)].constant.astype(np.int64)
    if op.kind == "DEPTHWISE_CONV_2D":
        return weights.reshape(-1, weights.shape[-1]).T
    return weights.reshape(len(weights), -1)


def _positions(graph: Graph, op: Op) -> int:
    """Taps or pixels that one sum of a mixing operator spans."""
    weights = graph[op.input(1)]
    return weights.elements // weights.shape[0] // _channels(graph[op.input(0)])


# --- 3. Kept -------------------------------------------------------------------------------------


def _kept(analysis: _Analysis, needed: Masks) -> Masks:
    """Channels that the rewritten tensors have."""
    kept = {tensor: mask.copy() for tensor, mask in needed.items()}
    _tie(analysis.graph, kept)
    for op in analysis.graph.ops:
        if op.kind in WEIGHTED:
            missing = _fewest(analysis.graph, op, kept[op.outputs[0]])
            kept[op.outputs[0]][np.flatnonzero(~kept[op.outputs[0]])[:missing]] = True
            _tie(analysis.graph, kept)
    return kept


def _tie(graph: Graph, kept: Mapping[TensorId, Mask]) -> None:
    """Widen `kept` until channels that are made of one another are kept together."""
    pairs = [
        (kept[op.input(0)], kept[op.outputs[0]], origins)
        for op in graph.ops
        if (origins := _origins(graph, op)) is not None
    ]
    while any(not np.array_equal(source[origins], output) for source, output, origins in pairs):
        for source, output, origins in pairs:
            source[origins[output]] = True
            output[source[origins]] = True


def _fewest(graph: Graph, op: Op, kept: Mask) -> int:
    """How many channels more than `kept` the output of `op` must have."""
    count, channels = int(kept.sum()), len(kept)
    wanted = max(count, 1)
    if channels % CHANNEL_MULTIPLE == 0:
        wanted = -(-wanted // CHANNEL_MULTIPLE) * CHANNEL_MULTIPLE
    weights = graph[op.input(1)].quantization
    if op.kind == "FULLY_CONNECTED" and weights is not None and not weights.per_tensor:
        wanted = max(wanted, 2)  # one scale would be per tensor, which rounds the multiplier anew
    return min(wanted, channels) - count


# --- The rewritten graph -------------------------------------------------------------------------


def _shrunk(analysis: _Analysis, needed: Masks, kept: Masks) -> Graph:
    graph = analysis.graph
    tensors = dict(graph.tensors)
    for tensor in graph.tensors.values():
        if not kept[tensor.id].all():
            shape = (*tensor.shape[:-1], int(kept[tensor.id].sum()))
            tensors[tensor.id] = replace(tensor, shape=shape)
    rewritten = tuple(_rewritten(analysis, op, needed, kept, tensors) for op in graph.ops)
    return _without_unused(graph, rewritten, tensors)


def _without_unused(
    graph: Graph, rewritten: tuple[Op, ...], tensors: Mapping[TensorId, Tensor]
) -> Graph:
    """Constants that no operator reads any more go."""
    used = {tensor for op in rewritten for tensor in op.inputs}
    replaced = {t for op in graph.ops for t in op.inputs if t is not None} - used
    remaining = {key: tensor for key, tensor in tensors.items() if key not in replaced}
    return graph.with_ops(rewritten).with_tensors(remaining)


def _rewritten(
    analysis: _Analysis, op: Op, needed: Masks, kept: Masks, tensors: dict[TensorId, Tensor]
) -> Op:
    """`op` for the channels that stay; its new constants are added to `tensors`."""
    if op.kind in WEIGHTED:
        return _with_weights(analysis, op, needed, kept, tensors)
    if op.kind == "RESHAPE" and not kept[op.outputs[0]].all():
        return replace(op, inputs=op.inputs[:1])  # the shape that it was given no longer holds
    return op


def _with_weights(
    analysis: _Analysis, op: Op, needed: Masks, kept: Masks, tensors: dict[TensorId, Tensor]
) -> Op:
    graph, source, output = analysis.graph, op.input(0), op.outputs[0]
    computed = needed[output] & ~analysis.constant(output)
    matrix = np.where(computed[:, None], _matrix(graph, op), 0)
    biases = linear.bias_of(graph, op, len(matrix))
    if op.kind in MIXING:
        positions = _positions(graph, op)
        columns = np.tile(kept[source], positions)
        offsets = np.tile(_offsets(analysis, graph[source]), positions)
        biases = biases + (matrix * np.where(columns, 0, offsets)).sum(axis=1)
        matrix = matrix[:, columns]
    donors, idle_biases = _idle(analysis, op, computed)
    biases, donors = np.where(computed, biases, idle_biases)[kept[output]], donors[kept[output]]
    weights = _weights(graph, op, matrix[kept[output]], donors, tensors)
    bias = _bias(graph, op, biases, donors, tensors)
    return replace(op, inputs=(source, weights) if bias is None else (source, weights, bias))


def _idle(analysis: _Analysis, op: Op, computed: Mask) -> tuple[Int64Array, Int64Array]:
    """Int64 [O] each: whose scale a channel takes, and its bias where its weights are zero.

    The scale of a filter that died is often far from the others', with an accumulator of 30 bits:
    it would decide how its whole layer is requantised. So a channel that is not `computed` takes
    the median scale of those that are, where some bias then makes its value.
    """
    graph, bounds = analysis.graph, analysis.bounds[op.outputs[0]]
    source, weights, output = (graph[t] for t in (op.input(0), op.input(1), op.outputs[0]))
    own, lows = np.arange(len(computed), dtype=np.int64), analysis.sums[output.id].low
    assert weights.quantization is not None
    if weights.quantization.per_tensor or not computed.any():
        return own, lows
    scales = np.array(weights.quantization.scales)
    median = own[computed][np.argsort(scales[computed], kind="stable")[int(computed.sum()) // 2]]
    real = source.scale * float(scales[median]) / output.scale
    if not 0 < real < 1:
        return own, lows
    wanted = np.rint((bounds.low - output.zero_point) / real)
    biases = np.clip(wanted, 1 - 2.0**30, 2.0**30 - 1).astype(np.int64)
    multipliers = (quantize_multiplier(real),) * len(own)
    fits = np.logical_and.reduce(
        [
            linear.requantization(op, multipliers, output, rounding).apply(biases) == bounds.low
            for rounding in Rounding
        ]
    )
    return np.where(fits & ~computed, median, own), np.where(fits, biases, lows)


def _weights(
    graph: Graph, op: Op, matrix: Int64Array, donors: Int64Array, tensors: dict[TensorId, Tensor]
) -> TensorId:
    old, axis = graph[op.input(1)], 0
    data = matrix
    if op.kind == "CONV_2D":
        data = matrix.reshape(len(matrix), *old.shape[1:3], -1)
    elif op.kind == "DEPTHWISE_CONV_2D":
        data, axis = matrix.T.reshape(*old.shape[:-1], len(matrix)), 3
    made = replace(old, data=data.astype(np.int8), quantization=_selected(old, donors, axis))
    return _constant(old, made, tensors)


def _bias(
    graph: Graph, op: Op, biases: Int64Array, donors: Int64Array, tensors: dict[TensorId, Tensor]
) -> TensorId | None:
    position, data = op.optional_input(2), biases.astype(np.int32)
    if position is not None:
        old = graph[position]
        data = data.reshape(old.shape) if data.size == old.elements else data
        made = replace(old, data=data, quantization=_selected(old, donors, 0))
        return _constant(old, made, tensors)
    if not data.any():
        return None
    old = Tensor(-1, f"{graph.op_name(op)}/bias", (0,), "int32")
    return _constant(old, replace(old, data=data), tensors)


def _constant(old: Tensor, made: Tensor, tensors: dict[TensorId, Tensor]) -> TensorId:
    """The tensor `made`, as one of its own where it differs: others may still read the old one."""
    data = made.constant
    is_same = old.data is not None and np.array_equal(old.data, data)
    if is_same and old.quantization == made.quantization:
        return old.id
    fresh = max(tensors) + 1
    tensors[fresh] = replace(made, id=fresh, shape=data.shape, data=np.ascontiguousarray(data))
    return fresh


def _selected(old: Tensor, donors: Int64Array, axis: int) -> Quantization | None:
    """The quantisation of the channels that stay, along `axis`: each one's is its donor's."""
    quantization = old.quantization
    if quantization is None or quantization.per_tensor:
        return quantization
    count = len(quantization.scales)
    if np.array_equal(donors, np.arange(count)):
        return quantization
    if donors.max() >= count:  # a bias may state anything: nobody reads its scales
        return None
    scales, zero_points = np.array(quantization.scales), np.array(quantization.zero_points)
    return Quantization(tuple(scales[donors].tolist()), tuple(zero_points[donors].tolist()), axis)
