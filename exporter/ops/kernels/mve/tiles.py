"""What the Helium kernels of CONV_2D and FULLY_CONNECTED share: tiles of pixels by channels.

A tile multiplies the windows of four pixels, or of one, with the weights of all output channels.
A window is a number of segments, each contiguous bytes of the input; 16 bytes are a block. Weights
and the words that requantisation needs are one stream, in the order of reading.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporter.ops.arithmetic import Rounding
from exporter.ops.candidate import Constant, MicroKernel, Param
from exporter.ops.linear import Accumulator, Requantization

BLOCK = 16
ANOTHER_PAIR, LAST_IS_SINGLE = 1 << 8, 1 << 9
UNROLLED_BLOCKS = 9
LARGEST_OFFSET = 2**16 - 1
LARGEST_VECTOR_OFFSET = 508


@dataclass(frozen=True)
class Form:
    """How sums become int8, as literals of the micro-kernels' assembly.

    left: some channel shifts to the left before its multiplication; ties: which channels need ties
    below zero corrected, see mve/_asm.j2; range: the activation clamps tighter than int8 does.
    """

    left: bool
    ties: str
    range: bool

    @property
    def params(self) -> tuple[tuple[str, Param], ...]:
        return (("left", self.left), ("ties", self.ties), ("range", self.range))

    @property
    def label(self) -> str:
        """For the names of C functions."""
        parts = ["left"] * self.left + [f"ties_{self.ties}"] * (self.ties != "none")
        return "".join(f"_{part}" for part in [*parts, *(["range"] * self.range)])

    @property
    def text(self) -> str:
        """For reports."""
        ties = {"none": "rounded up, ties below zero are clamped", "all": "ties corrected"}
        return ties.get(self.ties, "ties corrected where shifted")

    @property
    def instructions(self) -> int:
        """Of requantising eight sums, beside those of the plain form."""
        return 4 * self.left + {"none": 0, "all": 4, "some": 8}[self.ties] + 6 * self.range


def form_of(requantization: Requantization) -> Form | None:
    """The cheapest exact form; None where the dialect rounds once, which needs wider products.

    VRSHL rounds ties up, TFLite away from zero. They differ below zero only, where an activation
    that clamps at the zero point or above leaves nothing to see.
    """
    if requantization.rounding is Rounding.SINGLE:
        return None
    shifts = [multiplier.shift for multiplier in requantization.multipliers]
    ties = "all" if max(shifts) < 0 else "some"
    if requantization.low >= requantization.zero_point or min(shifts) >= 0:
        ties = "none"
    limits = (requantization.low, requantization.high)
    return Form(left=max(shifts) > 0, ties=ties, range=limits != (-128, 127))


def shift_words(requantization: Requantization) -> npt.NDArray[np.int64]:
    """Per channel: bits 0 to 7 the shift to the left (negative: right), 16 to 23 that before."""
    shifts = np.array([m.shift for m in requantization.multipliers], np.int64)
    right, left = np.minimum(shifts, 0), np.maximum(shifts, 0)
    return (right & 0xFF) | left << 16 | (right < 0).astype(np.int64) << 31


def records(
    sums: Accumulator, requantization: Requantization, channels_at_once: int
) -> npt.NDArray[np.int32]:
    """int32 [pairs, 6]: biases, multipliers and shifts of two channels, and what follows them.

    A single last channel is there twice. Reading ends after each `channels_at_once`.
    """
    channels = len(sums.bias)
    order = [*range(channels), *([channels - 1] * (channels % 2))]
    mantissas = np.array([m.mantissa for m in requantization.multipliers], np.int64)
    words = np.stack([sums.bias, mantissas, shift_words(requantization)])[:, order]
    table = words.reshape(3, -1, 2).transpose(1, 0, 2).reshape(-1, 6)
    for pair in range(len(table) - 1):
        if (pair + 1) % -(-channels_at_once // 2):
            single = channels % 2 and pair == len(table) - 2
            table[pair, 5] |= LAST_IS_SINGLE if single else ANOTHER_PAIR
    signed: npt.NDArray[np.int32] = table.astype(np.uint64).astype(np.uint32).view(np.int32)
    return signed


def stream(
    weights: npt.NDArray[np.int8], sums: Accumulator, requantization: Requantization
) -> Constant:
    """Weights [O, segments, bytes] and records, as mve/micro/tile_4x2 reads them."""
    channels, segments, length = weights.shape
    blocks = -(-length // BLOCK)
    padded = np.zeros((channels + channels % 2, segments, blocks * BLOCK), np.int8)
    padded[:, :, :length] = weights[[*range(channels), *([channels - 1] * (channels % 2))]]
    pairs = padded.reshape(-1, 2, segments, blocks, BLOCK).transpose(0, 2, 3, 1, 4)
    return stream_of(
        pairs.reshape(len(pairs), -1),
        records(sums, requantization, channels),
        f"[{segments}][{blocks}][2][16]",
    )


def stream_of(weights: npt.NDArray[np.int8], table: npt.NDArray[np.int32], shape: str) -> Constant:
    """Weights [pairs, bytes] of `shape` with the record of each pair behind them."""
    words = np.ascontiguousarray(weights).view(np.int32)
    return Constant(
        "stream",
        np.concatenate([words, table], axis=1).ravel(),
        f"[{len(table)}] pairs of channels: int8 weights {shape}, two biases, two multipliers, "
        "two shifts",
    )


def output_form(channels: int, requantization: Requantization) -> tuple[int, ...] | None:
    """The `form` of the tiles for pixels `channels` bytes apart; None where they are too far."""
    if 3 * channels + 1 > LARGEST_OFFSET:
        return None
    pair = [pixel * channels + channel for pixel in range(4) for channel in range(2)]
    single = [pixel * channels for pixel in range(4) for _ in range(2)]
    offsets = single * 2 if channels == 1 else pair + single
    signed = [offset - 2**16 if offset >= 2**15 else offset for offset in offsets]
    return (*signed, requantization.zero_point, requantization.low, requantization.high)


def tile(template: str, segments: int, length: int, form: Form) -> MicroKernel:
    """A micro-kernel `tile_4x2` or `tile_1x8` for windows of `segments` times `length` bytes."""
    return MicroKernel(
        template=f"mve/micro/{template}",
        name=f"{template}_{segments}x{length}{form.label}",
        params=(
            ("segments", segments),
            ("blocks", length // BLOCK),
            ("tail", length % BLOCK),
            *form.params,
        ),
    )


def pixel_counts(columns: int) -> tuple[int, ...]:
    """Pixels of the kinds of tiles that a row of `columns` takes."""
    return (4,) * (columns >= 4) + (1,) * (columns % 4 > 0)


def tiles_for(columns: int, segments: int, length: int, form: Form) -> tuple[MicroKernel, ...]:
    """The tiles that a row of `columns` takes, the larger first."""
    templates = {4: "tile_4x2", 1: "tile_1x8"}
    return tuple(
        tile(templates[pixels], segments, length, form) for pixels in pixel_counts(columns)
    )


def column_tile(kernel: tuple[int, int], depth: int, form: Form) -> MicroKernel | None:
    """`tile_columns` for windows next to each other; None where registers or offsets do not reach.

    Three registers hold rows; a vector is loaded from 508 bytes away at most.
    """
    kernel_h, kernel_w = kernel
    farthest = max((kernel_w + 2) * depth + depth - BLOCK, 2 * kernel_w * depth - BLOCK)
    if kernel_h > 3 or kernel_w == 1 or depth % BLOCK or farthest > LARGEST_VECTOR_OFFSET:
        return None
    return MicroKernel(
        template="mve/micro/tile_columns",
        name=f"tile_columns_{kernel_h}x{kernel_w}x{depth}{form.label}",
        params=(
            ("segments", kernel_h),
            ("kernel_w", kernel_w),
            ("depth", depth),
            *form.params,
        ),
    )


def column_tile_instructions(kernel: tuple[int, int], depth: int, channels: int, form: Form) -> int:
    """Of one call, measured."""
    rows = kernel[0] * (1 + depth // BLOCK * (3 + 11 * kernel[1]))
    return 40 + -(-channels // 2) * (rows + 20 + form.instructions)


def tile_instructions(segments: int, length: int, channels: int, form: Form) -> tuple[int, int]:
    """Of one call of tile_4x2 and of one call of tile_1x8, measured."""
    blocks = segments * -(-length // BLOCK)
    tails = segments * (length % BLOCK > 0)
    looped = blocks > UNROLLED_BLOCKS
    overhead = 3 * segments * (segments > 1) + looped * (3 + segments * 2 + blocks // 2)
    pair = 14 * blocks + tails + 20 + form.instructions + overhead
    if blocks == 1 and form.ties == "none":
        pair -= 4 + tails
    group = 17 * blocks + 2 * tails + 41 + form.instructions + 2 * segments + looped * blocks // 2
    return 40 + -(-channels // 2) * pair, 35 + -(-channels // 8) * group
