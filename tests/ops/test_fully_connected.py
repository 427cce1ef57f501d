"""FULLY_CONNECTED against the oracle: the operator that the dialects round differently."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exporter.ops.base import Dialect
from exporter.ops.fully_connected import weights_are_a_matrix
from tests import random_layers as layers
from tests.flatbuffer_builder import ModelBuilder
from tests.ops.harness import check_models, oracle_outputs, skip_without_oracle
from tests.ops.models import Operand, assert_refused, model, noise, numbers, refusal
from tests.random_layers import Style

DIALECTS: tuple[Dialect, ...] = ("tflite", "litert")


def dense(
    shape: tuple[int, ...],
    units: int,
    *,
    zero_point: int | None = None,
    style: Style = "realistic",
    seed: int = 0,
    **options: Any,
) -> bytes:
    """A random dense layer; `options` as `random_layers.fully_connected`."""
    rng = np.random.default_rng(seed)
    builder = ModelBuilder()
    zero = layers.zero_point(rng, style) if zero_point is None else zero_point
    x = builder.tensor("x", shape, scale=layers.scale(rng), zero_point=zero)
    y = layers.fully_connected(builder, rng, x, units, style=style, **options)
    return builder.finish([x], [y])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_random_models(dialect: Dialect) -> None:
    """Odd sizes, batches, every activation, with and without bias, per tensor and per channel."""
    rng = np.random.default_rng(5)
    models = {}
    for seed in range(60):
        shape = (int(rng.integers(1, 4)), int(rng.integers(1, 70)))
        models[f"{shape} seed {seed}"] = dense(
            shape,
            int(rng.integers(1, 20)),
            activation=str(rng.choice(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])),
            per_channel=bool(seed % 3 == 0),
            bias=bool(seed % 5),
            style="extreme" if seed % 2 else "realistic",
            seed=seed,
        )
    check_models(models, dialect=dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_leading_dimensions(dialect: Dialect) -> None:
    models = {
        "folded": dense((2, 3, 8), 5),
        "kept": dense((2, 3, 8), 5, keep_num_dims=True),
        "kept, rank 4": dense((2, 1, 3, 8), 5, keep_num_dims=True),
        "flat": dense((8,), 5),
    }
    check_models(models, dialect=dialect)


def test_per_channel_weights_on_more_than_two_dimensions() -> None:
    """Only LiteRT: the kernel of tflite-runtime 2.14 leaves most of such an output unwritten."""
    data = dense((2, 3, 8), 5, per_channel=True, keep_num_dims=True)
    check_models({"per channel": data}, dialect="litert")


def test_optimised_for_size() -> None:
    check_models({f"{k}": dense((1, k), 9, seed=k) for k in (1, 13, 64)}, optimize="size")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_zero_points_at_both_ends_with_extreme_weights(dialect: Dialect) -> None:
    models = {
        f"{zero_point} {seed}": dense(
            (2, 33), 6, zero_point=zero_point, style="extreme", seed=seed, activation="RELU"
        )
        for zero_point in (-128, 127)
        for seed in range(8)
    }
    check_models(models, dialect=dialect)


def test_the_dialects_differ() -> None:
    """Otherwise the tests above could not tell one rounding from the other."""
    for dialect in DIALECTS:
        skip_without_oracle(dialect)
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, (3, 40)).astype(np.int8)
    models = [dense((3, 40), 50, seed=seed) for seed in range(40)]
    differences = sum(
        int((oracle_outputs(m, [x], "tflite")[0] != oracle_outputs(m, [x], "litert")[0]).sum())
        for m in models
    )
    assert differences > 0


def test_what_is_refused() -> None:
    x, weights, bias = Operand((2, 6)), noise((5, 6)), numbers([0] * 5)
    wrong = model("FULLY_CONNECTED", [x, weights, bias], Operand((2, 4)))
    assert "breaks the rule" in refusal(wrong)
    uneven = model("FULLY_CONNECTED", [x, noise((5, 5)), bias], Operand((2, 5)))
    assert_refused(uneven, weights_are_a_matrix)
    batch = model("FULLY_CONNECTED", [x, weights, bias], Operand((3, 5)))
    assert_refused(batch, weights_are_a_matrix)
