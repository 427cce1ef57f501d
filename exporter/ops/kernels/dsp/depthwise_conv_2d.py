"""DEPTHWISE_CONV_2D with the dual 16-bit multiplies of the DSP extension.

Vertically adjacent input values of one channel, widened to 16 bits, make a word, so that one SMLAD
does two rows of a column. These pairs are made once for all columns of a call and serve every
kernel column and, shifted by half a word, the odd output row too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporter.ops.candidate import Candidate, Constant, MicroKernel, Param, Rows
from exporter.ops.kernels.dsp.depthwise_requantization import Form, plain, scaled
from exporter.ops.layers import SpatialLayer

Int64Array = npt.NDArray[np.int64]

PAIRS_BYTES = 1024
"""Scratch for pairs beyond which the columns are done in strips."""
WHOLE_COLUMNS = 6
"""Rows of at most this many outputs are unrolled whole."""
LARGEST_OFFSET, LARGEST_DOUBLE_OFFSET = 4095, 1020
"""What a load or store of a word, or of two, can add to its base register."""
MOST_PAIRS = 4
"""Pairs of rows whose pointers registers can hold."""
TILE_REGISTERS = 8
"""For a column's pairs and weights, beside four sums."""
MOST_WORDS = 40
"""Words of weights of a channel up to which the code for them is unrolled."""


@dataclass(frozen=True)
class Blocking:
    """Output rows per call, the pairs of input rows they need, and the columns at a time."""

    rows: int
    input_rows: int
    pairs: int
    starts: tuple[tuple[int, int], ...]
    """Per output row: the pair of its first input row, and 1 where that is the pair's second."""
    strip: int


def candidates(layer: SpatialLayer) -> tuple[Candidate, ...]:
    """For one input channel per output channel and no dilation."""
    dense = layer.vertical.dilation == layer.horizontal.dilation == 1
    if layer.channels != layer.depth or not dense or layer.target.optimize == "size":
        return ()
    form = scaled(layer) or plain(layer)
    if form is None:
        return ()
    offers = (_three_by_three(layer, form), _tile(layer, form))
    return tuple(offer for offer in offers if offer is not None)


def _three_by_three(layer: SpatialLayer, form: Form) -> Candidate | None:
    """All nine weights of a channel in registers, each column of pairs read once."""
    horizontal, channels = layer.horizontal, layer.channels
    fits = layer.weights.shape[:2] == (3, 3) and horizontal.stride <= 2
    if not form.shift or not fits or channels > LARGEST_OFFSET // 4:
        return None
    blocking = _blocking(layer, rows=2, words=2)
    whole = blocking.strip == horizontal.output <= WHOLE_COLUMNS
    unroll = _unroll(blocking.strip)
    params: dict[str, Param] = {
        "pairs": blocking.pairs,
        "rows": blocking.starts,
        "stride_w": horizontal.stride,
        "step": channels,
        "columns": horizontal.output if whole else 0,
        "unroll": 0 if whole else unroll,
        "tail": not whole and (blocking.strip % unroll or horizontal.output % blocking.strip) > 0,
        "shift": form.shift,
    }
    name = "depthwise_3x3_" + "_".join(
        [
            "".join(f"{2 * pair + half}" for pair, half in blocking.starts),
            f"by_{horizontal.stride}",
            f"{horizontal.output if whole else f'n{unroll}'}{'t' if params['tail'] else ''}",
            f"{channels}",
            f"shift_{form.shift}",
        ]
    )
    compute = MicroKernel("dsp/micro/depthwise_3x3", name, tuple(params.items()))
    per_output = 11 if horizontal.stride == 1 else 12
    loop = 0 if whole else 4 / unroll
    per_row = blocking.strip * (per_output + loop) + 16
    return _candidate(
        layer,
        blocking,
        compute,
        _records_3x3(form),
        "8 words per channel, as depthwise_3x3 reads them",
        round(blocking.rows * per_row) + 16,
        f"nine weights in registers, {form.text}",
    )


