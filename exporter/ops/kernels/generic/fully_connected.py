"""FULLY_CONNECTED in C99, and over a micro-kernel in Thumb-2 assembly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from exporter.ops.candidate import Candidate, MicroKernel, Param
from exporter.ops.kernels.linear import blocked, dense, folded_bias
from exporter.ops.kernels.packing import unroll_factor
from exporter.ops.kernels.scaling import Finish, finish
from exporter.ops.layers import DenseLayer

TILE_CHANNELS = 8
"""Output channels of a tile of `generic/micro/tile_1x8`."""


def candidates(layer: DenseLayer) -> tuple[Candidate, ...]:
    """Several output channels at a time share every load of the input."""
    ending = finish(layer.sums, layer.requantization, layer.target, layer.batch)
    offers = [_in_c(layer, ending)]
    if layer.target.thumb2:
        offers.append(_in_tiles(layer, ending))
    return tuple(offers)


def _in_c(layer: DenseLayer, ending: Finish) -> Candidate:
    target, (channels, depth) = layer.target, layer.weights.shape
    block = min(8 if target.registers > 16 else 4, channels)
    params: dict[str, Param] = {
        "block_channels": block,
        "unroll": unroll_factor(depth, 2 if target.optimize == "size" else 32 // block),
    }
    outputs = layer.batch * channels
    tenths_per_weight = 24 if target.thumb2 else 32
    loop = 4 if depth == params["unroll"] else 8
    instructions = outputs * (ending.instructions + loop + depth * tenths_per_weight // 10)
    return _candidate(layer, ending, "fully_connected", params, block, layer.weights, instructions)


def _in_tiles(layer: DenseLayer, ending: Finish) -> Candidate:
    """Channels are filled up with zeros to whole tiles."""
    channels, depth = layer.weights.shape
    unroll = 2 if layer.target.optimize == "size" else 8
    weights = np.pad(layer.weights, ((0, -channels % TILE_CHANNELS), (0, 0)))
    blocks, rest = divmod(depth, unroll)
    tiles = layer.batch * len(weights) // TILE_CHANNELS
    tile = 48 + blocks * (17 * unroll + 4) + 19 * rest
    instructions = tiles * tile + layer.batch * channels * ending.instructions
    micro = MicroKernel("generic/micro/tile_1x8", "nano_tile_1x8", (("unroll", unroll),))
    return _candidate(
        layer, ending, "fully_connected_tiles", {}, TILE_CHANNELS, weights, instructions, micro
    )


def _candidate(
    layer: DenseLayer,
    ending: Finish,
    kernel: str,
    params: dict[str, Param],
    block: int,
    weights: np.typing.NDArray[np.int8],
    instructions: int,
    *micro_kernels: MicroKernel,
) -> Candidate:
    """What both have in common; `weights` are stored `block` output channels side by side."""
    channels, depth = layer.weights.shape
    shared: dict[str, Param] = {"batch": layer.batch, "depth": depth, "channels": channels}
    return replace(
        dense(layer, f"generic/{kernel}"),
        params=shared | params | ending.params,
        constants=(blocked(weights, block), folded_bias(layer.sums), *ending.constants),
        micro_kernels=micro_kernels,
        instructions=instructions,
        choice=ending.choice,
    )
