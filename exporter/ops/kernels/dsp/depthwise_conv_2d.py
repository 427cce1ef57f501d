"""DEPTHWISE_CONV_2D with the dual 16-bit multiplies of the DSP extension.

Vertically adjacent input values of one channel, widened to 16 bits, make a word, so that one SMLAD
does two rows of a column. These pairs are made once for all columns of a call and serve every
kernel column and, shifted by half a word, the odd output row too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from exporter.ops.candidate import Candidate, Constant, MicroKernel, Param
from exporter.ops.kernels.dsp.requantize import SHIFTS, Form, cheapest
from exporter.ops.kernels.linear import spatial
from exporter.ops.layers import SpatialLayer

Int64Array = npt.NDArray[np.int64]

PAIRS_BYTES = 1024
"""Scratch for pairs beyond which the columns are done in strips."""
WHOLE_COLUMNS = 7
"""Rows of at most this many outputs are unrolled whole."""
LARGEST_OFFSET, LARGEST_DOUBLE_OFFSET = 4095, 1020
"""What a load or store of a word, or of two, can add to its base register."""
MOST_PAIRS = 4
"""Pairs of rows whose pointers registers can hold."""
TILE_REGISTERS = 8
"""For a column's pairs and weights, beside four sums."""
USUAL_SHIFT = 10
"""Of the scaled form, or the nearest that suits: layers that agree share their micro-kernels."""
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

    @property
    def text(self) -> str:
        """The first input rows of the output rows, as part of a name."""
        return "".join(str(2 * pair + half) for pair, half in self.starts)


@dataclass(frozen=True)
class Cost:
    """Instructions of a micro-kernel: per call, per channel, and per output row of a channel."""

    call: float
    channel: float
    row: float
    rows_at_once: int = 1
    """A last row without its neighbour takes as long as two."""


def candidates(layer: SpatialLayer) -> tuple[Candidate, ...]:
    """For one input channel per output channel and no dilation."""
    dense = layer.vertical.dilation == layer.horizontal.dilation == 1
    if layer.channels != layer.depth or not dense or layer.target.optimize == "size":
        return ()
    weights = layer.weights.reshape(-1, layer.channels).T.astype(np.int64)
    shifts = sorted(SHIFTS, key=lambda shift: (abs(shift - USUAL_SHIFT), -shift))
    form = cheapest(layer.requantization, layer.sums, weights, shifts=shifts)
    if form is None:
        return ()
    if layer.horizontal.input == layer.weights.shape[1] == 1:
        layer = _transposed(layer)
    offers = [_three_by_three(layer, form, rows) for rows in (1, 2, 3, 4)]
    offers += [_tile(layer, form, shared) for shared in (False, True)]
    return tuple(offer for offer in offers if offer is not None)


def _transposed(layer: SpatialLayer) -> SpatialLayer:
    """An image of one column as one of a single row: the same bytes."""
    return replace(
        layer,
        vertical=layer.horizontal,
        horizontal=layer.vertical,
        weights=layer.weights.swapaxes(0, 1),
    )


def _three_by_three(layer: SpatialLayer, form: Form, rows: int) -> Candidate | None:
    """All nine weights of a channel in registers, each column of pairs read once."""
    horizontal, channels = layer.horizontal, layer.channels
    stride = horizontal.stride
    fits = layer.weights.shape[:2] == (3, 3) and stride <= 2 and channels <= LARGEST_OFFSET // 4
    if not form.shift or not fits or rows > max(2, layer.vertical.output):
        return None
    blocking = _blocking(layer, rows, words=2)
    if blocking.pairs > MOST_PAIRS:
        return None
    whole = blocking.strip == horizontal.output <= WHOLE_COLUMNS
    unroll = _unroll(blocking.strip)
    uneven = horizontal.output % blocking.strip > 0
    tail = uneven or blocking.strip % unroll > 0
    params: dict[str, Param] = {
        "pairs": blocking.pairs,
        "rows": blocking.starts,
        "stride_w": stride,
        "step": channels,
        "columns": horizontal.output if whole else 0,
        "unroll": 0 if whole else unroll,
        "tail": not whole and tail,
        "uneven": uneven,
        "shift": form.shift,
    }
    columns = str(horizontal.output) if whole else f"n{unroll}{'s' * uneven}{'t' * tail}"
    name = f"depthwise_3x3_{blocking.text}_by_{stride}_{columns}_{channels}_shift_{form.shift}"
    per_output = (10 if stride == 1 else 11) + (0 if whole else 4 / unroll)
    first = (7 if whole else 13) if stride == 1 else (6 if whole else 8)
    return _candidate(
        layer,
        blocking,
        MicroKernel("dsp/micro/depthwise_3x3", name, tuple(params.items())),
        _records_3x3(layer, form),
        "8 words per channel, as depthwise_3x3 reads them",
        Cost(call=22 + 4 * rows, channel=12, row=blocking.strip * per_output + first),
        f"nine weights in registers, {form.text}",
    )


def _tile(layer: SpatialLayer, form: Form, shared: bool) -> Candidate | None:
    """Any kernel: two rows by two columns at a time, or one by four where rows share no pairs."""
    vertical, horizontal, channels = layer.vertical, layer.horizontal, layer.channels
    kernel_h, kernel_w, _ = layer.weights.shape
    if shared and (vertical.stride > 1 or vertical.output == 1):
        return None
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
    name = f"depthwise_tile_{kernel_h}x{kernel_w}_{blocking.text}_by_{horizontal.stride}"
    name += f"_{blocking.strip}_{channels}_" + (f"shift_{form.shift}" if form.shift else form.name)
    name += "" if shared else "_apart"
    return _candidate(
        layer,
        blocking,
        MicroKernel("dsp/micro/depthwise_tile", name, tuple(params.items())),
        _tile_records(layer, form, shared),
        "per channel: bias, weights, multiplier, addend; as the tile reads them",
        _tile_cost(layer, form, blocking, shared),
        form.text,
        planar=True,
    )


