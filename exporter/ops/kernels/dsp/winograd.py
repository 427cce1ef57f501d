"""CONV_2D k x 3, stride 1 along x, by Winograd's F(2,3) and F(4,3): fewer products, all integers.

For a row of three taps g, two neighbouring outputs are sums of four products, four are sums of six,
where a plain sum takes six and twelve (Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks", 2016). Here both are multiplied by what makes every factor an integer: F(2,3) by 2,
F(4,3) by 24. The equations stand in the micro-kernels.

Weights take 8/3 and 4 bytes each. Sums of single positions may wrap around; those of outputs are
proven to fit, and integers modulo 2^32 are all the same. So is the division by 3 that F(4,3) ends
with: a product with the inverse of 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from exporter.ops.candidate import Candidate, Constant, MicroKernel
from exporter.ops.kernels.dsp.requantize import Form, cheapest
from exporter.ops.kernels.dsp.tiles import stream, tile_kernel
from exporter.ops.kernels.linear import spatial
from exporter.ops.layers import SpatialLayer

Int64Array = npt.NDArray[np.int64]

CHANNELS = 4
"""Output channels of a tile."""
TILES = 2


def transform_2(weights: Int64Array) -> Int64Array:
    """[O,KH,3,I] to [O,4,KH,I]: the factors of m1, m2, m0 and -m3."""
    g0, g1, g2 = (weights[:, :, tap] for tap in range(3))
    return np.stack([g0 + g1 + g2, g0 - g1 + g2, 2 * g0, -2 * g2], axis=1)


def transform_4(weights: Int64Array) -> Int64Array:
    """[O,KH,3,I] to [O,6,KH,I]: the factors of m1 to m4, m0 and m5."""
    g0, g1, g2 = (weights[:, :, tap] for tap in range(3))
    return np.stack(
        [
            -4 * (g0 + g1 + g2),
            -4 * (g0 - g1 + g2),
            g0 + 2 * g1 + 4 * g2,
            g0 - 2 * g1 + 4 * g2,
            6 * g0,
            24 * g2,
        ],
        axis=1,
    )


@dataclass(frozen=True)
class Scheme:
    """F(outputs, 3). Sums come out `factor` times as large, and reach the requantisation `gain`
    times as large: what is between the two is an exact division at the end.
    """

    outputs: int
    transform: Callable[[Int64Array], Int64Array]
    factor: int
    gain: int
    blocks: tuple[int, ...]
    """Positions before each copy of the records in the stream."""
    fixed_instructions: tuple[int, int]
    """Outside the inner loops, for two tiles and four channels: scaled, shifted."""
    pack_instructions: int
    """For two tiles and four channels of one input row."""

    @property
    def positions(self) -> int:
        return self.outputs + 2

    @property
    def pixels(self) -> int:
        return TILES * self.outputs


SCHEMES = (
    Scheme(2, transform_2, 2, 2, (3, 1), (116, 150), 50),
    Scheme(4, transform_4, 24, 8, (4, 1, 1), (395, 490), 160),
)


def candidates(layer: SpatialLayer) -> tuple[Candidate, ...]:
    return tuple(
        candidate
        for scheme in SCHEMES
        if _fits(layer, scheme)
        for candidate in _candidates(layer, scheme)
    )


def _fits(layer: SpatialLayer, scheme: Scheme) -> bool:
    horizontal = layer.horizontal
    return (
        horizontal.size == 3
        and horizontal.stride == horizontal.dilation == 1
        and horizontal.output % scheme.pixels == 0
        and layer.depth % 4 == 0
        and layer.channels % CHANNELS == 0
    )


def _candidates(layer: SpatialLayer, scheme: Scheme) -> Iterator[Candidate]:
    transformed = scheme.transform(layer.weights.astype(np.int64))
    flat = transformed.reshape(layer.channels, -1)
    form = cheapest(layer.requantization, layer.sums, flat, scheme.gain)
    if form is not None and np.all(layer.sums.magnitude * _factor(scheme, form) < 2**31):
        yield _candidate(layer, scheme, transformed, form)


def _factor(scheme: Scheme, form: Form) -> Int64Array:
    """By how much the sums of each channel are multiplied, int64 [O]."""
    return form.gain // _own_gain(scheme, form) * scheme.factor


def _own_gain(scheme: Scheme, form: Form) -> int:
    """The shifted form wants a gain of 2; where there is more, the kernel shifts it away."""
    return 2 if form.name == "shifted" else scheme.gain


def pack(
    layer: SpatialLayer, scheme: Scheme, transformed: Int64Array, form: Form
) -> npt.NDArray[np.int32]:
    """The stream of `dsp/micro/winograd<outputs>_2x4`, a record per four channels."""
    channels, positions = transformed.shape[:2]
    gained = transformed * (form.gain // _own_gain(scheme, form))[:, None, None, None]
    # Of four channels of the input the pairs are (0, 2), (1, 3).
    quads = gained.reshape(channels, positions, -1, 4)
    words = (quads[..., :2] & 0xFFFF | quads[..., 2:] << 16).reshape(channels, positions, -1)
    biases = layer.sums.bias * _factor(scheme, form)
    parts = []
    for first in range(0, channels, CHANNELS):
        four = slice(first, first + CHANNELS)
        blocks = words[four].transpose(1, 2, 0)  # [position, pair, channel]
        parts.append(biases[four])
        start = 0
        for count in scheme.blocks:
            parts += [blocks[start : start + count].ravel(), form.records[four].ravel()]
            start += count
    return stream(parts)


def _candidate(
    layer: SpatialLayer, scheme: Scheme, transformed: Int64Array, form: Form
) -> Candidate:
    vertical, horizontal = layer.vertical, layer.horizontal
    kernel_h, depth, channels = layer.weights.shape[1], layer.depth, layer.channels
    pairs = kernel_h * depth // 2
    weights = pack(layer, scheme, transformed, form)
    stem = f"winograd{scheme.outputs}"
    tile = tile_kernel(f"{stem}_2x4", form, layer.requantization)
    plain = spatial(layer, "dsp/conv_2d_winograd")
    return replace(
        plain,
        name=f"{plain.name}_{stem}",
        params={
            "outputs": scheme.outputs,
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
                f"of {channels} channels four by four: biases, int16 pairs [position][{pairs}][4] "
                f"of F({scheme.outputs},3), {form.name} records; input zero point folded in",
            ),
        ),
        micro_kernels=(
            MicroKernel(f"dsp/micro/{stem}_pack_2", f"nano_dsp_{stem}_pack_2"),
            tile,
        ),
        scratch_bytes=pairs * scheme.positions * TILES * 4,
        instructions=_instructions(layer, scheme, pairs, form),
        choice=f"Winograd F({scheme.outputs},3), {form.text}",
    )


def _instructions(layer: SpatialLayer, scheme: Scheme, pairs: int, form: Form) -> int:
    """Estimate for the layer."""
    loops = scheme.positions * (11 * pairs + 2 + 3 * -(-pairs // 8))
    four = loops + scheme.fixed_instructions[form.name == "shifted"]
    kernel_h = layer.weights.shape[1]
    pack_row = layer.depth // 4 * scheme.pack_instructions + 20
    group = layer.channels // CHANNELS * four + kernel_h * pack_row + 40
    return layer.output.elements // layer.channels // scheme.pixels * group
