"""What kernels see of a layer: shapes, weights, bounds, tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporter.graph.ir import Tensor
from exporter.ops.arithmetic import Multiplier
from exporter.ops.base import Target
from exporter.ops.candidate import Candidate
from exporter.ops.geometry import Axis
from exporter.ops.linear import Accumulator, Requantization
from exporter.ops.shapes import Dimension


@dataclass(frozen=True, eq=False)
class DenseLayer:
    """FULLY_CONNECTED: `weights` int8 [O,K], input [batch,K], output [batch,O]."""

    target: Target
    source: Tensor
    output: Tensor
    weights: npt.NDArray[np.int8]
    sums: Accumulator
    requantization: Requantization

    @property
    def batch(self) -> int:
        return self.source.elements // self.weights.shape[-1]


@dataclass(frozen=True, eq=False)
class PoolLayer:
    """AVERAGE_POOL_2D, MAX_POOL_2D: `operation` is `average` or `max`.

    `positions`: in one window, at most; `is_global`: one window is the whole image; `high`: what
    the fused activation clamps to; `generic`: the kernel for any core.
    """

    operation: str
    depth: int
    positions: int
    outputs: int
    high: int
    is_global: bool
    vertical: Axis
    horizontal: Axis
    generic: Candidate


@dataclass(frozen=True, eq=False)
class MeanLayer:
    """MEAN: loops `(size, step)` over the kept and the reduced axes, `generic` for any core."""

    kept: tuple[Dimension, ...]
    reduced: tuple[Dimension, ...]
    generic: Candidate


@dataclass(frozen=True, eq=False)
class LookupLayer:
    """A function of one int8: `table` int64 [256], the outputs for -128 to 127."""

    target: Target
    elements: int
    table: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SoftmaxLayer:
    """SOFTMAX of `rows` rows of `depth`; `exponentials` int32, Q0.31, by the distance below the
    row's maximum, `layout` in words.
    """

    rows: int
    depth: int
    exponentials: npt.NDArray[np.int32]
    layout: str


@dataclass(frozen=True, eq=False)
class MulLayer:
    """MUL: `dimensions` are `(size, left step, right step)`.

    `zero_points`: of left, right and output; `limits`: of the outputs; `generic`: for any core.
    """

    dimensions: tuple[Dimension, ...]
    zero_points: tuple[int, int, int]
    multiplier: Multiplier
    limits: tuple[int, int]
    generic: Candidate


@dataclass(frozen=True, eq=False)
class SpatialLayer:
    """CONV_2D: `weights` int8 [O,KH,KW,I]. DEPTHWISE_CONV_2D: `weights` int8 [KH,KW,O].

    Input [N,H,W,I], output [N,H',W',O].
    """

    target: Target
    source: Tensor
    output: Tensor
    vertical: Axis
    horizontal: Axis
    weights: npt.NDArray[np.int8]
    sums: Accumulator
    requantization: Requantization

    @property
    def images(self) -> int:
        return self.source.shape[0]

    @property
    def depth(self) -> int:
        """Input channels."""
        return self.source.shape[-1]

    @property
    def channels(self) -> int:
        """Output channels."""
        return self.output.shape[-1]

    @property
    def is_pointwise(self) -> bool:
        """1x1, stride 1, no padding: the image is one long row."""
        return all(
            axis.size == 1 and axis.stride == 1 and not axis.is_padded
            for axis in (self.vertical, self.horizontal)
        )
