"""What kernels see of a layer: shapes, weights, bounds, tables."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from exporter.graph.ir import Tensor
from exporter.ops.arithmetic import Multiplier
from exporter.ops.base import Target
from exporter.ops.candidate import Candidate
from exporter.ops.geometry import Axis
from exporter.ops.linear import Accumulator, Requantization
from exporter.ops.shapes import Dimension, row_major_strides


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


@dataclass(frozen=True)
class Matrices:
    """Matrices [rows, columns] of bytes that become [columns, rows].

    Rows lie `input_pitch` bytes apart, in the output columns `output_pitch`; `others`: loops
    `(size, input step, output step)` from matrix to matrix.
    """

    rows: int
    columns: int
    input_pitch: int
    output_pitch: int
    others: tuple[Dimension, ...]

    @property
    def count(self) -> int:
        return prod(size for size, *_ in self.others)


@dataclass(frozen=True)
class TransposeLayer:
    """TRANSPOSE: the output's merged axes `(size, input step)`, outermost first."""

    dimensions: tuple[Dimension, ...]

    @property
    def bytes(self) -> int:
        return prod(size for size, _ in self.dimensions)

    @property
    def run_bytes(self) -> int:
        """Bytes that stay together; 1 where the last axis of the input moves."""
        size, step = self.dimensions[-1]
        return size if step == 1 else 1

    @property
    def matrices(self) -> Matrices | None:
        """None where runs of bytes stay together."""
        if self.run_bytes > 1 or self.bytes == 1:
            return None
        steps = row_major_strides([size for size, _ in self.dimensions])
        *outer, (rows, input_pitch, _) = (
            (*dimension, step) for dimension, step in zip(self.dimensions, steps, strict=True)
        )
        ((columns, _, output_pitch),) = (axis for axis in outer if axis[1] == 1)
        others = tuple(axis for axis in outer if axis[1] != 1)
        return Matrices(rows, columns, input_pitch, output_pitch, others)


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
    def pixels(self) -> int:
        """Of the output, in all images."""
        return self.output.elements // self.channels

    @property
    def is_pointwise(self) -> bool:
        """CONV_2D, 1x1, stride 1, no padding: rows are contiguous, so the image is one long row.

        There is no remainder per row then.
        """
        return self.weights.ndim == 4 and all(
            axis.size == 1 and axis.stride == 1 and not axis.is_padded
            for axis in (self.vertical, self.horizontal)
        )

    @property
    def rows(self) -> tuple[int, int]:
        """Of one image, input and output."""
        return (1, 1) if self.is_pointwise else (self.vertical.input, self.vertical.output)

    @property
    def columns(self) -> int:
        """Of one output row."""
        return self.pixels // self.images // self.rows[1]

    @property
    def segment_bytes(self) -> int:
        """CONV_2D: contiguous input bytes that a pixel sees in one row."""
        kernel_w = 1 if self.horizontal.dilation > 1 else self.horizontal.size
        return kernel_w * self.depth

    @property
    def segments(self) -> int:
        """CONV_2D: of a row of the kernel."""
        return self.horizontal.size * self.depth // self.segment_bytes
