"""Rules about scales: each tensor's integers must still tell its useful values apart.

What makes a layer compute nothing useful is an error; what loses precision, or what the trained
model is like already, is a warning.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from exporter import ops
from exporter.convert.audit.dtypes import LINEAR
from exporter.convert.audit.rules import CONVERT_AGAIN, Rule, Subject, described, named
from exporter.errors import BadInput
from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op, Tensor, TensorId

SMALLEST, LARGEST = 1e-9, 1e4
"""Scales of activations beyond these come from one value that is no activation: a mask, a NaN's
stand-in, a division by almost zero."""
STEPS_LOST, STEPS_FEW = 2.0, 8.0
"""Of the output's integers, those that an operand's whole range covers."""
ORDINARY_SCALE = 1.0
"""A branch that died in training is small beside an output of such a scale, and harms nobody."""
COARSE_STEP = 2.0
"""exp(-2) = 0.14: one integer more or less decides."""
WIDEST_SPREAD = 1e4
CONSTANT_SPAN = 2
"""Integers between the proven ends: the bounds of FULLY_CONNECTED are one too wide at each end."""

_RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-(2**15), 2**15 - 1), "int4": (-8, 7)}
# Operators that hand the values of their operands on, side by side or added up.
_PASSING = frozenset(
    {"ADD", "ADD_N", "SUB", "CONCATENATION", "PACK", "MAXIMUM", "MINIMUM", "SELECT", "SELECT_V2"}
    | {"PADV2", "QUANTIZE"}
)
_CURVES = ("SOFTMAX", "LOG_SOFTMAX", "LOGISTIC", "TANH")


def _unscaled(subject: Subject) -> Iterator[str]:
    graph = subject.graph
    for tensor in subject.used:
        if tensor.dtype in _RANGES and not _is_scaled(tensor):
            yield named(graph, tensor)


def _is_scaled(tensor: Tensor) -> bool:
    q = tensor.quantization
    return q is not None and all(0 < s < math.inf for s in q.scales)


def _zero_points(subject: Subject) -> Iterator[str]:
    graph = subject.graph
    weights = {op.input(1) for op in _linear(graph)}
    for tensor in subject.used:
        if tensor.dtype in _RANGES and tensor.quantization is not None:
            symmetric = tensor.dtype == "int16" or (
                tensor.id in weights and tensor.is_constant and tensor.dtype != "uint8"
            )
            low, high = (0, 0) if symmetric else _RANGES[tensor.dtype]
            wrong = [z for z in tensor.quantization.zero_points if not low <= z <= high]
            if wrong:
                yield f"{named(graph, tensor)} has {wrong[0]}, allowed {low} to {high}"


def _linear(graph: Graph) -> Iterator[Op]:
    """Operators with weights."""
    kinds = (op for op in graph.ops if op.kind in LINEAR and op.outputs)
    return (op for op in kinds if op.optional_input(1) is not None)


def _is_plain(tensor: Tensor) -> bool:
    """Quantised as activations are: one scale."""
    q = tensor.quantization
    return tensor.dtype in _RANGES and _is_scaled(tensor) and q is not None and q.per_tensor


def _range(tensor: Tensor) -> tuple[float, float]:
    """The real values that the tensor's integers stand for."""
    low, high = _RANGES[tensor.dtype]
    zero = tensor.zero_point
    return (low - zero) * tensor.scale, (high - zero) * tensor.scale


def _covered(graph: Graph) -> Iterator[tuple[Op, Tensor, float]]:
    """Operators that pass an activation on, and how many integers of the output it covers."""
    for op in graph.ops:
        output = graph[op.outputs[0]] if op.outputs else None
        if op.kind not in _PASSING or output is None or not _is_plain(output):
            continue
        for tensor in (graph[t] for t in op.inputs if t is not None):
            if _is_plain(tensor) and not tensor.is_constant:
                low, high = _range(tensor)
                yield op, tensor, (high - low) / output.scale


