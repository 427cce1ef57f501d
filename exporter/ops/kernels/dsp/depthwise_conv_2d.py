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
from exporter.ops.kernels.dsp.depthwise_requantization import Scaled, scaled
from exporter.ops.layers import SpatialLayer

Int64Array = npt.NDArray[np.int64]

PAIRS_BYTES = 1024
"""Scratch for pairs beyond which the columns are done in strips."""
WHOLE_COLUMNS = 6
"""Rows of at most this many outputs are unrolled whole."""
LARGEST_OFFSET = 4095
"""What a load or store can add to its base register."""


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
    plain = layer.vertical.dilation == layer.horizontal.dilation == 1
    if layer.channels != layer.depth or not plain or layer.target.optimize == "size":
        return ()
    offers = (_three_by_three(layer),)
    return tuple(offer for offer in offers if offer is not None)


def _three_by_three(layer: SpatialLayer) -> Candidate | None:
    """All nine weights of a channel in registers, each column of pairs read once."""
    form = scaled(layer)
    horizontal, channels = layer.horizontal, layer.channels
    fits = layer.weights.shape[:2] == (3, 3) and horizontal.stride <= 2
    if form is None or not fits or channels > LARGEST_OFFSET // 4:
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
        f"pairs of rows, {form.text}",
    )


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
        "low": layer.requantization.low,
        "high": layer.requantization.high,
    }
    words = channels % 4 == 0
    prepare = "depthwise_pairs" if words else "depthwise_pairs_1"
    micro = MicroKernel(
        f"dsp/micro/{prepare}", f"{prepare}_of_{blocking.pairs}", (("pairs", blocking.pairs),)
    )
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


def _records_3x3(form: Scaled) -> npt.NDArray[np.int32]:
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
