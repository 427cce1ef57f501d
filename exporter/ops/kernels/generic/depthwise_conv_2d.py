"""DEPTHWISE_CONV_2D in C99."""

from __future__ import annotations

from dataclasses import replace

from exporter.ops.candidate import Candidate, Constant, Param
from exporter.ops.kernels.linear import folded_bias, spatial
from exporter.ops.kernels.scaling import finish
from exporter.ops.layers import SpatialLayer

UNROLLED_TAPS = 12
"""Kernels with more taps loop over their rows; fewer are unrolled whole."""


def candidates(layer: SpatialLayer) -> tuple[Candidate, ...]:
    """One channel of three neighbouring pixels at a time: they share weights and some inputs."""
    target, weights, depth = layer.target, layer.weights, layer.depth
    vertical, horizontal = layer.vertical, layer.horizontal
    ending = finish(layer.sums, layer.requantization, target, layer.pixels)
    kernel_h, kernel_w, channels = weights.shape
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
    taps = Constant("weights", weights.ravel(), f"[{kernel_h}][{kernel_w}][{channels}]")
    candidate = replace(
        spatial(layer, "generic/depthwise_conv_2d"),
        params=params | ending.params,
        constants=(taps, folded_bias(layer.sums), *ending.constants),
        instructions=layer.output.elements * (ending.instructions + _per_output(layer, pixels)),
    )
    return (candidate,)


def _per_output(layer: SpatialLayer, pixels: int) -> int:
    """Instructions before requantisation: loads of inputs and weights, products, pointers."""
    kernel_h, kernel_w, _ = layer.weights.shape
    columns = kernel_w + (pixels - 1) * min(layer.horizontal.stride, kernel_w)
    loads = kernel_h * (columns + kernel_w)
    products = kernel_h * kernel_w * (1 if layer.target.thumb2 else 2)
    return loads // pixels + products + 3