def _vanishing(subject: Subject) -> Iterator[str]:
    graph = subject.graph
    for op, tensor, steps in _covered(graph):
        if steps < STEPS_LOST and graph[op.outputs[0]].scale >= ORDINARY_SCALE:
            yield _lost(graph, op, tensor, steps)


def _few_steps(subject: Subject) -> Iterator[str]:
    graph = subject.graph
    for op, tensor, steps in _covered(graph):
        lost = steps < STEPS_LOST and graph[op.outputs[0]].scale >= ORDINARY_SCALE
        if steps < STEPS_FEW and not lost:
            yield _lost(graph, op, tensor, steps)


def _lost(graph: Graph, op: Op, tensor: Tensor, steps: float) -> str:
    (low, high), scale = _range(tensor), graph[op.outputs[0]].scale
    others = [graph[t] for t in op.inputs if t is not None and t != tensor.id]
    others = [t for t in others if _is_plain(t)]
    beside = ""
    if others:
        largest = max(others, key=lambda t: max(map(abs, _range(t))))
        beside = f" beside {named(graph, largest)} up to {max(_range(largest), key=abs):.3g}"
    return (
        f"{described(graph, op)}: {named(graph, tensor)}, {low:.3g} to {high:.3g}, covers "
        f"{steps:.2g} steps of the output's scale {scale:.3g}{beside}"
    )


def _extreme_scales(subject: Subject) -> Iterator[str]:
    """Not inputs: raw readings may be large, and fill their range."""
    graph = subject.graph
    for op in graph.ops:
        for tensor in (graph[t] for t in op.outputs):
            if _is_plain(tensor) and not SMALLEST <= tensor.scale <= LARGEST:
                yield f"{described(graph, op)}: scale {tensor.scale:.3g}"


def _coarse_curves(subject: Subject) -> Iterator[str]:
    graph = subject.graph
    for op in (op for op in graph.ops if op.kind in _CURVES and op.inputs):
        source = None if op.inputs[0] is None else graph[op.inputs[0]]
        if source is not None and _is_plain(source) and source.scale >= COARSE_STEP:
            yield f"{described(graph, op)}: input {named(graph, source)}, scale {source.scale:.3g}"


def _intervals(graph: Graph) -> Mapping[TensorId, Interval]:
    """What the engine proves of every tensor; nothing where it cannot compile the graph."""
    if ops.problems(graph):
        return {}
    try:
        return ops.tensor_intervals(graph)
    except BadInput:
        return {}


def _constant_outputs(subject: Subject) -> Iterator[str]:
    graph, proven = subject.graph, _intervals(subject.graph)
    if any(_never_changes(proven, tensor) for tensor in graph.outputs):
        yield from _first_constant(graph, proven)


def _constant_layers(subject: Subject) -> Iterator[str]:
    graph, proven = subject.graph, _intervals(subject.graph)
    if not any(_never_changes(proven, tensor) for tensor in graph.outputs):
        yield from _first_constant(graph, proven)


def _first_constant(graph: Graph, proven: Mapping[TensorId, Interval]) -> Iterator[str]:
    """Where values stop to depend on the input; not the layers that follow from it."""
    for op in graph.ops:
        activations = [t for t in op.inputs if t is not None and not graph[t].is_constant]
        follows = all(_never_changes(proven, t) for t in activations)
        if all(_never_changes(proven, t) for t in op.outputs) and not follows:
            yield described(graph, op)


def _never_changes(proven: Mapping[TensorId, Interval], tensor: TensorId) -> bool:
    interval = proven.get(tensor)
    return interval is not None and bool((interval.high - interval.low <= CONSTANT_SPAN).all())


def _channels(graph: Graph, op: Op) -> npt.NDArray[np.bool_] | None:
    """Whether each output channel has a weight that is not zero; None where that is unknown."""
    weights = graph[op.input(1)]
    if not weights.is_constant or not weights.shape or not _is_scaled(weights):
        return None
    axis = len(weights.shape) - 1 if op.kind == "DEPTHWISE_CONV_2D" else 0
    others = tuple(n for n in range(len(weights.shape)) if n != axis)
    return np.asarray(np.any(weights.constant != 0, axis=others))


