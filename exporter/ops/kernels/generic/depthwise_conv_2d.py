"""DEPTHWISE_CONV_2D in C99."""

from __future__ import annotations

import numpy as np

from exporter.ops.candidate import Candidate, Constant, Param, Rows
from exporter.ops.kernels.packing import padding_ring
from exporter.ops.kernels.scaling import finish
from exporter.ops.layers import SpatialLayer

UNROLLED_TAPS = 12
"""Kernels with more taps loop over their rows; fewer are unrolled whole."""


def candidates(layer: SpatialLayer) -> tuple[Candidate, ...]:
    """One channel of three neighbouring pixels at a time: they share weights and some inputs."""
    source, output, target = layer.source, layer.output, layer.target
    vertical, horizontal = layer.vertical, layer.horizontal
    weights, sums = layer.weights, layer.sums
    ending = finish(sums, layer.requantization, target, output.elements // layer.channels)
    kernel_h, kernel_w, channels = weights.shape
    depth = source.shape[-1]
    pixels = 1 if target.optimize == "size" else min(3, horizontal.output)
    params: dict[str, Param] = {
        "columns": horizontal.output,
        "depth": depth,
        "channels": channels,
        "per_input": channels // depth,
        "kernel_h": kernel_h,
        "kernel_w": kernel_w,
        "dilation_h": vertical.dilation,
        "dilation_w": horizontal.dilation,
        "stride_w": horizontal.stride,
        "unroll_rows": kernel_h * kernel_w <= UNROLLED_TAPS,
        "block_pixels": pixels,
        "row_bytes": horizontal.input * depth,
        "margin_bytes": horizontal.before * depth,
    }
    constants = (
        Constant("weights", weights.ravel(), f"[{kernel_h}][{kernel_w}][{channels}]"),
        Constant("bias", sums.bias.astype(np.int32), "input zero point folded in"),
        *ending.constants,
    )
    candidate = Candidate(
        kernel="generic/depthwise_conv_2d",
        name=f"depthwise_conv_2d_{kernel_h}x{kernel_w}_{channels}",
        inputs=(Rows(vertical.input, horizontal.input * depth),),
        output=Rows(vertical.output, horizontal.output * channels),
        params=params | ending.params,
        constants=constants,
        window=vertical.window,
        ring=padding_ring(vertical, horizontal, depth, source.zero_point),
        images=source.shape[0],
        instructions=output.elements * (ending.instructions + _per_output(layer, pixels)),
    )
    return (candidate,)


def _per_output(layer: SpatialLayer, pixels: int) -> int:
    """Instructions before requantisation: loads of inputs and weights, products, pointers."""
    kernel_h, kernel_w, _ = layer.weights.shape
    columns = kernel_w + (pixels - 1) * min(layer.horizontal.stride, kernel_w)
    loads = kernel_h * (columns + kernel_w)
    products = kernel_h * kernel_w * (1 if layer.target.thumb2 else 2)
    return loads // pixels + products + 3
