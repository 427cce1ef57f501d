"""CONV_2D with SMLAD: tiles of four pixels by two channels over int16 pairs.

What four neighbouring pixels see is widened to int16 once for all output channels. Weights are
packed as int16 pairs (`wide`), or two channels to a half word (`narrow`: the size of int8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from exporter.ops.candidate import Candidate, Constant, MicroKernel, Param
from exporter.ops.kernels.dsp import winograd
from exporter.ops.kernels.dsp.requantize import Form, cheapest, shifted
from exporter.ops.kernels.dsp.tiles import stream, tile_kernel
from exporter.ops.kernels.linear import conv_2d_params, pixel_tiling, spatial
from exporter.ops.layers import SpatialLayer

Int64Array = npt.NDArray[np.int64]

PACK_4 = MicroKernel("dsp/micro/pack_4", "nano_dsp_pack_4")
PACK_1 = MicroKernel("dsp/micro/pack_1", "nano_dsp_pack_1")
TILE = 4
"""Pixels of a tile."""


@dataclass(frozen=True, eq=False)
class Packing:
    """Weights as a tile micro-kernel reads them: `stream` int32, a record per two channels."""

    kind: str
    """`int16`, or `int8` for two channels in a half word."""
    form: Form
    stream: npt.NDArray[np.int32]
    record_words: int
    step_instructions: int
    """Of the inner loop, for a pair of inputs of four pixels."""
    pair_instructions: int
    """Outside the inner loop, for four pixels and two channels."""


def candidates(layer: SpatialLayer) -> tuple[Candidate, ...]:
    if layer.channels < 2:
        return ()
    order = tap_order(layer)
    weights = layer.weights.reshape(layer.channels, -1).astype(np.int64)
    packings = (wide(layer, weights, order), narrow(layer, weights, order))
    tiled = tuple(_candidate(layer, packing) for packing in packings if packing is not None)
    return tiled + winograd.candidates(layer)


def tap_order(layer: SpatialLayer) -> Int64Array:
    """Index into [KH,KW,I] of each half of each pair; -1 where there is none. int64 [2 * pairs]."""
    run = layer.segment_bytes
    offsets: list[int] = []
    for word in range(run // 4):
        offsets += [4 * word + position for position in (0, 2, 1, 3)]
    offsets += [run - run % 4 + rest for rest in range(run % 4)]
    if run % 2:
        offsets.append(-1)
    segments = layer.weights[0].size // run
    return np.array(
        [offset if offset < 0 else segment * run + offset
         for segment in range(segments) for offset in offsets], np.int64
    )  # fmt: skip


def wide(layer: SpatialLayer, weights: Int64Array, order: Int64Array) -> Packing | None:
    """Weights [O,K] as int16 pairs."""
    form = cheapest(layer.requantization, layer.sums, weights)
    if form is None:
        return None
    halves = in_order(weights * form.gain[:, None], order)
    pairs = halves[:, 0::2] & 0xFFFF | halves[:, 1::2] << 16
    records = [
        np.concatenate(
            [
                (layer.sums.bias * form.gain)[[a, b]],
                np.stack([pairs[a], pairs[b]], axis=1).ravel(),
                form.records[a],
                form.records[b],
            ]
        )
        for a, b in channel_pairs(layer.channels)
    ]
    fixed = 38 if form.name == "scaled" else 53
    return Packing("int16", form, stream(records), len(records[0]), 11, fixed)


def narrow(layer: SpatialLayer, weights: Int64Array, order: Int64Array) -> Packing | None:
    """Weights [O,K] of two channels in a half word, 256 * A + B: one byte for a weight.

    The half must hold every 256 * A + B, and the sum of such products an int32.
    """
    form = shifted(layer.requantization, layer.sums, "weights of one byte")
    if form is None:
        return None
    own = form.gain // 2  # the kernel doubles
    ordered, bias = in_order(weights * own[:, None], order), layer.sums.bias * own
    records = []
    for a, b in channel_pairs(layer.channels):
        both = 256 * ordered[a] + ordered[b]
        magnitude = 256 * int(layer.sums.magnitude[a]) + int(layer.sums.magnitude[b])
        if both.min() < -INT16_LIMIT or magnitude >= 2**31:
            return None
        words = both[0::2] & 0xFFFF | both[1::2] << 16
        biases = bias[[a, b]] * [256, 1] + [bias[b], 0]
        records.append(np.concatenate([biases, words, form.records[a], form.records[b]]))
    return Packing("int8", form, stream(records), len(records[0]), 12, 66)


INT16_LIMIT = 2**15


def channel_pairs(channels: int) -> Sequence[tuple[int, int]]:
    """The channels two by two; an odd last one goes with its neighbour, which is computed twice."""
    pairs = [(c, c + 1) for c in range(0, channels - 1, 2)]
    return pairs if channels % 2 == 0 else [*pairs, (channels - 2, channels - 1)]


def in_order(weights: Int64Array, order: Int64Array) -> Int64Array:
    """Weights [O,K] in the order of the tile's halves, zero where there is no input."""
    return np.where(order >= 0, weights[:, np.maximum(order, 0)], 0)


