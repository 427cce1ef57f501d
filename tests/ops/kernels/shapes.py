"""Models of one layer that reach every kernel, micro-kernel and way through them, by operator.

Whole tiles and what is beside them, every tail, odd channels, one channel, column or row, strides,
dilations, both paddings, batches, extremes (weights of -128 and 127, zero points at both ends,
saturating sums), every activation, and random models.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from itertools import product

import numpy as np

from tests import random_layers as layers
from tests.flatbuffer_builder import ModelBuilder
from tests.ops import test_depthwise_conv_2d as depthwise_models
from tests.ops import test_transpose as transpose_models
from tests.ops.kernels.layers import (
    POOLS,
    STYLES,
    additive,
    constant_pool,
    conv,
    depthwise,
    drawn,
    linear,
    mean,
    multiplied,
    named,
    padded,
    pool,
    random_dense,
    softmax,
    table,
    tied,
    wide_pool,
)
from tests.random_layers import Style

# Input [H,W,I], filters, kernel, stride, dilation: whole tiles and what is beside them, segments of
# every length modulo 4, more pairs than a loop unrolls and fewer, odd channels.
TILES = (
    ((4, 4, 4), 4, (1, 1), (1, 1), (1, 1)),
    ((5, 5, 8), 6, (1, 1), (1, 1), (1, 1)),
    ((3, 3, 36), 2, (1, 1), (1, 1), (1, 1)),
    ((1, 1, 64), 10, (1, 1), (1, 1), (1, 1)),
    ((6, 8, 3), 8, (3, 3), (2, 2), (1, 1)),
    ((6, 9, 1), 4, (5, 3), (1, 1), (1, 1)),
    ((7, 6, 2), 3, (3, 3), (1, 1), (1, 1)),
    ((4, 8, 4), 4, (3, 3), (1, 1), (1, 1)),
    ((3, 12, 12), 8, (3, 3), (1, 1), (1, 1)),
    ((5, 8, 8), 4, (1, 3), (2, 1), (1, 1)),
    ((9, 8, 4), 12, (5, 3), (1, 1), (2, 1)),
    ((7, 7, 5), 5, (3, 3), (1, 1), (2, 2)),
    ((9, 1, 6), 7, (4, 1), (1, 1), (1, 1)),
    ((6, 6, 16), 4, (5, 5), (1, 1), (1, 1)),
)

# Input [N,H,W,I], filters, kernel: blocks of 16 inputs and rests, looped and unrolled.
BLOCKS = (
    ((1, 2, 5, 16), 8, (1, 1)),
    ((1, 3, 3, 5), 3, (1, 1)),
    ((1, 2, 4, 144), 4, (1, 1)),
    ((1, 2, 3, 160), 5, (1, 1)),
    ((1, 1, 5, 145), 2, (1, 1)),
    ((1, 5, 9, 3), 8, (3, 3)),
    ((1, 12, 6, 1), 9, (10, 4)),
    ((1, 5, 6, 7), 1, (5, 5)),
    ((1, 5, 7, 16), 7, (3, 3)),
    ((2, 4, 9, 32), 4, (3, 3)),
    ((1, 3, 6, 64), 2, (2, 3)),
    ((1, 4, 6, 48), 3, (3, 2)),
    ((1, 4, 5, 128), 2, (3, 3)),
    ((1, 1, 8, 16), 6, (1, 4)),
)

STRIDES = ((1, 1), (2, 2), (2, 1), (1, 2))

# Rows per call, whole or looped rows, tails, strips, no words.
THREE_BY_THREE = (
    (5, 5, 4),
    (7, 3, 8),
    (3, 3, 16),
    (6, 13, 3),
    (9, 9, 4),
    (4, 7, 5),
    (5, 44, 4),
    (4, 1, 4),
)

# Heights of either parity, with and without rows that share their pairs.
OTHER_KERNELS = ((5, 5), (2, 2), (4, 3), (1, 4), (3, 1), (7, 1), (6, 2), (8, 1), (2, 4), (3, 3))
WIDTHS = ((5, 8), (6, 11))

# Input [N,H,W,C], kernel: several chunks of columns and blocks of channels.
CHUNKS = (
    ((1, 4, 5, 16), (3, 3)),
    ((1, 5, 4, 17), (3, 3)),
    ((2, 3, 3, 32), (3, 3)),
    ((1, 3, 2, 1), (3, 3)),
    ((1, 3, 61, 5), (3, 3)),
    ((1, 6, 3, 3), (3, 1)),
    ((1, 2, 7, 18), (1, 3)),
    ((1, 4, 1, 8), (3, 3)),
    ((1, 7, 6, 9), (5, 5)),
    ((1, 12, 2, 4), (9, 1)),
    ((1, 3, 45, 2), (5, 5)),
    ((1, 2, 9, 6), (1, 7)),
)

# Batch, depth, units: beside the tiles and the blocks; loops and straight lines.
DENSE = ((1, 640, 9), (1, 64, 10), (1, 8, 16), (1, 5, 1), (2, 37, 7), (4, 32, 2), (7, 200, 3))

# Shape, permutation: blocks and beside them, even and odd steps, matrices in loops, steps too large
# for an offset; runs of one, two and more words, halfwords and bytes.
TRANSPOSES = (
    ((4, 4), (1, 0)),
    ((3, 8, 5), (0, 2, 1)),
    ((16, 16), (1, 0)),
    ((17, 19), (1, 0)),
    ((35, 21), (1, 0)),
    ((20, 34), (1, 0)),
    ((3, 37), (1, 0)),
    ((37, 3), (1, 0)),
    ((5, 18, 20), (2, 1, 0)),
    ((2, 21, 3, 18), (3, 2, 1, 0)),
    ((4, 16, 18), (0, 2, 1)),
    ((2, 2050), (1, 0)),
    ((2050, 2), (1, 0)),
    ((3, 5, 4), (1, 0, 2)),
    ((4, 3, 2, 8), (2, 1, 0, 3)),
    ((3, 7, 6), (1, 0, 2)),
    ((3, 4, 3), (1, 0, 2)),
    ((2, 3, 80), (1, 0, 2)),
    ((6, 7), (0, 1)),
)

# Operands that broadcast to the shape of the left one: every tail of eight elements.
PRODUCTS = (
    ((1, 64), (1, 64)),
    ((1, 71), (1, 71)),
    ((9, 10), (10,)),
    ((3, 4, 9), (4, 9)),
    ((2, 3, 13), (2, 1, 13)),
    ((1, 66), (1, 66)),
    ((5, 15), (15,)),
    ((1, 75), (1, 75)),
)

# Inputs that stay in one piece: rows before and behind, before alone, behind alone, odd lengths.
BORDERS = (
    ((1, 9, 8, 4), ((0, 0), (2, 3), (0, 0), (0, 0))),
    ((1, 7, 5, 3), ((0, 0), (1, 0), (0, 0), (0, 0))),
    ((1, 50), ((0, 0), (0, 21))),
    ((67,), ((5, 9),)),
)

WITHOUT_WEIGHTS = (
    "CONCATENATION",
    "LOGISTIC",
    "PAD",
    "PADV2",
    "QUANTIZE",
    "RELU",
    "RELU6",
    "RELU_N1_TO_1",
    "SLICE",
    "SOFTMAX",
    "STRIDED_SLICE",
    "TANH",
)


@cache
def conv_2d() -> dict[str, bytes]:
    models = {}
    for tile in TILES:
        for style in STYLES:
            for padding, activation in (("SAME", "RELU"), ("SAME", "NONE"), ("VALID", "RELU6")):
                if padding == "SAME" or _fits(tile):
                    name = f"{tile} {style} {padding} {activation}"
                    models[name] = _tile(tile, style, padding, activation)
    blocks = [conv(*size, seed=seed) for seed, size in enumerate(BLOCKS * 2)] + [
        conv((1, 9, 9, 16), 4, (3, 3), 30, stride=(2, 2)),
        conv((1, 9, 9, 8), 5, (3, 3), 31, stride=(1, 3), padding="VALID"),
        conv((1, 9, 9, 3), 4, (3, 3), 32, dilation=(2, 2)),
        conv((1, 9, 9, 16), 2, (3, 1), 33, dilation=(3, 1)),
        conv((3, 9, 1, 24), 2, (3, 1), 34, stride=(2, 1)),
    ]
    ends = [
        conv((1, 4, 5, 16 + seed % 3), 3, (3, 3), seed | 1, zero_point=zero_point)
        for zero_point in (-128, 127)
        for seed in range(0, 16, 2)
    ]
    return models | named(blocks, "blocks") | named(ends, "ends") | drawn(["CONV_2D"], range(24))


Tile = tuple[tuple[int, int, int], int, tuple[int, int], tuple[int, int], tuple[int, int]]


def _fits(tile: Tile) -> bool:
    (h, w, _), _, kernel, _, dilation = tile
    return h > (kernel[0] - 1) * dilation[0] and w > (kernel[1] - 1) * dilation[1]


def _tile(tile: Tile, style: Style, padding: str, activation: str) -> bytes:
    size, filters, kernel, stride, dilation = tile
    rng = np.random.default_rng([TILES.index(tile), len(style), len(padding), len(activation)])
    builder = ModelBuilder()
    zero_point = -128 if activation == "RELU" else layers.zero_point(rng, style)
    x = builder.tensor("x", (1, *size), scale=layers.scale(rng), zero_point=zero_point)
    y = layers.conv_2d(
        builder, rng, x, filters, kernel, stride, dilation, padding, activation, style=style
    )
    return builder.finish([x], [y])


@cache
def depthwise_conv_2d() -> dict[str, bytes]:
    chunks = [depthwise(*size, seed) for seed, size in enumerate(CHUNKS * 2)] + [
        depthwise((1, 7, 9, 16), (3, 3), 30, stride=(2, 2)),
        depthwise((1, 8, 8, 21), (3, 3), 31, stride=(2, 2), padding="VALID"),
        depthwise((1, 6, 6, 2), (3, 3), 32, stride=(2, 2)),
        depthwise((1, 9, 9, 5), (3, 3), 33, dilation=(2, 2)),
        depthwise((1, 5, 80, 4), (4, 4), 34, stride=(1, 2)),
        depthwise((1, 8, 3, 7), (3, 3), 35, stride=(3, 1)),
    ]
    ends = [
        depthwise((1, 4, 5, 3), (3, 3), seed | 1, zero_point=zero_point)
        for zero_point in (-128, 127)
        for seed in range(0, 16, 2)
    ]
    models = three_by_three() | other_kernels() | extreme_depthwise()
    models["batch"] = depthwise_models.depthwise((3, 5, 6, 4), activation="RELU")
    models |= named(chunks, "chunks") | named(ends, "ends")
    return models | drawn(["DEPTHWISE_CONV_2D"], range(100, 124))


def three_by_three() -> dict[str, bytes]:
    return {
        f"3x3 {size} by {stride} {padding}": depthwise_models.depthwise(
            (1, *size), kernel=(3, 3), stride=stride, padding=padding, activation="RELU",
            seed=sum(size), zero_point=-128 if size[2] == 4 else 5,
        )
        for size in THREE_BY_THREE
        for stride in STRIDES
        for padding in ("SAME", "VALID")
        if padding == "SAME" or size[1] >= 3
    }  # fmt: skip


def other_kernels(part: int = 0) -> dict[str, bytes]:
    """Part 0: each pair of kernel, stride and width once or more; with part 1: all three by all."""
    return {
        f"{kernel} by {stride} {width} columns": depthwise_models.depthwise(
            (1, 10, width, 4 if width % 2 else 6), kernel=kernel, stride=stride,
            activation="RELU" if width < 7 else "NONE", seed=width + sum(kernel),
        )
        for k, kernel in enumerate(OTHER_KERNELS)
        for s, stride in enumerate((*STRIDES, (3, 3)))
        for width in WIDTHS[(k + s + part) % 2]
    }  # fmt: skip


@cache
def more_of_depthwise_conv_2d() -> dict[str, bytes]:
    """What `depthwise_conv_2d` leaves to the long tests."""
    return other_kernels(1)


def extreme_depthwise() -> dict[str, bytes]:
    """Weights of -128, zero points at both ends, scales far apart, channels that are constant."""
    return {
        f"{kernel} {zero_point} {activation} seed {seed}": depthwise_models.depthwise(
            (1, 5, 6, 8), kernel=kernel, zero_point=zero_point, style="extreme", seed=seed,
            activation=activation,
        )
        for kernel in ((3, 3), (5, 5))
        for zero_point in (-128, 127)
        for activation in ("RELU", "NONE", "RELU_N1_TO_1")
        for seed in range(3)
    }  # fmt: skip


@cache
def fully_connected() -> dict[str, bytes]:
    blocks = [
        linear("fully_connected", (batch, depth), units, seed=seed, per_channel=seed % 3 == 0)
        for seed, (batch, depth, units) in enumerate(DENSE * 3)
    ]
    random = named(map(random_dense, range(40)), "dense")
    return named(blocks, "blocks") | random | drawn(["FULLY_CONNECTED"], range(24))


@cache
def pooling() -> dict[str, bytes]:
    """And TRANSPOSE, which moves bytes as pooling does: by words."""
    models = {
        f"{operation} over {size}": constant_pool(operation, size)
        for operation in POOLS
        for size in (15, 16)
    }
    models |= named(map(pool, range(1, 31)), "pool") | named(map(mean, range(1, 16)), "mean")
    models |= {f"{case}": transpose_models.transpose(*case) for case in TRANSPOSES}
    models |= named(map(wide_pool, range(16)), "wide pool")
    return models | drawn([*POOLS, "MEAN", "TRANSPOSE"], range(10))


@cache
def elementwise() -> dict[str, bytes]:
    kinds = [(kind, elements) for elements in (1, 7, 8, 16, 33, 250) for kind in ("ADD", "SUB")]
    shapes = [additive(kind, elements, seed) for seed, (kind, elements) in enumerate(kinds)]
    ties = [
        tied(number, *case)
        for number, case in enumerate(
            product(
                ("ADD", "SUB"),
                ("NONE", "RELU"),
                ((-5, 7, 3), (-128, 127, -128), (127, -128, 127)),
            )
        )
    ]
    products = [multiplied(*operands, seed) for seed, operands in enumerate(PRODUCTS)]
    models = named(shapes, "elements") | named(ties, "ties") | named(products, "products")
    return models | drawn(["ADD", "SUB", "MUL"], range(20))


@cache
def others() -> dict[str, bytes]:
    tables = [table(elements, elements) for elements in (1, 15, 16, 33)]
    rows = [
        softmax(*size, seed) for seed, size in enumerate(((1, 33), (4, 17), (3, 160), (1, 300)))
    ]
    borders = [
        padded(shape, paddings, value, seed)
        for seed, (shape, paddings) in enumerate(BORDERS)
        for value in (None, -128, 127)
    ]
    return (
        named(tables, "table")
        | named(rows, "softmax")
        | named(borders, "border")
        | drawn(WITHOUT_WEIGHTS, range(6))
    )


Groups = dict[str, Callable[[], dict[str, bytes]]]

GROUPS: Groups = {
    "conv_2d": conv_2d,
    "depthwise_conv_2d": depthwise_conv_2d,
    "fully_connected": fully_connected,
    "pooling": pooling,
    "elementwise": elementwise,
    "others": others,
}
MORE: Groups = {"depthwise_conv_2d": more_of_depthwise_conv_2d}
"""What the long tests add."""


def half_of(name: str) -> int:
    """0 or 1: which half of its group a model is in. Either reaches every template (test_reach)."""
    return zlib.crc32(name.encode()) & 1
