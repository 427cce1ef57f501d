"""CONV_2D with Helium: four pixels by two channels, 16 products an instruction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from exporter.ops.candidate import Candidate, MicroKernel, Param
from exporter.ops.kernels.linear import pixel_tiling, spatial
from exporter.ops.kernels.mve import tiles
from exporter.ops.layers import SpatialLayer

MOST_SEGMENTS = 7
MOST_SCRATCH_BYTES = 2560
MOST_COPIES = 160
"""Copies that pack four windows, each a few instructions in line."""


def candidates(layer: SpatialLayer) -> tuple[Candidate, ...]:
    """Windows read where they are, and windows packed first."""
    form = tiles.form_of(layer.requantization)
    places = tiles.output_form(layer.channels, layer.requantization)
    if form is None or places is None:
        return ()
    ways = (_in_columns, _in_place, _packed)
    return tuple(found for way in ways if (found := way(layer, form, places)) is not None)


def _in_columns(layer: SpatialLayer, form: tiles.Form, places: tuple[int, ...]) -> Candidate | None:
    """As in place, and each column is loaded once for all windows of a tile."""
    _, kernel_h, kernel_w, depth = layer.weights.shape
    horizontal = layer.horizontal
    if horizontal.stride > 1 or horizontal.dilation > 1 or horizontal.output < 4:
        return None
    tile = tiles.column_tile((kernel_h, kernel_w), depth, form)
    plain = _in_place(layer, form, places)
    if tile is None or plain is None:
        return None
    before, _ = tiles.tile_instructions(kernel_h, kernel_w * depth, layer.channels, form)
    now = tiles.column_tile_instructions((kernel_h, kernel_w), depth, layer.channels, form)
    quads = layer.images * layer.vertical.output * (horizontal.output // 4)
    return replace(
        plain,
        micro_kernels=(tile, *plain.micro_kernels[1:]),
        instructions=plain.instructions - quads * (before - now),
        choice=f"4 pixels by 2 channels, columns shared, {form.text}",
    )


def _in_place(layer: SpatialLayer, form: tiles.Form, places: tuple[int, ...]) -> Candidate | None:
    """Each row of a window is one segment, or the window is one pixel."""
    _, kernel_h, kernel_w, depth = layer.weights.shape
    if kernel_h > MOST_SEGMENTS or (layer.horizontal.dilation > 1 and kernel_w > 1):
        return None
    return _candidate(layer, form, places, kernel_h, kernel_w * depth, (), 0)


def _packed(layer: SpatialLayer, form: tiles.Form, places: tuple[int, ...]) -> Candidate | None:
    """Windows are copied behind one another: no rest of a block for each of their rows."""
    _, kernel_h, kernel_w, depth = layer.weights.shape
    contiguous = layer.horizontal.dilation == 1 or kernel_w == 1
    pieces, piece = (1, kernel_w * depth) if contiguous else (kernel_w, depth)
    length = kernel_h * kernel_w * depth
    pitch = -(-length // tiles.BLOCK) * tiles.BLOCK
    copies = 4 * kernel_h * pieces * -(-piece // tiles.BLOCK)
    if kernel_h * pieces == 1 or 4 * pitch > MOST_SCRATCH_BYTES or copies > MOST_COPIES:
        return None
    packers = tuple(
        MicroKernel(
            template="mve/micro/pack_windows",
            name=f"pack_{pixels}_windows_{kernel_h}x{kernel_w}x{depth}_{layer.horizontal.stride}"
            f"_{layer.vertical.dilation}_{layer.horizontal.dilation}",
            params=(
                ("pixels", pixels),
                ("kernel_h", kernel_h),
                ("dilation_h", layer.vertical.dilation),
                ("pieces", pieces),
                ("piece_bytes", piece),
                ("piece_step", layer.horizontal.dilation * depth),
                ("pixel_step", layer.horizontal.stride * depth),
                ("pitch", pitch),
            ),
        )
        for pixels in tiles.pixel_counts(layer.columns)
    )
    return _candidate(layer, form, places, 1, pitch, packers, pitch)


def _candidate(
    layer: SpatialLayer,
    form: tiles.Form,
    places: tuple[int, ...],
    segments: int,
    length: int,
    packers: tuple[MicroKernel, ...],
    pitch: int,
) -> Candidate:
    vertical, horizontal = layer.vertical, layer.horizontal
    channels, kernel_h, kernel_w, depth = layer.weights.shape
    columns = layer.columns
    params: dict[str, Param] = {
        "columns": columns,
        "depth": depth,
        "channels": channels,
        "kernel_h": kernel_h,
        "kernel_w": kernel_w,
        "segments": segments,
        "dilation_h": vertical.dilation,
        "pixel_step": horizontal.stride * depth,
        "margin_bytes": horizontal.before * depth,
        "pitch": pitch,
        "form": places,
    }
    plain = spatial(layer, "mve/conv_2d")
    four, one = tiles.tile_instructions(segments, length, channels, form)
    copy = 3 * kernel_h * -(-length // kernel_h // tiles.BLOCK) if pitch else 3 * segments
    row = columns // 4 * (four + 4 * copy + 20) + columns % 4 * (one + copy + 20)
    ringed = vertical.input * horizontal.input * depth if plain.ring else 0
    weights = layer.weights.reshape(channels, segments, -1)
    if pitch:  # what follows a packed window in its pitch counts for nothing
        weights = np.pad(weights, ((0, 0), (0, 0), (0, pitch - weights.shape[-1])))
    return replace(
        plain,
        params=params,
        constants=(tiles.stream(weights, layer.sums, layer.requantization),),
        micro_kernels=(*tiles.tiles_for(columns, segments, length, form), *packers),
        tiling=pixel_tiling(layer, 4, reads_first=pitch > 0),
        scratch_bytes=4 * pitch,
        instructions=layer.images * (layer.rows[1] * (row + 30) + ringed),
        choice=f"4 pixels by 2 channels{', packed windows' if pitch else ''}, {form.text}",
    )
