"""What kernels of CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED have in common.

Candidates start here; `replace` gives them constants, costs and what else is their own.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from exporter.ops.candidate import Candidate, Constant, Param, Rows, Tiling
from exporter.ops.kernels.packing import interleave, padding_ring
from exporter.ops.layers import DenseLayer, SpatialLayer
from exporter.ops.linear import Accumulator


def dense(layer: DenseLayer, kernel: str) -> Candidate:
    """A whole kernel of FULLY_CONNECTED."""
    channels, depth = layer.weights.shape
    return Candidate(
        kernel=kernel,
        name=f"fully_connected_{depth}x{channels}",
        inputs=(Rows(1, layer.source.bytes),),
        output=Rows(1, layer.output.bytes),
    )


def spatial(layer: SpatialLayer, kernel: str) -> Candidate:
    """A row kernel of CONV_2D or DEPTHWISE_CONV_2D, with a ring where there is padding."""
    vertical, horizontal, images = layer.vertical, layer.horizontal, layer.images
    rows_in, rows_out = layer.rows
    size = f"{vertical.size}x{horizontal.size}"
    name = f"conv_2d_{size}_{layer.depth}x{layer.channels}"
    return Candidate(
        kernel=kernel,
        name=name if layer.weights.ndim == 4 else f"depthwise_conv_2d_{size}_{layer.channels}",
        inputs=(Rows(rows_in, layer.source.bytes // images // rows_in),),
        output=Rows(rows_out, layer.output.bytes // images // rows_out),
        window=vertical.window,
        ring=padding_ring(vertical, horizontal, layer.depth, layer.source.zero_point),
        images=images,
    )


def pixel_tiling(
    layer: SpatialLayer, tile: int, *, reads_first: bool = True, overlaps: bool = False
) -> Tiling | None:
    """Of a CONV_2D kernel that goes on by `tile` pixels, where what they see is apart."""
    if layer.weights.shape[1:3] != (1, 1) or layer.horizontal.stride > 1:
        return None
    tile = tile if layer.columns >= tile else 1
    return Tiling(layer.columns, layer.depth, layer.channels, tile, reads_first, overlaps)


def conv_2d_params(layer: SpatialLayer) -> dict[str, Param]:
    """The shape of CONV_2D, as drivers in C take it: a row of a window is `segments`."""
    return {
        "columns": layer.columns,
        "depth": layer.depth,
        "channels": layer.channels,
        "kernel_h": layer.vertical.size,
        "kernel_w": layer.horizontal.size,
        "dilation_h": layer.vertical.dilation,
        "segments": layer.segments,
        "segment_bytes": layer.segment_bytes,
        "segment_step": layer.horizontal.dilation * layer.depth,
        "pixel_step": layer.horizontal.stride * layer.depth,
        "margin_bytes": layer.horizontal.before * layer.depth,
    }


def blocked(weights: npt.NDArray[np.int8], block: int) -> Constant:
    """Weights [O,..] with `block` output channels side by side."""
    taps = " * ".join(map(str, weights.shape[1:]))
    return Constant(
        "weights",
        interleave(weights.reshape(len(weights), -1), block),
        f"[{len(weights)} / {block}][{taps}][{block}]: output channels side by side",
    )


def folded_bias(sums: Accumulator, channels: int | None = None) -> Constant:
    """The biases, and zeros for those of `channels` that a block has beyond the layer's."""
    missing = (channels or len(sums.bias)) - len(sums.bias)
    bias = np.pad(sums.bias, (0, missing)).astype(np.int32)
    return Constant("bias", bias, "input zero point folded in")