def _tile_cost(layer: SpatialLayer, form: Form, blocking: Blocking, shared: bool) -> Cost:
    kernel_h, kernel_w, _ = layer.weights.shape
    multiplies = kernel_h // 2 + kernel_h % 2 + (kernel_h // 2 + 1 if shared else 0)
    load = 2 if kernel_h > (6 if shared and layer.horizontal.stride == 1 else 4) else 1
    tile = kernel_w * (1 + (2 if shared else 4) * (load + multiplies))
    tile += 4 * (3 if form.shift else 5) + 11
    rows = 2 if shared else 1
    row = (tile * blocking.strip / (2 if shared else 4) + 4) / rows
    return Cost(call=30, channel=16, row=row, rows_at_once=rows)


def _tile_records(layer: SpatialLayer, form: Form, shared: bool) -> npt.NDArray[np.int32]:
    """Records [O][..], flat; the micro-kernel's comment gives the order of the weights."""
    kernel_h, kernel_w, _ = layer.weights.shape
    words = [layer.sums.bias * form.gain]
    for kx in range(kernel_w):
        column = layer.weights[:, kx] * form.gain
        words += [pack(column[k], column[k + 1]) for k in range(0, kernel_h - 1, 2)]
        if shared:
            words += [pack(column[k], column[k + 1]) for k in range(1, kernel_h - 1, 2)]
        if shared or kernel_h % 2:
            words.append(pack(column[-1], column[0]))
    return _records(words, form)


def _unroll(columns: int) -> int:
    """Outputs side by side: all divide the row where possible."""
    return next((count for count in (6, 5, 7, 4) if columns % count == 0), 4)


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
    cost: Cost,
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
    clamp = 0 if (params["low"], params["high"]) == (-128, 127) else 6 * layer.output.elements
    return replace(
        spatial(layer, "dsp/depthwise_conv_2d"),
        ring=None,
        params=params,
        constants=(Constant("records", records, layout),),
        rows_per_call=blocking.rows,
        by_channels=blocking.strip == horizontal.output,
        micro_kernels=(micro, compute),
        scratch_bytes=taken * 16 * blocking.pairs + -(-outside // 4) * 4,
        instructions=_instructions(layer, blocking, cost) + clamp,
        choice=choice,
    )


def _instructions(layer: SpatialLayer, blocking: Blocking, cost: Cost) -> int:
    """Of one inference, without clamping."""
    vertical, horizontal, channels = layer.vertical, layer.horizontal, layer.channels
    strips = -(-horizontal.output // blocking.strip)
    calls = -(-vertical.output // blocking.rows) * strips
    columns = min((horizontal.output - 1) * horizontal.stride + horizontal.size, horizontal.input)
    columns += (strips - 1) * (horizontal.size - horizontal.stride)
    if channels % 4 == 0:
        # Two pairs take 23 instructions, four of them STRD, which takes three cycles.
        column = 24.5 if blocking.pairs == 2 else 12 * blocking.pairs + 5
        prepare = channels / 4 * (columns / strips * column + 18)
    else:
        column = 4 * blocking.pairs + (2 if blocking.pairs in (2, 3) else 4)
        prepare = channels * (columns / strips * column + 28)
    unwanted_rows = 180 if vertical.output % blocking.rows else 0
    groups = -(-channels // 4)
    call = 140 + unwanted_rows + prepare + groups * (cost.call + 12) + channels * cost.channel
    rows = -(-vertical.output // cost.rows_at_once) * cost.rows_at_once
    return round(layer.images * (calls * call + rows * strips * channels * cost.row))


def _prepare(words: bool, pairs: int, columns: int) -> MicroKernel:
    """Makes the pairs: by words of four channels or one by one; in planes of `columns`, or as 0."""
    plane, column = (columns * pairs, pairs) if columns else (pairs, 4 * pairs)
    stem = "depthwise_pairs" if words else "depthwise_pairs_1"
    name = f"{stem}_of_{pairs}" + (f"_in_{columns}" if columns and words else "")
    name += "_planar" if columns and not words else ""
    params = (("pairs", pairs), ("plane", plane if words else 0), ("column", column))
    return MicroKernel(f"dsp/micro/{stem}", name, params)


def _records_3x3(layer: SpatialLayer, form: Form) -> npt.NDArray[np.int32]:
    """Records [O][8], flat; the micro-kernel's comment gives the order of the weights."""
    (w00, w01, w02), (w10, w11, w12), (w20, w21, w22) = layer.weights * form.gain
    words = [
        pack(w00, w10),
        pack(w11, w01),
        pack(w02, w12),
        pack(w21, w20),
        pack(w22, w02),
        layer.sums.bias * form.gain,
    ]
    return _records(words, form)


def _records(words: list[Int64Array], form: Form) -> npt.NDArray[np.int32]:
    """Words [O] each, then the form's, by channel."""
    return np.column_stack([*words, form.records]).astype(np.int32).ravel()


def pack(low: Int64Array, high: Int64Array) -> Int64Array:
    """Words of two int16 each, as int32 values."""
    return high * 65536 + (low & 0xFFFF)