def _tile(layer: SpatialLayer, form: Form) -> Candidate | None:
    """Any kernel: two rows by two columns at a time, or one by four where rows share no pairs."""
    vertical, horizontal, channels = layer.vertical, layer.horizontal, layer.channels
    kernel_h, kernel_w, _ = layer.weights.shape
    shared = vertical.stride == 1 and vertical.output > 1
    words = kernel_h // 2 + ((kernel_h - 1) // 2 + 1 if shared else kernel_h % 2)
    read = kernel_h // 2 + 1 if shared else -(-kernel_h // 2)
    blocking = _blocking(layer, 2 if shared or vertical.stride % 2 == 0 else 1, read)
    plane = ((blocking.strip - 1) * horizontal.stride + kernel_w) * blocking.pairs
    reach = 12 * horizontal.stride * blocking.pairs
    fits = (
        read + words <= TILE_REGISTERS
        and blocking.pairs <= MOST_PAIRS
        and kernel_w * words <= MOST_WORDS
        and horizontal.output % blocking.strip == 0
        and 16 * plane <= LARGEST_OFFSET
        and 3 * channels <= LARGEST_OFFSET
        and reach <= LARGEST_DOUBLE_OFFSET
    )
    if not fits:
        return None
    params: dict[str, Param] = {
        "kernel_h": kernel_h,
        "kernel_w": kernel_w,
        "stride_w": horizontal.stride,
        "pairs": blocking.pairs,
        "plane": plane,
        "step": channels,
        "columns": blocking.strip,
        "shared": shared,
        "starts": tuple(0 if shared else pair for pair, _ in blocking.starts),
        "shift": form.shift,
    }
    name = "depthwise_{}x{}_{}_by_{}_{}_{}_{}".format(
        kernel_h,
        kernel_w,
        "".join(str(2 * pair + half) for pair, half in blocking.starts),
        horizontal.stride,
        blocking.strip,
        channels,
        f"shift_{form.shift}" if form.shift else "plain",
    )
    compute = MicroKernel("dsp/micro/depthwise_tile", name, tuple(params.items()))
    multiplies = kernel_h // 2 + kernel_h % 2 + (kernel_h % 2 == 0 if shared else 0)
    per_column = 4 * (multiplies + (1 if shared else 2) * (0.5 if shared else 1)) + 1
    per_tile = kernel_w * per_column + (12 if form.shift else 20) + 12
    tiles = blocking.rows * blocking.strip / 4
    return _candidate(
        layer,
        blocking,
        compute,
        _tile_records(form, shared),
        "per channel: bias, weights, multiplier, addend; as the tile reads them",
        round(tiles * per_tile) + 40,
        form.text,
        planar=True,
    )


def _tile_records(form: Form, shared: bool) -> npt.NDArray[np.int32]:
    """Records [O][..], flat; the micro-kernel's comment gives the order of the weights."""
    kernel_h, kernel_w, _ = form.weights.shape
    words = [form.bias]
    for kx in range(kernel_w):
        column = form.weights[:, kx]
        words += [pack(column[k], column[k + 1]) for k in range(0, kernel_h - 1, 2)]
        if shared:
            words += [pack(column[k], column[k + 1]) for k in range(1, kernel_h - 1, 2)]
        if shared or kernel_h % 2:
            words.append(pack(column[-1], column[0]))
    words += [form.multiplier, form.addend]
    if not form.shift:
        words.append(form.shifts)
    records: npt.NDArray[np.int32] = np.stack(words, axis=1).ravel().astype(np.int32)
    return records


def _unroll(columns: int) -> int:
    """Outputs side by side: all divide the row where possible."""
    return next((count for count in (6, 5, 4) if columns % count == 0), 4)


