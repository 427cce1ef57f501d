"""AVERAGE_POOL_2D against the oracle."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from exporter.ops.base import Dialect
from exporter.ops.pooling import quantization_is_kept, shapes_agree, window_is_positive
from tests.ops.harness import check_models, check_operator, compile_graph
from tests.ops.models import Operand, assert_refused, model
from tests.random_layers import spatial_output


def pool(
    size: tuple[int, int, int, int],
    filter_: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    padding: str = "VALID",
    activation: str = "NONE",
    zero_point: int = -20,
) -> bytes:
    """A pool over a batch of images `size` [N,H,W,C]."""
    batch, height, width, depth = size
    output = spatial_output((height, width), filter_, stride, (1, 1), padding)
    options: dict[str, Any] = {
        "filter_h": filter_[0],
        "filter_w": filter_[1],
        "stride_h": stride[0],
        "stride_w": stride[1],
    }
    source = Operand(size, 0.05, zero_point)
    result = source.with_shape(batch, *output, depth)
    return model(
        "AVERAGE_POOL_2D", [source], result, padding=padding, activation=activation, **options
    )


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_random_models(dialect: Dialect) -> None:
    check_operator("AVERAGE_POOL_2D", range(40), dialect=dialect)


def test_the_whole_image_is_a_kernel_of_its_own() -> None:
    """Global pools as keyword and vision models have them, and SAME windows that cover all."""
    models = {
        "keywords": pool((1, 25, 5, 64), (25, 5), (25, 5)),
        "vision": pool((2, 3, 3, 13), (3, 3), activation="RELU6"),
        "same": pool((1, 4, 5, 3), (9, 11), (4, 5), "SAME"),
        "one pixel": pool((2, 1, 1, 5), (1, 1)),
    }
    check_models(models)
    for data in models.values():
        assert compile_graph(data)[1].functions[0].kernel == "generic/global_average_pool_2d"


def test_windows_over_every_border() -> None:
    cases = product([(1, 5, 6, 3), (2, 4, 3, 9)], [(2, 2), (3, 4), (5, 3)], [(1, 1), (3, 2)])
    models = {
        f"{size} {filter_} {stride}": pool(size, filter_, stride, "SAME")
        for size, filter_, stride in cases
    }
    check_models(models)


def test_a_filter_larger_than_the_image() -> None:
    models = {
        "both": pool((1, 2, 3, 4), (7, 6), (1, 1), "SAME"),
        "tall": pool((1, 2, 9, 2), (5, 2), (2, 2), "SAME"),
    }
    check_models(models)


def test_activations() -> None:
    models = {
        f"{activation} {zero_point}": pool(
            (1, 6, 6, 5), (2, 3), (2, 1), "SAME", activation, zero_point
        )
        for activation in ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")
        for zero_point in (-128, -20, 127)
    }
    check_models(models)


def test_what_is_refused() -> None:
    options: dict[str, Any] = {"filter_h": 2, "filter_w": 2, "padding": "VALID"}
    source, output = Operand((1, 4, 4, 3)), Operand((1, 3, 3, 3))
    wrong_shape = model("AVERAGE_POOL_2D", [source], output.with_shape(1, 4, 3, 3), **options)
    assert_refused(wrong_shape, shapes_agree)
    wrong_depth = model("AVERAGE_POOL_2D", [source], output.with_shape(1, 3, 3, 4), **options)
    assert_refused(wrong_depth, shapes_agree)
    rescaled = model("AVERAGE_POOL_2D", [source], Operand((1, 3, 3, 3), 0.06), **options)
    assert_refused(rescaled, quantization_is_kept)
    no_stride = model("AVERAGE_POOL_2D", [source], output, stride_h=0, **options)
    assert_refused(no_stride, window_is_positive)