def _dead_channels(subject: Subject) -> Iterator[str]:
    graph = subject.graph
    for op in _linear(graph):
        alive = _channels(graph, op)
        if alive is not None and not alive.all():
            yield f"{described(graph, op)} ({int((~alive).sum())} of {len(alive)})"


def _uneven_channels(subject: Subject) -> Iterator[str]:
    """Channels that are the same for every input do not count: their scale is of no use."""
    graph, proven = subject.graph, _intervals(subject.graph)
    for op in _linear(graph):
        alive, quantization = _channels(graph, op), graph[op.input(1)].quantization
        if alive is None or quantization is None or len(quantization.scales) != len(alive):
            continue
        interval = proven.get(op.outputs[0])
        if interval is not None and interval.channels == len(alive):
            alive = alive & (interval.low != interval.high)
        scales = np.array(quantization.scales)[alive]
        if scales.size and scales.max() > WIDEST_SPREAD * scales.min():
            yield f"{described(graph, op)}: scales {scales.min():.3g} to {scales.max():.3g}"


UNSCALED = Rule(
    "no-scale",
    "has int8 tensors without a scale",
    "every tensor of int4, int8, uint8 and int16 has a positive, finite scale",
    CONVERT_AGAIN,
    _unscaled,
)
ZERO_POINTS = Rule(
    "zero-point",
    "has zero points that the kernels do not allow for",
    "zero points inside the type's range; 0 for weights and for int16",
    CONVERT_AGAIN,
    _zero_points,
)
VANISHING = Rule(
    "degenerate-scale",
    "has layers whose scale leaves nothing of a useful operand",
    f"operands that cover at least {STEPS_LOST:g} steps of the output's scale",
    "take the extreme value out of the model: an attention mask of -1e9 does as much at -30, and "
    "nothing at all is needed where every position counts",
    _vanishing,
)
EXTREME_SCALES = Rule(
    "extreme-scale",
    "has activations on an extreme scale: all useful values become the same integer",
    f"scales from {SMALLEST:g} to {LARGEST:g}",
    "find what makes the layer so large or small (a mask, a padding value, a division by almost "
    "zero) and bound it in the trained model; or calibrate with percentiles instead of extremes",
    _extreme_scales,
)
CONSTANT_LAYERS = Rule(
    "constant-layer",
    "has layers that compute the same whatever their input",
    "layers whose output depends on their input",
    "the layer died in training: leave it out of the model, or train it again",
    _constant_layers,
)
CONSTANT_OUTPUTS = Rule(
    "constant-output",
    "gives the same output whatever its input",
    "outputs that depend on the inputs",
    "the layer lost everything: see whether the float model does the same, and whether the "
    "calibration samples are scaled as those it was trained with",
    _constant_outputs,
)
FEW_STEPS = Rule(
    "few-steps",
    "has operands that all but vanish beside a larger one",
    f"operands that cover at least {STEPS_FEW:g} steps of the output's scale",
    "bring the operands to about the same range, or try --mode int16x8",
    _few_steps,
)
COARSE_CURVES = Rule(
    "coarse-input",
    "has curves whose input is so coarse that one step is all or nothing",
    f"input scales below {COARSE_STEP:g} for SOFTMAX, LOGISTIC and TANH",
    "see whether one extreme value set the range: calibrate with percentiles, or --mode int16x8",
    _coarse_curves,
)
UNEVEN_CHANNELS = Rule(
    "uneven-channels",
    "has weights whose channels are on very different scales",
    f"scales within a factor of {WIDEST_SPREAD:g} of each other",
    "see whether a channel died in training; --mode int16x8 keeps small channels apart",
    _uneven_channels,
)
DEAD_CHANNELS = Rule(
    "dead-channels",
    "has channels without a weight that is not zero",
    "channels that compute something",
    "nothing is wrong: they are not compiled; pruning them first makes the file smaller",
    _dead_channels,
)
