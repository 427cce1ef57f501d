"""CONV_2D against the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exporter.ops.base import Dialect
from exporter.ops.conv_2d import shapes_agree, weights_cover_all_input_channels
from tests import random_layers as layers
from tests.flatbuffer_builder import ModelBuilder
from tests.ops.harness import check_models, check_operator
from tests.ops.models import Operand, assert_refused, model, noise, numbers, refusal
from tests.random_layers import Style


def conv(
    size: tuple[int, int, int, int],
    filters: int,
    *,
    zero_point: int | None = None,
    style: Style = "realistic",
    seed: int = 0,
    **options: Any,
) -> bytes:
    """A random convolution over images `size` [N,H,W,C]; `options` as `random_layers.conv_2d`."""
    rng = np.random.default_rng(seed)
    builder = ModelBuilder()
    zero = layers.zero_point(rng, style) if zero_point is None else zero_point
    x = builder.tensor("x", size, scale=layers.scale(rng), zero_point=zero)
    y = layers.conv_2d(builder, rng, x, filters, style=style, **options)
    return builder.finish([x], [y])


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_random_models(dialect: Dialect) -> None:
    check_operator("CONV_2D", range(40), dialect=dialect)


def test_optimised_for_size() -> None:
    check_operator("CONV_2D", range(40, 60), optimize="size")


def test_kernels_strides_and_dilations() -> None:
    models = {
        f"{kernel} stride {stride} dilation {dilation} {padding}": conv(
            (1, 9, 8, 3), 5, kernel=kernel, stride=stride, dilation=dilation, padding=padding
        )
        for kernel in ((1, 1), (3, 3), (2, 5), (4, 1))
        for stride, dilation in (((1, 1), (1, 1)), ((2, 3), (1, 1)), ((1, 1), (2, 1)))
        for padding in ("SAME", "VALID")
    }
    check_models(models, vectors=8)


def test_channels_and_columns_beside_the_blocks() -> None:
    """Remainders of the register blocks, one channel and one column included."""
    models = {
        f"{width} columns, {depth} -> {filters}": conv((1, 3, width, depth), filters, seed=depth)
        for width in (1, 2, 5)
        for depth, filters in ((1, 1), (2, 3), (7, 4), (16, 6))
    }
    check_models(models, vectors=8)


def test_zero_points_at_both_ends_with_extreme_weights() -> None:
    models = {
        f"{zero_point} {seed}": conv(
            (2, 5, 6, 4), 7, zero_point=zero_point, style="extreme", seed=seed, activation="RELU"
        )
        for zero_point in (-128, 127)
        for seed in range(6)
    }
    check_models(models)


def test_per_tensor_weights_and_batches() -> None:
    models = {
        f"batch {batch}": conv((batch, 6, 5, 3), 4, per_channel=False, stride=(2, 2), seed=batch)
        for batch in (1, 2, 3)
    }
    check_models(models)


def test_a_filter_larger_than_the_image() -> None:
    check_models({"7x7 over 2x3": conv((1, 2, 3, 2), 3, kernel=(7, 7), padding="SAME")})


def test_what_is_refused() -> None:
    x, weights, bias = Operand((1, 4, 4, 6)), noise((5, 3, 3, 6)), numbers([0] * 5)
    y = Operand((1, 4, 4, 5))
    wrong = model("CONV_2D", [x, weights, bias], y.with_shape(1, 4, 5, 5), padding="SAME")
    assert_refused(wrong, shapes_agree)
    grouped = model("CONV_2D", [x, noise((5, 3, 3, 3)), bias], y, padding="SAME")
    assert_refused(grouped, weights_cover_all_input_channels)
    no_stride = model("CONV_2D", [x, weights, bias], y, padding="SAME", stride_h=0)
    assert_refused(no_stride, shapes_agree)


def test_an_accumulator_that_could_overflow_is_refused() -> None:
    x, weights = Operand((1, 4, 4, 6)), noise((1, 3, 3, 6))
    bias = numbers([2**31 - 1])
    data = model("CONV_2D", [x, weights, bias], Operand((1, 4, 4, 1)), padding="SAME")
    assert "could overflow its 32-bit accumulator" in refusal(data)
