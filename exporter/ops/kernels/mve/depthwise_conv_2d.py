"""DEPTHWISE_CONV_2D with Helium: rows laid side by side, so that a vector holds a whole window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from exporter.ops.candidate import Candidate, Constant, MicroKernel, Param
from exporter.ops.kernels.linear import spatial
from exporter.ops.kernels.mve import tiles
from exporter.ops.layers import SpatialLayer

CHANNELS_AT_ONCE = 16
LAID_COLUMN_BYTES = 4 * CHANNELS_AT_ONCE
MOST_SCRATCH_BYTES = 2048
MOST_GROUPS = 12
MOST_CHANNELS = 2047
MOST_STRIDE = 2
LAY_ROWS = MicroKernel("mve/micro/lay_rows", "lay_rows")


def candidates(layer: SpatialLayer) -> tuple[Candidate, ...]:
    """Two output rows at once where windows are 3x3 at most and next to each other, or one."""
    form = tiles.form_of(layer.requantization)
    fits = (
        form is not None
        and layer.channels == layer.depth <= MOST_CHANNELS
        and layer.horizontal.stride <= MOST_STRIDE
    )
    if form is None or not fits:
        return ()
    if _is_small(layer):
        return (_two_rows(layer, form),)
    groups = -(-layer.vertical.size // 4) * -(-layer.horizontal.size // 4)
    return (_one_row(layer, form),) if groups <= MOST_GROUPS else ()


def _is_small(layer: SpatialLayer) -> bool:
    axes = (layer.vertical, layer.horizontal)
    return layer.horizontal.output >= 2 and all(
        axis.size <= 3 and axis.stride == axis.dilation == 1 for axis in axes
    )


def _two_rows(layer: SpatialLayer, form: tiles.Form) -> Candidate:
    columns = layer.horizontal.output
    chunk = _chunk(columns, lambda chunk: (chunk + 3) * LAID_COLUMN_BYTES)
    laid_columns = chunk + 3
    tile = MicroKernel(
        "mve/micro/depthwise_2x2x2",
        f"depthwise_2x2x2_{chunk}x{layer.channels}{form.label}",
        (("columns", chunk), ("channels", layer.channels), *form.params),
    )
    pairs = -(-layer.channels // 2)
    calls = -(-layer.vertical.output // 2)
    chunks = -(-columns // chunk)
    pair = 26 + -(-chunk // 2) * (33 + form.instructions)
    blocks = -(-layer.channels // CHANNELS_AT_ONCE)
    return _candidate(
        layer,
        form,
        tile,
        rows_per_call=2,
        chunk=chunk,
        laid_columns=laid_columns,
        instructions=calls * chunks * (pairs * pair + blocks * (140 + 14 * (chunk + 2)) + 80),
    )


def _one_row(layer: SpatialLayer, form: tiles.Form) -> Candidate:
    vertical, horizontal = layer.vertical, layer.horizontal
    row_groups, column_groups = -(-vertical.size // 4), -(-horizontal.size // 4)

    def laid(chunk: int) -> int:
        """Columns that tiles of four pixels read, four columns of each group."""
        return (
            (max(chunk, 4) - 1) * horizontal.stride + (4 * column_groups - 1) * horizontal.dilation
        ) + 1

    chunk = _chunk(horizontal.output, lambda chunk: row_groups * laid(chunk) * LAID_COLUMN_BYTES)
    tile = MicroKernel(
        "mve/micro/depthwise_4x2",
        f"depthwise_4x2_{vertical.size}x{horizontal.size}_{laid(chunk)}_{horizontal.stride}"
        f"_{horizontal.dilation}{form.label}",
        (
            ("row_groups", row_groups),
            ("column_groups", column_groups),
            ("laid_columns", laid(chunk)),
            ("stride_w", horizontal.stride),
            ("dilation_w", horizontal.dilation),
            *form.params,
        ),
    )
    groups = row_groups * column_groups
    pairs, blocks = -(-layer.channels // 2), -(-layer.channels // CHANNELS_AT_ONCE)
    quads, chunks = -(-chunk // 4), -(-horizontal.output // chunk)
    pair = groups * 20 + 20 + form.instructions
    lay = row_groups * (100 + 14 * laid(chunk))
    return _candidate(
        layer,
        form,
        tile,
        rows_per_call=1,
        chunk=chunk,
        laid_columns=laid(chunk),
        instructions=vertical.output
        * chunks
        * (quads * (pairs * pair + blocks * 50) + blocks * lay + 80),
    )


def _chunk(columns: int, scratch: Callable[[int], int]) -> int:
    """Output columns at once: as many as scratch memory holds, in the fewest chunks."""
    most = max(n for n in range(1, columns + 1) if n <= 4 or scratch(n) <= MOST_SCRATCH_BYTES)
    chunks = -(-columns // most)
    return columns if chunks == 1 else max(4, most // 4 * 4)


def _candidate(
    layer: SpatialLayer,
    form: tiles.Form,
    tile: MicroKernel,
    *,
    rows_per_call: int,
    chunk: int,
    laid_columns: int,
    instructions: int,
) -> Candidate:
    source, requantization = layer.source, layer.requantization
    vertical, horizontal = layer.vertical, layer.horizontal
    channels = layer.channels
    row_groups, column_groups = -(-vertical.size // 4), -(-horizontal.size // 4)
    used = (chunk - 1) * horizontal.stride + horizontal.extent
    params: dict[str, Param] = {
        "kernel_h": vertical.size,
        "kernel_w": horizontal.size,
        "columns": horizontal.output,
        "channels": channels,
        "input_columns": horizontal.input,
        "input_zero_point": source.zero_point,
        "before": horizontal.before,
        "stride_w": horizontal.stride,
        "dilation_h": vertical.dilation,
        "rows_per_call": rows_per_call,
        "chunk_columns": chunk,
        "used_columns": used,
        "laid_columns": laid_columns,
        "laid_rows": vertical.size + rows_per_call - 1,
        "row_groups": row_groups,
        "pair_words": row_groups * column_groups * 8 + 6,
        "zero_point": requantization.zero_point,
        "low": requantization.low,
        "high": requantization.high,
        "form": tiles.output_form(channels, requantization) or (),
    }
    return replace(
        spatial(layer, "mve/depthwise_conv_2d"),
        ring=None,
        params=params,
        constants=(_stream(layer),),
        rows_per_call=rows_per_call,
        by_channels=chunk == horizontal.output,
        micro_kernels=(LAY_ROWS, tile),
        scratch_bytes=row_groups * laid_columns * LAID_COLUMN_BYTES,
        instructions=layer.images * instructions,
        choice=f"a window a vector, {rows_per_call} row{'s' * (rows_per_call > 1)}, {form.text}",
    )


def _stream(layer: SpatialLayer) -> Constant:
    """Windows by pairs of channels, and records; pairs end with each 16 channels."""
    kernel_h, kernel_w, channels = layer.weights.shape
    row_groups, column_groups = -(-kernel_h // 4), -(-kernel_w // 4)
    even = channels + channels % 2
    padded: npt.NDArray[np.int8] = np.zeros((4 * row_groups, 4 * column_groups, even), np.int8)
    padded[:kernel_h, :kernel_w, :channels] = layer.weights
    grouped = padded.reshape(row_groups, 4, column_groups, 4, even // 2, 2)
    pairs = grouped.transpose(4, 0, 2, 5, 3, 1)
    records = tiles.records(layer.sums, layer.requantization, CHANNELS_AT_ONCE)
    return tiles.stream_of(
        pairs.reshape(even // 2, -1),
        records,
        f"[{row_groups}][{column_groups}][2][4 columns][4 rows]",
    )
