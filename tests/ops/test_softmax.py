"""SOFTMAX against the oracle, and its exponential against the real one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from exporter.ops.base import Dialect
from exporter.ops.fixed_point import softmax_exponentials
from exporter.ops.softmax import (
    beta_is_large_enough,
    depth_fits_the_accumulator,
    output_quantization_is_fixed,
)
from tests.ops.harness import check_models, check_operator, compile_graph, oracle_outputs
from tests.ops.models import Operand, assert_refused, model


def softmax(
    shape: tuple[int, ...], scale: float = 0.1, zero_point: int = 0, beta: float = 1
) -> bytes:
    source = Operand(shape, scale, zero_point)
    return model("SOFTMAX", [source], Operand(shape, 1 / 256, -128), beta=beta)


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_random_models(dialect: Dialect) -> None:
    check_operator("SOFTMAX", range(40), dialect=dialect, vectors=20)


def test_depths() -> None:
    """One entry, two, the last depth of the fast shift, and beyond it."""
    check_models({f"{depth}": softmax((2, depth), 0.2) for depth in (1, 2, 10, 511)}, vectors=40)


def test_more_classes_than_the_fast_shift_allows() -> None:
    """The reference aborts on rows whose sum is 512 or more: only vectors with one peak."""
    data = softmax((1, 1000), 0.2)
    graph, program = compile_graph(data)
    assert program.functions[0].params["shift_may_exceed_31"]
    x = np.random.default_rng(0).integers(-128, 0, graph[graph.inputs[0]].shape).astype(np.int8)
    x[0, 7] = 127
    check_models({"1000": data}, inputs=[[x]])


def test_scales_and_betas() -> None:
    """From differences that all look alike to those where only the largest counts."""
    models = {
        f"{scale} {beta}": softmax((3, 17), scale, 127, beta)
        for scale in (1e-6, 0.003, 0.25, 1.0, 40.0)
        for beta in (0.1, 1.0, 3.0)
    }
    check_models(models)


def test_every_difference_from_the_maximum() -> None:
    data = softmax((256, 2), 0.037)
    x = np.stack([np.full(256, 127), np.arange(-128, 128)], axis=1).astype(np.int8)
    (expected,) = oracle_outputs(data, [x])
    assert len(np.unique(expected)) > 100
    check_models({"differences": data}, inputs=[[x]])


def test_the_exponential_is_close_to_the_real_one() -> None:
    for scale, beta in ((0.01, 1.0), (0.3, 0.7)):
        table = softmax_exponentials(scale, beta)
        real = [math.exp(-d * scale * beta) * 2**31 for d in range(256)]
        assert np.abs(np.array(table) - np.array(real)).max() < 600


def test_what_is_refused() -> None:
    x = Operand((1, 4), 0.1)
    wrong_scale = model("SOFTMAX", [x], Operand((1, 4), 1 / 128, -128), beta=1.0)
    assert_refused(wrong_scale, output_quantization_is_fixed)
    assert_refused(softmax((1, 4096)), depth_fits_the_accumulator)
    assert_refused(softmax((1, 4), beta=0.0), beta_is_large_enough)
    assert_refused(softmax((1, 4), beta=-1.0), beta_is_large_enough)
