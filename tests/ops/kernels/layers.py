"""Models of one layer for the tests of kernels, and what is chosen for one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from exporter.errors import BadInput
from exporter.ops.base import Target
from exporter.ops.candidate import Candidate
from tests import random_layers as layers
from tests import random_shape_layers as more
from tests.flatbuffer_builder import ModelBuilder
from tests.ops.harness import compile_graph
from tests.random_layers import Pair, Style
from tests.random_models import random_model

ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")
STYLES: tuple[Style, ...] = ("realistic", "extreme")
Shape = tuple[int, ...]
Pool = Literal["AVERAGE_POOL_2D", "MAX_POOL_2D"]
POOLS: tuple[Pool, ...] = ("AVERAGE_POOL_2D", "MAX_POOL_2D")

TARGETS = {
    "generic": Target(thumb2=True),
    "registers": Target(registers=31),
    "dsp": Target("dsp", thumb2=True),
    "mve": Target("mve", thumb2=True),
}
"""Armv7-M, RISC-V, Armv7E-M and Helium: together they are offered every kernel."""


def chosen(data: bytes, target: Target) -> Candidate:
    """The kernel of a model of one layer."""
    (step,) = compile_graph(data, replace(target, ram_for_time=0))[1].steps
    return step.candidate


def micro_kernels(candidate: Candidate) -> list[str]:
    """The templates of its micro-kernels, without their set's folder."""
    return [micro.template.rpartition("/")[2] for micro in candidate.micro_kernels]


def drawn(operators: Iterable[str], seeds: Iterable[int]) -> dict[str, bytes]:
    """Random models whose result is defined in the dialect tflite."""
    models = {
        f"{operator} seed {seed}": random_model(operator, seed)
        for seed in seeds
        for operator in operators
    }
    return {name: data for name, data in models.items() if _is_defined(data)}


def _is_defined(data: bytes) -> bool:
    try:
        compile_graph(data)
    except BadInput:
        return False
    return True


def named(models: Iterable[bytes], name: str) -> dict[str, bytes]:
    """Models by `name` and number."""
    return {f"{name} {number}": data for number, data in enumerate(models)}