def _candidate(layer: SpatialLayer, packing: Packing) -> Candidate:
    channels, columns, run = layer.channels, layer.columns, layer.segment_bytes
    rows = layer.vertical.size * layer.segments
    pairs = rows * (run // 4 * 2 + (run % 4 + 1) // 2)
    tiles = tile_kernels(layer, packing)
    # A tile for three pixels costs less than three single ones.
    overlaps = columns > TILE and columns % TILE == 3
    params: dict[str, Param] = {
        **conv_2d_params(layer),
        "pairs": pairs,
        "calls": _calls(channels, packing.record_words),
        "tile_4": tiles[0].name,
        "tile_1": tiles[1].name,
        "overlaps": overlaps,
    }
    micro_kernels: list[MicroKernel] = []
    if columns >= TILE:
        micro_kernels += [PACK_4, tiles[0]]
    if columns % TILE and not params["overlaps"]:
        micro_kernels += [PACK_1, tiles[1]]
    return replace(
        spatial(layer, "dsp/conv_2d"),
        params=params,
        constants=(Constant("weights", packing.stream, _layout(packing, pairs, channels)),),
        micro_kernels=tuple(micro_kernels),
        # What four pixels see is packed before any of their outputs is written.
        tiling=pixel_tiling(layer, TILE, overlaps=overlaps),
        scratch_bytes=4 * pairs * (TILE if columns >= TILE else 1),
        instructions=layer.rows[1]
        * layer.images
        * _row_instructions(layer, packing, columns, pairs),
        choice=f"{packing.kind} weights, {packing.form.text}",
    )


def tile_kernels(layer: SpatialLayer, packing: Packing) -> tuple[MicroKernel, MicroKernel]:
    """The micro-kernels for tiles of four pixels and for single ones."""
    suffix = "_int8" if packing.kind == "int8" else ""
    four, one = (
        tile_kernel(f"tile_{size}{suffix}", packing.form, layer.requantization)
        for size in ("4x2", "1x2")
    )
    return four, one


def _calls(channels: int, record_words: int) -> tuple[tuple[int, ...], ...]:
    """(first word of the weights, one past the last, first output channel) of each call."""
    even = channels // 2 * record_words
    if channels % 2 == 0:
        return ((0, even, 0),)
    return ((0, even, 0), (even, even + record_words, channels - 2))


def _layout(packing: Packing, pairs: int, channels: int) -> str:
    halves = f"[{pairs}]{{A, B}}" if packing.kind == "int16" else f"[{pairs}], 256 * A + B"
    return (
        f"of {channels} channels two by two: biases, int16 pairs {halves}, "
        f"{packing.form.name} records; input zero point folded in"
    )


def _row_instructions(layer: SpatialLayer, packing: Packing, columns: int, pairs: int) -> int:
    """For one output row: packing, products, requantisation; measured on the Cortex-M4."""
    channel_pairs = (layer.channels + 1) // 2
    loop = -(-pairs // 16) * 3
    tile = channel_pairs * (packing.pair_instructions + pairs * packing.step_instructions + loop)
    single = channel_pairs * (24 + pairs * 4 + loop) + 12 * pairs
    tiles, singles = columns // TILE, columns % TILE
    if tiles and singles == 3:
        tiles, singles = tiles + 1, 0
    return 125 + tiles * (tile + _pack_instructions(layer)) + singles * single


def _pack_instructions(layer: SpatialLayer) -> int:
    """For what four pixels see: per run of contiguous bytes a call, words, and what is left."""
    words, rest = divmod(layer.segment_bytes, 4)
    runs = layer.vertical.size * layer.segments
    return runs * (42 + 17 * words + 29 * (rest // 2) + 10 * (rest % 2))
