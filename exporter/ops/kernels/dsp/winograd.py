"""CONV_2D k x 3 with stride 1 along x by Winograd's F(2,3): a third fewer products, all integers.

For a row of three taps g and four inputs d, two neighbouring outputs are sums and differences of
four products (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016), here
doubled so that nothing is divided:

    m0 = (d0 - d2) * 2 g0    m1 = (d1 + d2) * (g0 + g1 + g2)
    m3 = (d1 - d3) * 2 g2    m2 = (d2 - d1) * (g0 - g1 + g2)
    2 y0 = m0 + m1 + m2      2 y1 = m1 - m2 - m3

Weights take 8/3 bytes each. Sums of single positions may wrap around; those of outputs are proven
to fit, and integers modulo 2^32 are all the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from exporter.ops.candidate import Candidate, Constant, MicroKernel, Rows
from exporter.ops.kernels.dsp.requantize import DspRequantization, scaled, shifted
from exporter.ops.kernels.dsp.tiles import HALVES, stream, tile_kernel
from exporter.ops.kernels.packing import padding_ring
from exporter.ops.layers import SpatialLayer

Int64Array = npt.NDArray[np.int64]

PACK = MicroKernel("dsp/micro/winograd_pack_2", "nano_dsp_winograd_pack_2")
PIXELS = 4
CHANNELS = 4


def candidates(layer: SpatialLayer) -> tuple[Candidate, ...]:
    horizontal = layer.horizontal
    fits = (
        horizontal.size == 3
        and horizontal.stride == horizontal.dilation == 1
        and horizontal.output % PIXELS == 0
        and layer.depth % 4 == 0
        and layer.channels % CHANNELS == 0
    )
    if not fits:
        return ()
    transformed = transform(layer.weights.astype(np.int64))
    # The sums come out doubled already: one factor of two less is left for the weights.
    largest = (np.abs(transformed).max(axis=(1, 2, 3)) + 1) // 2
    chosen = scaled(layer.requantization, layer.sums, largest)
    form = chosen if not isinstance(chosen, str) else None
    form = form or shifted(layer.requantization, layer.sums, str(chosen))
    return () if form is None else (_candidate(layer, transformed, form),)


def transform(weights: Int64Array) -> Int64Array:
    """[O,KH,3,I] to [O,4,KH,I]: the factors of m1, m2, m0 and -m3, doubled."""
    g0, g1, g2 = (weights[:, :, tap] for tap in range(3))
    return np.stack([g0 + g1 + g2, g0 - g1 + g2, 2 * g0, -2 * g2], axis=1)


def pack(
    layer: SpatialLayer, transformed: Int64Array, form: DspRequantization
) -> npt.NDArray[np.int32]:
    """The stream of `dsp/micro/winograd_2x4`, a record per four channels."""
    channels, positions = transformed.shape[:2]
    gained = transformed * (form.gain // 2)[:, None, None, None]
    # Of four channels of the input the pairs are (0, 2), (1, 3).
    quads = gained.reshape(channels, positions, -1, 4)
    words = (quads[..., :2] & 0xFFFF | quads[..., 2:] << 16).reshape(channels, positions, -1)
    biases = layer.sums.bias * form.gain
    parts = []
    for first in range(0, channels, CHANNELS):
        four = slice(first, first + CHANNELS)
        blocks = words[four].transpose(1, 2, 0)  # [position, pair, channel]
        records = form.records[four].ravel()
        parts += [biases[four], blocks[:3].ravel(), records, blocks[3].ravel(), records]
    return stream(parts)


def _candidate(layer: SpatialLayer, transformed: Int64Array, form: DspRequantization) -> Candidate:
    vertical, horizontal = layer.vertical, layer.horizontal
    kernel_h, depth, channels = layer.weights.shape[1], layer.depth, layer.channels
    pairs = kernel_h * depth // 2
    weights = pack(layer, transformed, form)
    tile = tile_kernel("winograd_2x4", form, layer.requantization)
    because = f" ({form.reason})" if form.reason else ""
    groups = layer.output.elements // channels // PIXELS
    return Candidate(
        kernel="dsp/conv_2d_winograd",
        name=f"conv_2d_{kernel_h}x3_{depth}x{channels}_winograd",
        inputs=(Rows(vertical.input, horizontal.input * depth),),
        output=Rows(vertical.output, horizontal.output * channels),
        params={
            "columns": horizontal.output,
            "depth": depth,
            "channels": channels,
            "kernel_h": kernel_h,
            "dilation_h": vertical.dilation,
            "pairs": pairs,
            "tile": tile.name,
            "weights_words": weights.size,
            "margin_bytes": horizontal.before * depth,
        },
        constants=(
            Constant(
                "weights",
                weights,
                f"of {channels} channels four by four: biases, int16 pairs [m1,m2,m0][{pairs}][4], "
                f"{form.form} records, [-m3][{pairs}][4], the records; input zero point folded in",
            ),
        ),
        window=vertical.window,
        ring=padding_ring(vertical, horizontal, depth, layer.source.zero_point),
        images=layer.images,
        micro_kernels=(HALVES, PACK, tile),
        scratch_bytes=pairs * 4 * 2 * 4,
        instructions=groups * _group_instructions(kernel_h, depth, channels, form),
        choice=f"Winograd F(2,3), int16 weights, {form.form} requantisation{because}",
    )


def _group_instructions(kernel_h: int, depth: int, channels: int, form: DspRequantization) -> int:
    """Estimate for four pixels."""
    pairs = kernel_h * depth // 2
    four = 44 * pairs + 4 * (2 + 3 * -(-pairs // 8)) + (108 if form.form == "scaled" else 150)
    return channels // CHANNELS * four + kernel_h * (depth // 4 * 50 + 20) + 40