def linear(
    operator: str,
    shape: Shape,
    *arguments: Any,
    seed: int = 0,
    zero_point: int | None = None,
    **options: Any,
) -> bytes:
    """`operator` of tests/random_layers.py on an input of `shape`, activation and style by seed."""
    rng, builder, style = np.random.default_rng(seed), ModelBuilder(), STYLES[seed % 2]
    zero = layers.zero_point(rng, style) if zero_point is None else zero_point
    x = builder.tensor("x", shape, scale=layers.scale(rng), zero_point=zero)
    given = {"style": style, "activation": ACTIVATIONS[seed // 2 % 4], **options}
    y = getattr(layers, operator)(builder, rng, x, *arguments, **given)
    return builder.finish([x], [y])


def conv(shape: Shape, filters: int, kernel: Pair, seed: int, **options: Any) -> bytes:
    """CONV_2D on `shape` [N,H,W,C]."""
    return linear("conv_2d", shape, filters, kernel, seed=seed, **options)


def depthwise(shape: Shape, kernel: Pair, seed: int, **options: Any) -> bytes:
    """DEPTHWISE_CONV_2D on `shape` [N,H,W,C], one output for each channel."""
    return linear("depthwise_conv_2d", shape, 1, kernel, seed=seed, **options)


def random_dense(seed: int) -> bytes:
    """A dense layer of up to 30 outputs; odd seeds are of the extreme style."""
    rng, style = np.random.default_rng([seed, 77]), STYLES[seed % 2]
    builder = ModelBuilder()
    shape = (int(rng.choice([1, 1, 2, 3])), int(rng.integers(1, 90)))
    x = layers.activation_tensor(builder, rng, shape, "x", style)
    y = layers.fully_connected(
        builder,
        rng,
        x,
        int(rng.integers(1, 30)),
        activation=str(rng.choice(ACTIVATIONS)),
        per_channel=seed % 3 == 0,
        bias=seed % 5 > 0,
        style=style,
    )
    return builder.finish([x], [y])


def dense(weights: Any, *, zero_point: int = -5, output_scale: float = 60.0) -> bytes:
    """A dense layer of given weights [O,K], all scales 1 but the output's."""
    weights = np.asarray(weights, np.int8)
    channels, depth = weights.shape
    builder = ModelBuilder()
    x = builder.tensor("x", (1, depth), scale=1.0, zero_point=zero_point)
    w = builder.tensor("w", weights.shape, scale=1.0, zero_point=0, data=weights)
    y = builder.tensor("y", (1, channels), scale=output_scale, zero_point=3)
    builder.op("FULLY_CONNECTED", [x, w, -1], [y])
    return builder.finish([x], [y])


def pool(seed: int) -> bytes:
    """A pool over whole words of channels, every third one over the whole image."""
    rng, builder = np.random.default_rng([seed, 11]), ModelBuilder()
    height, width = (int(size) for size in rng.integers(3, 9, 2))
    shape = (int(rng.choice([1, 1, 2])), height, width, 4 * int(rng.integers(1, 9)))
    x = layers.activation_tensor(builder, rng, shape)
    kernel = tuple(int(size) for size in rng.integers(1, 4, 2))
    y = layers.pool_2d(
        builder,
        rng,
        POOLS[seed % 2],
        x,
        (height, width) if seed % 3 == 0 else (kernel[0], kernel[1]),
        (int(rng.integers(1, 3)), int(rng.integers(1, 3))),
        str(rng.choice(["SAME", "VALID"])) if seed % 3 else "VALID",
        str(rng.choice(["NONE", "RELU"])),
    )
    return builder.finish([x], [y])


def pooled(operation: Pool, depth: int) -> bytes:
    """Windows of 2 x 2 over 6 x 6 positions."""
    builder = ModelBuilder()
    x = builder.tensor("x", (1, 6, 6, depth), scale=0.05, zero_point=-7)
    y = layers.pool_2d(builder, np.random.default_rng(0), operation, x, (2, 2), (2, 2))
    return builder.finish([x], [y])


def constant_pool(operation: Pool, size: int) -> bytes:
    """One window of `size` x `size` positions, four channels."""
    builder = ModelBuilder()
    x = builder.tensor("x", (1, size, size, 4), scale=0.05, zero_point=-7)
    y = layers.pool_2d(builder, np.random.default_rng(0), operation, x, (size, size), (1, 1))
    return builder.finish([x], [y])


def mean(seed: int) -> bytes:
    """A mean over height and width, or over height alone, of 4 * seed channels."""
    rng, builder = np.random.default_rng([seed, 12]), ModelBuilder()
    shape = (int(rng.choice([1, 2])), *(int(size) for size in rng.integers(1, 16, 2)), 4 * seed)
    x = layers.activation_tensor(builder, rng, shape)
    return builder.finish([x], [more.mean(builder, rng, x, (1, 2) if seed % 2 else (1,))])


def additive(kind: str, elements: int, seed: int) -> bytes:
    """A sum or difference of two activations of as many elements."""
    rng, builder = np.random.default_rng(seed), ModelBuilder()
    left, right, output = (
        builder.tensor(
            name,
            (1, elements),
            scale=float(scale),
            zero_point=layers.zero_point(rng, "extreme"),
        )
        for name, scale in zip(
            ("left", "right", "sum"), rng.uniform(0.02, 0.08, 3).tolist(), strict=True
        )
    )
    builder.op(kind, [left, right], [output], activation=ACTIVATIONS[seed % 4])
    return builder.finish([left, right], [output])


def multiplied(left: Shape, right: Shape, seed: int) -> bytes:
    """A product of two activations that broadcast to the shape of the left one."""
    rng, builder = np.random.default_rng([seed, 13]), ModelBuilder()
    style = STYLES[seed % 2]
    x, y = (
        layers.activation_tensor(builder, rng, shape, name, style)
        for name, shape in (("left", left), ("right", right))
    )
    scales = builder.tensors[x].scale * builder.tensors[y].scale
    z = builder.tensor(
        "product",
        left,
        scale=float(scales * rng.uniform(2, 200)),
        zero_point=layers.zero_point(rng, style),
    )
    builder.op("MUL", [x, y], [z], activation=ACTIVATIONS[seed % 4])
    return builder.finish([x, y], [z])


def padded(
    shape: tuple[int, ...], paddings: Sequence[tuple[int, int]], value: int | None, seed: int
) -> bytes:
    """PAD, or PADV2 with `value`, whose input the planner may make a part of the output."""
    builder, rng = ModelBuilder(), np.random.default_rng(seed)
    x = layers.activation_tensor(builder, rng, shape)
    return builder.finish([x], [more.pad(builder, rng, x, paddings, value)])


def softmax(rows: int, depth: int, seed: int) -> bytes:
    """Rows of a softmax; the entries lie close together where `seed` is odd."""
    rng, builder = np.random.default_rng([seed, 14]), ModelBuilder()
    scale = float(rng.uniform(0.01, 0.05) if seed % 2 else rng.uniform(0.1, 0.5))
    x = builder.tensor("x", (rows, depth), scale=scale, zero_point=layers.zero_point(rng))
    return builder.finish([x], [more.softmax(builder, rng, x)])


def table(elements: int, seed: int) -> bytes:
    """A TANH of as many elements."""
    rng, builder = np.random.default_rng([seed, 15]), ModelBuilder()
    x = layers.activation_tensor(builder, rng, (1, elements))
    return builder.finish([x], [more.table(builder, rng, "TANH", x)])


def wide_pool(seed: int) -> bytes:
    """A pool of 17 to 40 channels, or of a few, with borders on every second one."""
    rng, builder = np.random.default_rng([seed, 16]), ModelBuilder()
    depth = int(rng.integers(17, 41) if seed % 4 < 2 else rng.integers(1, 16))
    x = layers.activation_tensor(builder, rng, (1 + seed % 2, 7, 6, depth))
    y = layers.pool_2d(
        builder,
        rng,
        POOLS[seed // 2 % 2],
        x,
        (int(rng.integers(1, 5)), int(rng.integers(1, 5))),
        (int(rng.integers(1, 3)), int(rng.integers(1, 3))),
        ("SAME", "VALID")[seed % 2],
        ACTIVATIONS[seed // 4 % 4],
    )
    return builder.finish([x], [y])


def tied(number: int, kind: str, activation: str, zero_points: tuple[int, int, int]) -> bytes:
    """ADD or SUB whose scales are round decimals: many sums lie halfway between two outputs.

    Large enough for a table of terms to be worth its flash.
    """
    builder = ModelBuilder()
    scales = (0.05, 0.03, 0.08) if number % 2 else (0.015, 0.022, 0.036)
    x, y, z = (
        builder.tensor(name, (1, 9, 8, 24), scale=scale, zero_point=zero_point)
        for name, scale, zero_point in zip("xyz", scales, zero_points, strict=True)
    )
    builder.op(kind, [x, y], [z], activation=activation)
    return builder.finish([x, y], [z])
