"""CONV_2D in C99."""

from __future__ import annotations

import numpy as np

from exporter.ops.base import Target
from exporter.ops.candidate import Candidate, Constant, Param, Rows
from exporter.ops.kernels.packing import interleave, padding_ring, unroll_factor
from exporter.ops.layers import SpatialLayer


def block_shape(target: Target) -> tuple[int, int]:
    """Pixels and channels accumulated side by side: what the registers of the core can hold."""
    return (2, 4) if target.registers > 16 else (2, 2)


def candidates(layer: SpatialLayer) -> tuple[Candidate, ...]:
    """Register-blocked: `block` pixels by channels share every load of input and weights."""
    source, output, target = layer.source, layer.output, layer.target
    vertical, horizontal = layer.vertical, layer.horizontal
    weights, sums, requantization = layer.weights, layer.sums, layer.requantization
    channels, kernel_h, kernel_w, depth = weights.shape
    rows_in, rows_out, columns = vertical.input, vertical.output, horizontal.output
    if layer.is_pointwise:
        # Rows are contiguous, and so is the image: one long row has no remainder per row.
        columns, rows_in, rows_out = rows_out * columns, 1, 1
    pixels, block = block_shape(target)
    segment = kernel_w * depth if horizontal.dilation == 1 else depth
    params: dict[str, Param] = {
        "columns": columns,
        "depth": depth,
        "channels": channels,
        "kernel_h": kernel_h,
        "kernel_w": kernel_w,
        "dilation_h": vertical.dilation,
        "segments": kernel_w * depth // segment,
        "segment_bytes": segment,
        "segment_step": horizontal.dilation * depth,
        "pixel_step": horizontal.stride * depth,
        "block_pixels": min(pixels, columns),
        "block_channels": min(block, channels),
        "unroll": unroll_factor(segment, 2 if target.optimize == "size" else 8),
        "requantize": requantization.form(sums),
        "zero_point": requantization.zero_point,
        "low": requantization.low,
        "high": requantization.high,
        "row_bytes": horizontal.input * depth,
        "margin_bytes": horizontal.before * depth,
    }
    constants = (
        Constant(
            "weights",
            interleave(weights.reshape(channels, -1), min(block, channels)),
            f"[{channels} / {min(block, channels)}][{kernel_h} * {kernel_w} * {depth}]"
            f"[{min(block, channels)}]: output channels side by side",
        ),
        Constant("bias", sums.bias.astype(np.int32), "input zero point folded in"),
        *requantization.constants(),
    )
    candidate = Candidate(
        kernel="generic/conv_2d",
        name=f"conv_2d_{kernel_h}x{kernel_w}_{depth}x{channels}",
        inputs=(Rows(rows_in, source.bytes // source.shape[0] // rows_in),),
        output=Rows(rows_out, columns * channels),
        params=params,
        constants=constants,
        window=vertical.window,
        ring=padding_ring(vertical, horizontal, depth, source.zero_point),
        images=source.shape[0],
        instructions=output.elements * (24 + 3 * kernel_h * kernel_w * depth),
    )
    return (candidate,)
