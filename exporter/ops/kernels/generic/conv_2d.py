"""CONV_2D in C99, and over a micro-kernel in Thumb-2 assembly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from exporter.ops.base import Target
from exporter.ops.candidate import Candidate, MicroKernel, Param
from exporter.ops.kernels.linear import (
    blocked,
    conv_2d_params,
    folded_bias,
    pixel_tiling,
    spatial,
)
from exporter.ops.kernels.packing import unroll_factor
from exporter.ops.kernels.scaling import Finish, finish
from exporter.ops.layers import SpatialLayer

TILE_CHANNELS = 4
"""Output channels of a tile of `generic/micro/tile_2x4`; its pixels are 2."""


def candidates(layer: SpatialLayer) -> tuple[Candidate, ...]:
    """Register-blocked: pixels by channels share every load of input and weights."""
    ending = finish(layer.sums, layer.requantization, layer.target, layer.pixels)
    offers = [_in_c(layer, ending)]
    if _has_tiles(layer, layer.columns):
        offers.append(_in_tiles(layer, ending))
    return tuple(offers)


FEWEST_ODD_COLUMNS, FEWEST_ODD_PIXELS = 7, 17
"""On a Cortex-M3 with fewer, of a 1x1 with fewer, a last one that is made twice loses cycles."""


def _has_tiles(layer: SpatialLayer, columns: int) -> bool:
    """Whether two pixels at a time can pay."""
    if layer.target.registers > 16 or layer.target.optimize == "size":
        return columns > 1 and (layer.target.registers > 16 or layer.target.thumb2)
    fewest = FEWEST_ODD_PIXELS if layer.is_pointwise else FEWEST_ODD_COLUMNS
    return layer.target.thumb2 and columns > 1 and (columns % 2 == 0 or columns >= fewest)


def block_shape(target: Target) -> tuple[int, int]:
    """Pixels and channels accumulated side by side: what the registers of the core can hold."""
    return (2, 4) if target.registers > 16 else (2, 2)


def _in_c(layer: SpatialLayer, ending: Finish) -> Candidate:
    target, channels = layer.target, layer.channels
    pixels, block = block_shape(target)
    params: dict[str, Param] = {
        "unroll": unroll_factor(layer.segment_bytes, 2 if target.optimize == "size" else 8),
        "block_pixels": min(pixels, layer.columns),
        "block_channels": min(block, channels),
    }
    candidate = _candidate(
        layer, ending, "generic/conv_2d", params, min(block, channels), layer.weights,
        _per_output(layer, ending) * layer.pixels * channels,
    )  # fmt: skip
    return replace(candidate, tiling=pixel_tiling(layer, pixels, reads_first=False))


def _in_tiles(layer: SpatialLayer, ending: Finish) -> Candidate:
    """Channels are filled up with zeros to whole tiles; odd columns are made twice."""
    unroll = 2 if layer.target.optimize == "size" else 8
    missing = -layer.channels % TILE_CHANNELS
    weights = np.pad(layer.weights, ((0, missing), (0, 0), (0, 0), (0, 0)))
    pairs = layer.rows[1] * layer.images * -(-layer.columns // 2)
    tiles = pairs * len(weights) // TILE_CHANNELS
    blocks, rest = divmod(layer.segment_bytes, unroll)
    if layer.target.thumb2:
        run = 19 + blocks * (14 * unroll + 6) + 17 * rest
    else:
        run = 30 + blocks * (22 * unroll + 4) + 26 * rest
    tile = 24 + layer.weights.shape[1] * layer.segments * run
    candidate = _candidate(
        layer, ending, "generic/conv_2d_tiles", {}, TILE_CHANNELS, weights,
        tiles * tile + layer.pixels * layer.channels * ending.instructions,
        MicroKernel("generic/micro/tile_2x4", "nano_tile_2x4", (("unroll", unroll),)),
    )  # fmt: skip
    return replace(candidate, tiling=pixel_tiling(layer, 2, reads_first=False, overlaps=True))


def _per_output(layer: SpatialLayer, ending: Finish) -> int:
    """Instructions of the kernel in C for one output, as GCC compiles it."""
    tenths_per_tap = 24 if layer.target.thumb2 else 30
    return ending.instructions + 6 + int(layer.weights[0].size) * tenths_per_tap // 10


def _candidate(
    layer: SpatialLayer,
    ending: Finish,
    kernel: str,
    params: dict[str, Param],
    block: int,
    weights: np.typing.NDArray[np.int8],
    instructions: int,
    *micro_kernels: MicroKernel,
) -> Candidate:
    """What both have in common; `weights` are stored `block` output channels side by side."""
    return replace(
        spatial(layer, kernel),
        params={
            **conv_2d_params(layer),
            "row_bytes": layer.horizontal.input * layer.depth,
            **params,
            **ending.params,
        },
        constants=(
            blocked(weights, block),
            folded_bias(layer.sums, len(weights)),
            *ending.constants,
        ),
        micro_kernels=micro_kernels,
        instructions=instructions,
        choice=ending.choice,
    )
