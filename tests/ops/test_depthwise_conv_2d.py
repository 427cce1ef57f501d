"""DEPTHWISE_CONV_2D against the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exporter.ops.base import Dialect
from exporter.ops.conv_2d import shapes_agree
from exporter.ops.depthwise_conv_2d import channels_are_a_multiple_of_the_input
from tests import random_layers as layers
from tests.flatbuffer_builder import ModelBuilder
from tests.ops.harness import check_models, check_operator
from tests.ops.models import Operand, assert_refused, model, noise, numbers, refusal
from tests.random_layers import Style


def depthwise(
    size: tuple[int, int, int, int],
    multiplier: int = 1,
    *,
    zero_point: int | None = None,
    style: Style = "realistic",
    seed: int = 0,
    **options: Any,
) -> bytes:
    """A random layer over images `size` [N,H,W,C]; `options`: `random_layers.depthwise_conv_2d`."""
    rng = np.random.default_rng(seed)
    builder = ModelBuilder()
    zero = layers.zero_point(rng, style) if zero_point is None else zero_point
    x = builder.tensor("x", size, scale=layers.scale(rng), zero_point=zero)
    y = layers.depthwise_conv_2d(builder, rng, x, multiplier, style=style, **options)
    return builder.finish([x], [y])


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_random_models(dialect: Dialect) -> None:
    check_operator("DEPTHWISE_CONV_2D", range(40), dialect=dialect)


def test_optimised_for_size() -> None:
    check_operator("DEPTHWISE_CONV_2D", range(40, 60), optimize="size")


def test_kernels_strides_and_dilations() -> None:
    models = {
        f"{kernel} stride {stride} dilation {dilation} {padding}": depthwise(
            (1, 9, 8, 3), 2, kernel=kernel, stride=stride, dilation=dilation, padding=padding
        )
        for kernel in ((1, 1), (3, 3), (2, 5), (4, 1))
        for stride, dilation in (((1, 1), (1, 1)), ((2, 3), (1, 1)), ((1, 1), (2, 1)))
        for padding in ("SAME", "VALID")
    }
    check_models(models, vectors=8)


def test_multipliers_and_columns_beside_the_blocks() -> None:
    """One channel and one column included."""
    models = {
        f"{width} columns, {depth} x {multiplier}": depthwise(
            (1, 3, width, depth), multiplier, seed=depth
        )
        for width in (1, 2, 5)
        for depth, multiplier in ((1, 1), (1, 8), (7, 1), (3, 2))
    }
    check_models(models, vectors=8)


def test_zero_points_at_both_ends_with_extreme_weights() -> None:
    models = {
        f"{zero_point} {seed}": depthwise(
            (2, 5, 6, 4), zero_point=zero_point, style="extreme", seed=seed, activation="RELU"
        )
        for zero_point in (-128, 127)
        for seed in range(6)
    }
    check_models(models)


def test_per_tensor_weights_and_batches() -> None:
    models = {
        f"batch {batch}": depthwise(
            (batch, 6, 5, 3), 2, per_channel=False, stride=(2, 2), seed=batch
        )
        for batch in (1, 2, 3)
    }
    check_models(models)


def test_a_filter_larger_than_the_image() -> None:
    check_models({"7x7 over 2x3": depthwise((1, 2, 3, 2), kernel=(7, 7), padding="SAME")})


def test_kernels_too_large_to_unroll() -> None:
    models = {f"{k}": depthwise((1, 12, 11, 3), kernel=k) for k in ((10, 4), (5, 5), (1, 11))}
    check_models(models)


def test_what_is_refused() -> None:
    x, weights, bias = Operand((1, 4, 4, 6)), noise((1, 3, 3, 6)), numbers([0] * 6)
    operands = [x, weights, bias]
    wrong = model("DEPTHWISE_CONV_2D", operands, x.with_shape(1, 4, 5, 6), padding="SAME")
    assert_refused(wrong, shapes_agree)
    fewer = [x, noise((1, 3, 3, 3)), numbers([0] * 3)]
    thin = model("DEPTHWISE_CONV_2D", fewer, x.with_shape(1, 4, 4, 3), padding="SAME")
    assert_refused(thin, channels_are_a_multiple_of_the_input)
    no_stride = model("DEPTHWISE_CONV_2D", operands, x, padding="SAME", stride_w=0)
    assert_refused(no_stride, shapes_agree)


def test_an_accumulator_that_could_overflow_is_refused() -> None:
    x, weights = Operand((1, 4, 4, 1)), noise((1, 3, 3, 1))
    bias = numbers([2**31 - 1])
    data = model("DEPTHWISE_CONV_2D", [x, weights, bias], x, padding="SAME")
    assert "could overflow its 32-bit accumulator" in refusal(data)
