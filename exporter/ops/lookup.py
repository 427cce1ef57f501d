"""Operators of one int8 operand as tables: the output for each of the 256 inputs, computed offline.

The same kernels serve them all, and run in place.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op, Tensor
from exporter.ops import kernels
from exporter.ops.arithmetic import (
    ACTIVATIONS,
    INT8_MAX,
    INT8_MIN,
    INT32_MAX,
    Multiplier,
    activation_range,
    quantize_multiplier,
    requantize,
)
from exporter.ops.base import (
    Constraint,
    Lowering,
    Operator,
    Target,
    has_static_shapes,
    operands_are_int8,
)
from exporter.ops.candidate import Candidate
from exporter.ops.layers import LookupLayer

Int64Array = npt.NDArray[np.int64]

INPUTS: Int64Array = np.arange(INT8_MIN, INT8_MAX + 1, dtype=np.int64)
"""Every value of an int8, the order of a table's entries."""


def input_and_output_share_shape(graph: Graph, op: Op) -> bool:
    """Input and output have the same shape."""
    return graph[op.input(0)].shape == graph[op.outputs[0]].shape


class LookupOperator(Operator):
    """An operator whose every output element depends on one input element alone."""

    constraints: ClassVar[tuple[Constraint, ...]] = (
        has_static_shapes,
        operands_are_int8,
        input_and_output_share_shape,
    )

    @abstractmethod
    def table(self, source: Tensor, output: Tensor) -> Int64Array:
        """The outputs, int64 [256], for the inputs -128 to 127."""

    def output_interval(self, graph: Graph, op: Op, inputs: Sequence[Interval]) -> Interval:
        return table_interval(self.table(graph[op.input(0)], graph[op.outputs[0]]), inputs[0])

    def is_by_rows(self, graph: Graph, op: Op) -> bool:
        return True

    def candidates(self, context: Lowering) -> tuple[Candidate, ...]:
        table = self.table(context.input(), context.output)
        return lookups(context.output, table, context.target)


def lookups(output: Tensor, table: Int64Array, target: Target) -> tuple[Candidate, ...]:
    """The kernels that look up every element of an input as large as `output`."""
    return kernels.offered("lookup", target, LookupLayer(target, output.elements, table))


def table_interval(table: Int64Array, inputs: Interval) -> Interval:
    """The range of the table's entries that the inputs of each channel reach."""
    reached = [
        table[low - INT8_MIN : high - INT8_MIN + 1]
        for low, high in zip(inputs.low.tolist(), inputs.high.tolist(), strict=True)
    ]
    return Interval(
        np.array([entries.min() for entries in reached]),
        np.array([entries.max() for entries in reached]),
    )


# Rectifiers and QUANTIZE: rescaled, then clamped.


def rescaled(source: Tensor, output: Tensor, multiplier: Multiplier, activation: str) -> Int64Array:
    """(x - zero point) times `multiplier`, at the output's zero point, clamped to `activation`."""
    low, high = activation_range(activation, output.scale, output.zero_point)
    scaled = requantize(INPUTS - source.zero_point, multiplier)
    return np.clip(scaled + output.zero_point, low, high)


def rescaling_fits(source: Tensor, multiplier: Multiplier) -> bool:
    """Whether no int8 input overflows an int32 when it is shifted left by the multiplier."""
    largest = int(np.abs(INPUTS - source.zero_point).max())
    return largest << max(multiplier.shift, 0) <= INT32_MAX


def rectifier_multiplier(source: Tensor, output: Tensor) -> Multiplier:
    """The quotient of the scales, taken in float32.

    Source: `ReluPrepare` in tensorflow/lite/kernels/activations.cc.
    """
    return quantize_multiplier(float(np.float32(source.scale) / np.float32(output.scale)))


def scales_are_close(graph: Graph, op: Op) -> bool:
    """The input's scale is at most about 2^23 output scales: rescaling must not overflow int32."""
    source, output = graph[op.input(0)], graph[op.outputs[0]]
    return rescaling_fits(source, rectifier_multiplier(source, output))


class Rectifier(LookupOperator):
    """RELU and its kin: the fused activation of the same name, as an operator of its own.

    Source: `QuantizedReluX` in tensorflow/lite/kernels/activations.cc.
    """

    constraints = (*LookupOperator.constraints, scales_are_close)

    def table(self, source: Tensor, output: Tensor) -> Int64Array:
        assert self.kind in ACTIVATIONS
        return rescaled(source, output, rectifier_multiplier(source, output), self.kind)


# LOGISTIC and TANH: the real function at each input.


def sampled(source: Tensor, output: Tensor, function: Callable[[float], float]) -> Int64Array:
    """`function` of the real value of each input, in float32 as the reference computes it.

    Source: `PopulateLookupTable` in tensorflow/lite/kernels/activations.cc.
    """
    reals = np.float32(source.scale) * (INPUTS - source.zero_point).astype(np.float32)
    values = np.array([function(float(real)) for real in reals], np.float32)
    scaled = (values * (np.float32(1) / np.float32(output.scale))).astype(np.float64)
    rounded = np.trunc(scaled + np.copysign(0.5, scaled)).astype(np.int64)
    table: Int64Array = np.clip(rounded + output.zero_point, INT8_MIN, INT8_MAX)
    return table
