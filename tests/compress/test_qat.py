"""Rounding as the converter rounds, folding that changes nothing, training through both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exporter.compress.data import Data, Samples
from exporter.compress.fold import folded
from exporter.compress.qat import (
    RoundedModel,
    quantisation_aware,
    rounded_activation,
    rounded_kernel,
)
from exporter.compress.settings import Training
from tests.compress.conftest import NETWORKS
from tests.compress.test_prune import inputs_of, two_classes


@pytest.mark.parametrize("name", NETWORKS)
def test_folding_keeps_the_function(networks: dict[str, Any], name: str) -> None:
    x = inputs_of(networks[name])
    assert np.allclose(
        np.asarray(folded(networks[name])(x)), np.asarray(networks[name](x)), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("name", ["plain", "residual", "depthwise"])
def test_no_normalisation_is_left_behind_a_linear_layer(
    networks: dict[str, Any], name: str
) -> None:
    kinds = {type(layer).__name__ for layer in folded(networks[name]).layers}
    assert "BatchNormalization" not in kinds


def test_a_normalisation_after_an_activation_stays(keras: Any) -> None:
    layers = [keras.layers.Conv2D(4, 1, activation="relu"), keras.layers.BatchNormalization()]
    model = folded(keras.Sequential([keras.Input((4, 4, 2)), *layers]))
    assert [type(layer).__name__ for layer in model.layers][-1] == "BatchNormalization"


def test_a_normalisation_of_another_axis_stays(keras: Any) -> None:
    layers = [keras.layers.Conv2D(4, 1), keras.layers.BatchNormalization(axis=1)]
    model = folded(keras.Sequential([keras.Input((4, 4, 2)), *layers]))
    assert [type(layer).__name__ for layer in model.layers][-1] == "BatchNormalization"


def test_a_layer_as_activation_is_no_linear_one(keras: Any) -> None:
    layers = [keras.layers.Conv2D(4, 1, activation=keras.layers.ReLU())]
    layers += [keras.layers.BatchNormalization()]
    model = folded(keras.Sequential([keras.Input((4, 4, 2)), *layers]))
    assert [type(layer).__name__ for layer in model.layers][-1] == "BatchNormalization"


@pytest.mark.parametrize("channel_axes", [1, 2])
def test_kernels_are_whole_numbers_times_a_scale_for_each_channel(channel_axes: int) -> None:
    kernel = np.random.default_rng(0).normal(0, 1, (3, 3, 4, 2)).astype(np.float32)
    inner = tuple(range(4 - channel_axes))
    scale = np.abs(kernel).max(axis=inner, keepdims=True) / 127
    steps = np.asarray(rounded_kernel(kernel, channel_axes)) / scale
    assert np.allclose(steps, np.round(kernel / scale), atol=1e-3)
    assert np.abs(steps).max() == pytest.approx(127, abs=1e-3)


@pytest.mark.parametrize(("low", "high"), [(0.0, 4.0), (-1.3, 2.9), (-2.0, 0.0)])
def test_activations_have_256_steps_and_an_exact_zero(low: float, high: float) -> None:
    values = np.linspace(low - 1, high + 1, 5001).astype(np.float32)
    rounded = np.unique(np.asarray(rounded_activation(values, low, high)))
    step = (high - low) / 255
    assert len(rounded) <= 256 and rounded.max() - rounded.min() == pytest.approx(255 * step)
    assert np.abs(rounded).min() == 0
    inside = (values > low + step) & (values < high - step)
    near = np.asarray(rounded_activation(values, low, high))[inside]
    assert np.abs(near - values[inside]).max() <= step / 2 + 1e-5


def test_what_is_stored_as_int8_has_a_range(networks: dict[str, Any]) -> None:
    """Input, two convolutions after their activations, one dense; not padding, pooling, output."""
    assert len(RoundedModel(folded(networks["plain"]))._ranges) == 4


@pytest.mark.parametrize("name", ["plain", "residual", "depthwise", "concatenated"])
def test_the_rounded_model_is_near_the_float_one(networks: dict[str, Any], name: str) -> None:
    rounded = RoundedModel(folded(networks[name]))
    x = inputs_of(networks[name], 32)
    rounded.observe(x)
    expected = np.asarray(networks[name](x))
    error = np.abs(np.asarray(rounded(x, False)) - expected)
    assert 0 < error.max() < 0.1 * np.ptp(expected)


def test_a_trained_model_is_plain_and_scores_no_worse(networks: dict[str, Any], keras: Any) -> None:
    lines: list[str] = []
    training = Training(epochs=2, batch_size=16, learning_rate=1e-3)
    model = quantisation_aware(networks["residual"], two_classes((6, 6, 2)), training, lines.append)
    assert len(lines) == 3 and "epoch 2 of 2" in lines[2]
    assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}
    assert not np.array_equal(
        np.asarray(model.get_layer("stem").kernel),
        np.asarray(networks["residual"].get_layer("stem").kernel),
    )


def test_training_repairs_what_rounding_broke(keras: Any) -> None:
    """A kernel whose one large weight makes the steps of its channel too coarse for the others."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (256, 8)).astype(np.float32)
    x[:, 0] = 0  # the large weight sees nothing
    wanted = rng.normal(0, 1, (8, 2))
    y = (x @ wanted).argmax(axis=1).astype(np.int64)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    kernel = wanted.copy()
    kernel[0] = 300.0
    model.layers[0].set_weights([kernel, np.zeros(2)])
    before = RoundedModel(model)
    before.observe(x)
    broken = (np.asarray(before(x, False)).argmax(axis=1) == y).mean()
    samples = Samples(x, y)
    better = quantisation_aware(
        model, Data(samples, samples), Training(30, 30, 16, 0.1), lambda _: None
    )
    after = RoundedModel(better)
    after.observe(x)
    assert broken < 0.9 < (np.asarray(after(x, False)).argmax(axis=1) == y).mean()
