"""Intervals: for each channel of a tensor, the values it can take for any possible input.

The engine's proofs rest on them: that no int32 overflows, that a cheaper form of an operation is
exact, that a channel is constant. Operators say how intervals pass through them
(`Operator.output_interval`); `exporter.ops.tensor_intervals` walks a graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporter.graph.ir import Tensor

TYPE_RANGES = {"int8": (-128, 127), "int16": (-(2**15), 2**15 - 1), "int32": (-(2**31), 2**31 - 1)}


@dataclass(frozen=True, eq=False)
class Interval:
    """Inclusive bounds, int64 [C], for the C entries of a tensor's last axis."""

    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]

    @staticmethod
    def of_type(tensor: Tensor) -> Interval:
        """All that the tensor's type can hold."""
        low, high = TYPE_RANGES.get(tensor.dtype, TYPE_RANGES["int32"])
        channels = tensor.shape[-1] if tensor.shape else 1
        return Interval(np.full(channels, low, np.int64), np.full(channels, high, np.int64))

    @staticmethod
    def of_constant(tensor: Tensor) -> Interval:
        """The extremes of a constant tensor."""
        channels = tensor.shape[-1] if tensor.shape else 1
        values = tensor.constant.reshape(-1, channels).astype(np.int64)
        return Interval(values.min(axis=0), values.max(axis=0))

    @property
    def channels(self) -> int:
        return len(self.low)

    def with_value(self, value: int) -> Interval:
        """Widened to contain `value`: what padding adds."""
        return Interval(np.minimum(self.low, value), np.maximum(self.high, value))

    def reshaped(self, tensor: Tensor) -> Interval:
        """For `tensor`, which holds the same values in the same order under another shape.

        Channels stay apart where the last axis is kept or grows by whole multiples; else they mix.
        """
        channels = tensor.shape[-1] if tensor.shape else 1
        if channels % self.channels == 0:
            repeats = channels // self.channels
            return Interval(np.tile(self.low, repeats), np.tile(self.high, repeats))
        low, high = self.whole()
        return Interval(np.full(channels, low), np.full(channels, high))

    def whole(self) -> tuple[int, int]:
        """The range over all channels."""
        return int(self.low.min()), int(self.high.max())
