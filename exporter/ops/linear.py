"""What CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED share: accumulators and requantisation.

Each computes, per output channel, `acc = bias + sum(w * (x - zero_point))` in int32, then
`clamp(requantise(acc) + output zero point)`. The input zero point is folded into the bias offline:
`acc = (bias - zero_point * sum(w)) + sum(w * x)`. Both are the same integer as long as nothing
overflows, which `Accumulator` proves from the actual weights.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from exporter.errors import BadInput
from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op, Tensor
from exporter.ops.arithmetic import (
    ACTIVATIONS,
    INT32_MAX,
    Multiplier,
    Rounding,
    activation_range,
    quantize_multiplier,
    requantize,
)
from exporter.ops.base import LARGEST_SCALE, Lowering, Operator, Target
from exporter.ops.candidate import Candidate, Constant

Int64Array = npt.NDArray[np.int64]
Form = Literal["right", "any", "single"]


@dataclass(frozen=True, eq=False)
class Accumulator:
    """Proven facts about the int32 accumulators, int64 [O] each.

    `bias` has the input zero point folded in; `low` and `high` bound the final value; `magnitude`
    bounds every partial sum, in any order of summation.
    """

    bias: Int64Array
    low: Int64Array
    high: Int64Array
    magnitude: Int64Array


def accumulator(
    weights: Int64Array, bias: Int64Array, zero_point: int, inputs: Interval
) -> Accumulator:
    """Bounds for `weights` [O, K] over inputs whose K positions have the intervals `inputs` [K]."""
    folded = bias - zero_point * weights.sum(axis=1)
    at_low, at_high = weights * inputs.low, weights * inputs.high
    # Before the offset is folded out, and after: whichever way a kernel sums, it stays inside.
    plain = np.abs(folded) + np.maximum(np.abs(at_low), np.abs(at_high)).sum(axis=1)
    return Accumulator(
        bias=folded,
        low=folded + np.minimum(at_low, at_high).sum(axis=1),
        high=folded + np.maximum(at_low, at_high).sum(axis=1),
        magnitude=plain,
    )


@dataclass(frozen=True, eq=False)
class Requantization:
    """From accumulator to int8, per output channel."""

    multipliers: tuple[Multiplier, ...]
    rounding: Rounding
    zero_point: int
    low: int
    high: int

    def apply(self, values: Int64Array) -> Int64Array:
        """int8 outputs [O] of the accumulators `values` [O]."""
        scaled = np.array(
            [
                int(requantize(int(value), multiplier, self.rounding))
                for value, multiplier in zip(values, self.multipliers, strict=True)
            ],
            dtype=np.int64,
        )
        return np.clip(scaled + self.zero_point, self.low, self.high)

    def form(self, sums: Accumulator) -> Form:
        """The cheapest exact form that the proven bounds allow.

        `right`: every channel shifts right by 1 or more and the doubled accumulator fits int32, so
        the rounding doubling high multiply is one 32x32 high product and a carry.
        """
        if self.rounding is Rounding.SINGLE:
            return "single"
        shifts_right = all(multiplier.shift <= -1 for multiplier in self.multipliers)
        return "right" if shifts_right and int(sums.magnitude.max()) < 2**30 else "any"

    def constants(self) -> tuple[Constant, Constant]:
        """The arrays `multiplier` and `shift`; `shift` counts to the right, negative is left."""
        mantissas = np.array([m.mantissa for m in self.multipliers], np.int32)
        shifts = np.array([-m.shift for m in self.multipliers], np.int8)
        return (
            Constant("multiplier", mantissas, "Q31, one per output channel"),
            Constant("shift", shifts, "bits to the right, one per output channel"),
        )


def channel_multipliers(
    source: Tensor, weights: Tensor, output: Tensor, channels: int
) -> tuple[Multiplier, ...]:
    """Multipliers of a convolution, per output channel.

    Source: `PopulateConvolutionQuantizationParams` in tensorflow/lite/kernels/kernel_util.cc:
    float32 scales, product and quotient in double.
    """
    assert weights.quantization is not None
    scales = weights.quantization.scales
    if len(scales) == 1:
        scales = scales * channels
    return tuple(quantize_multiplier(source.scale * scale / output.scale) for scale in scales)


def requantization(
    op: Op, multipliers: tuple[Multiplier, ...], output: Tensor, rounding: Rounding
) -> Requantization:
    activation = str(op.options.get("fused_activation_function", "NONE"))
    low, high = activation_range(activation, output.scale, output.zero_point)
    return Requantization(multipliers, rounding, output.zero_point, low, high)


def require_int32(graph: Graph, op: Op, sums: Accumulator, requantization: Requantization) -> None:
    """Raises BadInput where an int32 of this layer could overflow for some input."""
    # Python's integers: a shift may be out of an int64 too.
    worst = max(
        int(magnitude) << max(multiplier.shift, 0)
        for magnitude, multiplier in zip(sums.magnitude, requantization.multipliers, strict=True)
    )
    if worst > INT32_MAX:
        raise BadInput(
            f"{graph.describe(op)} could overflow its 32-bit accumulator",
            value=f"magnitudes up to {worst}",
            allowed=f"at most {INT32_MAX}",
            next_step="retrain or requantise with smaller weights or fewer input channels",
        )


def bias_of(graph: Graph, op: Op, channels: int) -> Int64Array:
    """The bias, int64 [channels]; zeros where the operator has none."""
    tensor = op.optional_input(2)
    if tensor is None:
        return np.zeros(channels, np.int64)
    return graph[tensor].constant.astype(np.int64).reshape(channels)


def output_interval(sums: Accumulator, requantization: Requantization) -> Interval:
    """Requantisation is monotone, so the extremes of the accumulator give those of the output."""
    return Interval(requantization.apply(sums.low), requantization.apply(sums.high))


@dataclass(frozen=True, eq=False)
class Settled:
    """A layer whose constant channels are easy to compute. `weighted`: bool [O], False where the
    output is the same for every input and the weights count for nothing.
    """

    weighted: npt.NDArray[np.bool_]
    sums: Accumulator
    requantization: Requantization


def settle(sums: Accumulator, requantization: Requantization) -> Settled:
    """The layer with its constant channels as a bias and a typical multiplier.

    The scale of a filter that died in training is often far from the others', with sums of 30 bits:
    it would decide how the whole layer is requantised.
    """
    outputs = requantization.apply(sums.low)
    constant = outputs == requantization.apply(sums.high)
    if not constant.any() or constant.all():
        return Settled(np.ones(len(constant), np.bool_), sums, requantization)
    alive = [m for m, idle in zip(requantization.multipliers, constant, strict=True) if not idle]
    typical = sorted(alive, key=lambda m: (m.shift, m.mantissa))[len(alive) // 2]
    if typical.mantissa == 0:
        return Settled(np.ones(len(constant), np.bool_), sums, requantization)
    real = typical.mantissa * 2.0 ** (typical.shift - 31)
    wanted = np.rint((outputs - requantization.zero_point) / real)
    biases = np.clip(wanted, 1 - 2.0**29, 2.0**29 - 1).astype(np.int64)
    everywhere = replace(requantization, multipliers=(typical,) * len(constant))
    idle = constant & (everywhere.apply(biases) == outputs)
    return Settled(
        ~idle,
        Accumulator(
            bias=np.where(idle, biases, sums.bias),
            low=np.where(idle, biases, sums.low),
            high=np.where(idle, biases, sums.high),
            magnitude=np.where(idle, np.abs(biases), sums.magnitude),
        ),
        replace(
            requantization,
            multipliers=tuple(
                typical if quiet else own
                for quiet, own in zip(idle, requantization.multipliers, strict=True)
            ),
        ),
    )


class LinearOperator(Operator):
    """An operator whose every output channel is a sum of products with weights known offline."""

    input_counts = (2, 3)

    @abstractmethod
    def sums(self, graph: Graph, op: Op, inputs: Interval) -> Accumulator:
        """The accumulators, for inputs inside the per-channel interval `inputs`."""

    @abstractmethod
    def requantization(self, graph: Graph, op: Op, target: Target) -> Requantization:
        """From accumulator to output, in the dialect of `target`."""

    @abstractmethod
    def kernels(self, context: Lowering, settled: Settled) -> tuple[Candidate, ...]:
        """The candidates, once it is proven that no int32 overflows."""

    def output_interval(self, graph: Graph, op: Op, inputs: Sequence[Interval]) -> Interval:
        sums = self.sums(graph, op, inputs[0])
        return output_interval(sums, self.requantization(graph, op, Target()))

    def candidates(self, context: Lowering) -> tuple[Candidate, ...]:
        graph, op = context.graph, context.op
        sums = self.sums(graph, op, context.interval())
        requantization = self.requantization(graph, op, context.target)
        require_int32(graph, op, sums, requantization)
        return self.kernels(context, settle(sums, requantization))


# Constraints


def weights_are_constant_int8(graph: Graph, op: Op) -> bool:
    """Weights are constant int8 with zero point 0 and one scale, or one per output channel."""
    weights = graph[op.input(1)]
    return (
        weights.is_constant
        and weights.dtype == "int8"
        and weights.quantization is not None
        and not any(weights.quantization.zero_points)
        and all(0 <= scale <= LARGEST_SCALE for scale in weights.quantization.scales)
        and len(weights.quantization.scales) in (1, graph[op.outputs[0]].shape[-1])
    )


def bias_is_constant_int32(graph: Graph, op: Op) -> bool:
    """The bias, where there is one, is constant, int32, one value per output channel."""
    tensor = op.optional_input(2)
    if tensor is None:
        return True
    bias, output = graph[tensor], graph[op.outputs[0]]
    return bias.is_constant and bias.dtype == "int32" and bias.elements == output.shape[-1]


def activation_is_known(graph: Graph, op: Op) -> bool:
    """The fused activation is NONE, RELU, RELU6 or RELU_N1_TO_1."""
    return op.options.get("fused_activation_function", "NONE") in ACTIVATIONS
