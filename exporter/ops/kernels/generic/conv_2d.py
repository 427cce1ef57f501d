"""CONV_2D in C99, and over a micro-kernel in Thumb-2 assembly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exporter.ops.base import Target
from exporter.ops.candidate import Candidate, Constant, MicroKernel, Param, Rows
from exporter.ops.kernels.packing import interleave, padding_ring, unroll_factor
from exporter.ops.kernels.scaling import Finish, finish
from exporter.ops.layers import SpatialLayer

TILE_CHANNELS = 4
"""Output channels of a tile of `generic/micro/tile_2x4`; its pixels are 2."""


def candidates(layer: SpatialLayer) -> tuple[Candidate, ...]:
    """Register-blocked: pixels by channels share every load of input and weights."""
    shape = _Shape.of(layer)
    ending = finish(layer.sums, layer.requantization, layer.target, shape.outputs)
    offers = [_in_c(layer, shape, ending)]
    if _has_tiles(layer, shape.columns):
        offers.append(_in_tiles(layer, shape, ending))
    return tuple(offers)


FEWEST_ODD_COLUMNS, FEWEST_ODD_PIXELS = 7, 17
"""On a Cortex-M3 with fewer, of a 1x1 with fewer, a last one that is made twice loses cycles."""


def _has_tiles(layer: SpatialLayer, columns: int) -> bool:
    """Whether two pixels at a time can pay."""
    if layer.target.registers > 16 or layer.target.optimize == "size":
        return columns > 1 and (layer.target.registers > 16 or layer.target.thumb2)
    fewest = FEWEST_ODD_PIXELS if layer.is_pointwise else FEWEST_ODD_COLUMNS
    return layer.target.thumb2 and columns > 1 and (columns % 2 == 0 or columns >= fewest)


@dataclass(frozen=True)
class _Shape:
    """One call's work: `columns` pixels, each `kernel_h * segments` runs of `segment` bytes."""

    rows_in: int
    rows_out: int
    columns: int
    segments: int
    segment: int
    outputs: int

    @classmethod
    def of(cls, layer: SpatialLayer) -> _Shape:
        vertical, horizontal = layer.vertical, layer.horizontal
        kernel_w, depth = layer.weights.shape[2:]
        rows_in, rows_out, columns = vertical.input, vertical.output, horizontal.output
        if layer.is_pointwise:
            # Rows are contiguous, and so is the image: one long row has no remainder per row.
            columns, rows_in, rows_out = rows_out * columns, 1, 1
        segment = kernel_w * depth if horizontal.dilation == 1 else depth
        segments = kernel_w * depth // segment
        outputs = layer.output.elements // layer.channels
        return cls(rows_in, rows_out, columns, segments, segment, outputs)


def block_shape(target: Target) -> tuple[int, int]:
    """Pixels and channels accumulated side by side: what the registers of the core can hold."""
    return (2, 4) if target.registers > 16 else (2, 2)


def _in_c(layer: SpatialLayer, shape: _Shape, ending: Finish) -> Candidate:
    target, channels = layer.target, layer.channels
    pixels, block = block_shape(target)
    params: dict[str, Param] = {
        "unroll": unroll_factor(shape.segment, 2 if target.optimize == "size" else 8),
        "block_pixels": min(pixels, shape.columns),
        "block_channels": min(block, channels),
    }
    return _candidate(
        layer, shape, ending, "generic/conv_2d", params, min(block, channels), layer.weights,
        _per_output(layer, ending) * shape.outputs * channels,
    )  # fmt: skip


def _in_tiles(layer: SpatialLayer, shape: _Shape, ending: Finish) -> Candidate:
    """Channels are filled up with zeros to whole tiles; odd columns are made twice."""
    unroll = 2 if layer.target.optimize == "size" else 8
    missing = -layer.channels % TILE_CHANNELS
    weights = np.pad(layer.weights, ((0, missing), (0, 0), (0, 0), (0, 0)))
    pairs = shape.rows_out * layer.images * -(-shape.columns // 2)
    tiles = pairs * len(weights) // TILE_CHANNELS
    blocks, rest = divmod(shape.segment, unroll)
    if layer.target.thumb2:
        run = 19 + blocks * (14 * unroll + 6) + 17 * rest
    else:
        run = 30 + blocks * (22 * unroll + 4) + 26 * rest
    tile = 24 + layer.weights.shape[1] * shape.segments * run
    return _candidate(
        layer, shape, ending, "generic/conv_2d_tiles", {}, TILE_CHANNELS, weights,
        tiles * tile + shape.outputs * layer.channels * ending.instructions,
        MicroKernel("generic/micro/tile_2x4", "nano_tile_2x4", (("unroll", unroll),)),
    )  # fmt: skip


def _per_output(layer: SpatialLayer, ending: Finish) -> int:
    """Instructions of the kernel in C for one output, as GCC compiles it."""
    tenths_per_tap = 24 if layer.target.thumb2 else 30
    return ending.instructions + 6 + int(layer.weights[0].size) * tenths_per_tap // 10


def _candidate(
    layer: SpatialLayer,
    shape: _Shape,
    ending: Finish,
    kernel: str,
    params: dict[str, Param],
    block: int,
    weights: np.typing.NDArray[np.int8],
    instructions: int,
    *micro_kernels: MicroKernel,
) -> Candidate:
    """What both have in common; `weights` are stored `block` output channels side by side."""
    vertical, horizontal, source = layer.vertical, layer.horizontal, layer.source
    channels, kernel_h, kernel_w, depth = weights.shape
    shared: dict[str, Param] = {
        "columns": shape.columns,
        "depth": depth,
        "channels": layer.channels,
        "kernel_h": kernel_h,
        "kernel_w": kernel_w,
        "dilation_h": vertical.dilation,
        "segments": shape.segments,
        "segment_bytes": shape.segment,
        "segment_step": horizontal.dilation * depth,
        "pixel_step": horizontal.stride * depth,
        "row_bytes": horizontal.input * depth,
        "margin_bytes": horizontal.before * depth,
    }
    constants = (
        Constant(
            "weights",
            interleave(weights.reshape(channels, -1), block),
            f"[{channels} / {block}][{kernel_h} * {kernel_w} * {depth}][{block}]: "
            "output channels side by side",
        ),
        Constant(
            "bias",
            np.pad(layer.sums.bias, (0, channels - layer.channels)).astype(np.int32),
            "input zero point folded in",
        ),
        *ending.constants,
    )
    return Candidate(
        kernel=kernel,
        name=f"conv_2d_{kernel_h}x{kernel_w}_{depth}x{layer.channels}",
        inputs=(Rows(shape.rows_in, source.bytes // source.shape[0] // shape.rows_in),),
        output=Rows(shape.rows_out, shape.columns * layer.channels),
        params=shared | params | ending.params,
        constants=constants,
        window=vertical.window,
        ring=padding_ring(vertical, horizontal, depth, source.zero_point),
        images=layer.images,
        micro_kernels=micro_kernels,
        instructions=instructions,
        choice=ending.choice,
    )
