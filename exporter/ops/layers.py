"""What kernels see of a layer that multiplies with weights: shapes, weights and proven bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporter.graph.ir import Tensor
from exporter.ops.base import Target
from exporter.ops.geometry import Axis
from exporter.ops.linear import Accumulator, Requantization


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