def _blocking(layer: SpatialLayer, rows: int, words: int) -> Blocking:
    """`words`: pairs of rows that an output row reads from its first one on."""
    vertical, horizontal = layer.vertical, layer.horizontal
    rows = min(rows, vertical.output)
    starts = tuple(divmod(k * vertical.stride, 2) for k in range(rows))
    pairs = max(pair for pair, _ in starts) + words
    most = (PAIRS_BYTES // (16 * pairs) - horizontal.size) // horizontal.stride + 1
    return Blocking(
        rows=rows,
        input_rows=(rows - 1) * vertical.stride + vertical.size,
        pairs=pairs,
        starts=starts,
        strip=_strip(horizontal.output, max(most, 4)),
    )


def _strip(columns: int, most: int) -> int:
    """Columns at a time, at most `most`: equal strips unless they are much narrower."""
    if columns <= most:
        return columns
    equal = max(strip for strip in range(1, most + 1) if columns % strip == 0)
    return equal if 2 * equal > most else -(-columns // -(-columns // most))


def _candidate(
    layer: SpatialLayer,
    blocking: Blocking,
    compute: MicroKernel,
    records: npt.NDArray[np.int32],
    layout: str,
    channel_instructions: int,
    choice: str,
    planar: bool = False,
) -> Candidate:
    vertical, horizontal, channels = layer.vertical, layer.horizontal, layer.channels
    kernel_h, kernel_w, _ = layer.weights.shape
    fill = layer.source.zero_point
    taken = (blocking.strip - 1) * horizontal.stride + kernel_w
    outside = min(taken, horizontal.input) * channels if vertical.is_padded else 0
    params: dict[str, Param] = {
        "kernel_h": kernel_h,
        "kernel_w": kernel_w,
        "channels": channels,
        "width": horizontal.input,
        "columns": horizontal.output,
        "before": horizontal.before,
        "stride_w": horizontal.stride,
        "strip": blocking.strip,
        "rows": blocking.rows,
        "input_rows": blocking.input_rows,
        "pairs": blocking.pairs,
        "record_words": len(records) // channels,
        "fill": fill,
        "fill_pair": int(np.int32(fill << 16 | fill & 0xFFFF)),
        "outside_bytes": outside,
        "padded": horizontal.is_padded,
        "planar": planar,
        "low": layer.requantization.low,
        "high": layer.requantization.high,
    }
    words = channels % 4 == 0
    micro = _prepare(words, blocking.pairs, taken if planar else 0)
    calls = -(-vertical.output // blocking.rows) * -(-horizontal.output // blocking.strip)
    pixel = (6 if words else 4) * blocking.pairs + 7
    prepared = taken * pixel * (1 / 4 if words else 1)
    clamp = 0 if (params["low"], params["high"]) == (-128, 127) else 6 * layer.output.elements
    each = channels * (prepared + channel_instructions + 15) + 100
    return Candidate(
        kernel="dsp/depthwise_conv_2d",
        name=f"depthwise_conv_2d_{kernel_h}x{kernel_w}_{channels}",
        inputs=(Rows(vertical.input, horizontal.input * channels),),
        output=Rows(vertical.output, horizontal.output * channels),
        params=params,
        constants=(Constant("records", records, layout),),
        window=vertical.window,
        rows_per_call=blocking.rows,
        micro_kernels=(micro, compute),
        images=layer.images,
        scratch_bytes=taken * 16 * blocking.pairs + -(-outside // 4) * 4,
        instructions=layer.images * round(calls * each) + clamp,
        choice=choice,
    )


def _prepare(words: bool, pairs: int, columns: int) -> MicroKernel:
    """Makes the pairs: by words of four channels or one by one; in planes of `columns`, or as 0."""
    plane, column = (columns * pairs, pairs) if columns else (pairs, 4 * pairs)
    stem = "depthwise_pairs" if words else "depthwise_pairs_1"
    name = f"{stem}_of_{pairs}" + (f"_in_{columns}" if columns and words else "")
    name += "_planar" if columns and not words else ""
    params = (("pairs", pairs), ("plane", plane if words else 0), ("column", column))
    return MicroKernel(f"dsp/micro/{stem}", name, params)


def _records_3x3(form: Form) -> npt.NDArray[np.int32]:
    """Records [O][8], flat; the micro-kernel's comment gives the order of the weights."""
    (w00, w01, w02), (w10, w11, w12), (w20, w21, w22) = form.weights
    words = [
        pack(w00, w10),
        pack(w11, w01),
        pack(w02, w12),
        pack(w21, w20),
        pack(w22, w02),
        form.bias,
        form.multiplier,
        form.addend,
    ]
    records: npt.NDArray[np.int32] = np.stack(words, axis=1).ravel().astype(np.int32)
    return records


def pack(low: Int64Array, high: Int64Array) -> Int64Array:
    """Words of two int16 each, as int32 values."""
    return high * 65536 + (low & 0xFFFF)
