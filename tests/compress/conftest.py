"""Small networks of random weights, of every form that pruning has to follow."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest

if importlib.util.find_spec("tensorflow") is None:
    collect_ignore_glob = ["test_*"]


@pytest.fixture(scope="session")
def keras() -> Any:
    """Keras, with determinism and a seed."""
    module: Any = import_module("keras")
    module.utils.set_random_seed(0)
    return module


def randomised(model: Any, seed: int = 0) -> Any:
    """The model with random weights everywhere, variances positive."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if variable.dtype == "float32":
            values = rng.normal(0, 0.4, variable.shape)
            is_variance = variable.path.endswith("moving_variance")
            variable.assign(rng.uniform(0.5, 2, variable.shape) if is_variance else values)
    return model


def _plain(k: Any) -> Any:
    """Sequential: Conv2D, BatchNormalization, pooling, Flatten, Dense, softmax."""
    return k.Sequential(
        [
            k.Input((8, 6, 3)),
            k.layers.ZeroPadding2D(1),
            k.layers.Conv2D(8, 3, use_bias=False, name="first"),
            k.layers.BatchNormalization(name="normal"),
            k.layers.ReLU(6.0),
            k.layers.MaxPooling2D(2),
            k.layers.Conv2D(12, 3, padding="same", activation="relu", name="second"),
            k.layers.Dropout(0.5),
            k.layers.Flatten(),
            k.layers.Dense(16, activation="tanh", name="third"),
            k.layers.Dense(5, activation="softmax", name="last"),
        ]
    )


def _residual(k: Any) -> Any:
    x = k.Input((6, 6, 2))
    stem = k.layers.Conv2D(12, 3, padding="same", name="stem")(x)
    inner = k.layers.Conv2D(8, 1, activation="relu", name="inner")(stem)
    branch = k.layers.Conv2D(12, 3, padding="same", use_bias=False, name="branch")(inner)
    branch = k.layers.BatchNormalization(name="normal")(branch)
    added = k.layers.ReLU()(k.layers.Add()([stem, branch]))
    mean = k.layers.GlobalAveragePooling2D()(added)
    return k.Model(x, k.layers.Dense(4, name="last")(mean))


def _depthwise(k: Any) -> Any:
    x = k.Input((9, 1, 3))
    y = k.layers.Conv2D(8, (3, 1), name="stem")(x)
    y = k.layers.DepthwiseConv2D((3, 1), strides=1, depth_multiplier=2, name="depthwise")(y)
    y = k.layers.BatchNormalization(scale=False)(y)
    y = k.layers.Conv2D(8, 1, name="pointwise")(y)
    y = k.layers.SeparableConv2D(12, (2, 1), depth_multiplier=2, name="separable")(y)
    y = k.layers.AveragePooling2D((2, 1))(y)
    return k.Model(x, k.layers.Dense(3, name="last")(k.layers.Flatten()(y)))


def _concatenated(k: Any) -> Any:
    """Two branches side by side, added to a third of their joint width."""
    x = k.Input((5, 5, 3))
    left = k.layers.Conv2D(8, 1, name="left")(x)
    right = k.layers.Conv2D(12, 1, name="right")(x)
    both = k.layers.Concatenate()([left, right])
    whole = k.layers.Conv2D(20, 1, name="whole")(x)
    added = k.layers.Add()([both, whole])
    after = k.layers.Conv2D(8, 3, name="after")(k.layers.Concatenate()([added, left]))
    flat = k.layers.Reshape((-1,))(after)
    return k.Model(x, k.layers.Dense(3, name="last")(flat))


def _reshaped(k: Any) -> Any:
    """One dimension, causal, with a Reshape that keeps channels and one that mixes them."""
    x = k.Input((8, 2))
    y = k.layers.Conv1D(8, 3, padding="causal", name="stem")(x)
    y = k.layers.DepthwiseConv1D(3, name="depthwise")(y)
    y = k.layers.Reshape((3, 2, 8))(y)
    y = k.layers.Conv2D(8, 1, name="mixed")(y)
    y = k.layers.Reshape((12, 4))(y)
    y = k.layers.SeparableConv1D(8, 3, name="separable")(y)
    y = k.layers.GlobalMaxPooling1D()(y)
    return k.Model(x, k.layers.Dense(2, name="last")(y))


def _shared(k: Any) -> Any:
    """A convolution used twice."""
    x = k.Input((5, 5, 3))
    y = k.layers.Conv2D(8, 1, name="stem")(x)
    twice = k.layers.Conv2D(8, 3, padding="same", activation="relu", name="twice")
    y = twice(twice(y))
    return k.Model(x, k.layers.Dense(2, name="last")(k.layers.GlobalAveragePooling2D()(y)))


NETWORKS: dict[str, Callable[[Any], Any]] = {
    "plain": _plain,
    "residual": _residual,
    "depthwise": _depthwise,
    "concatenated": _concatenated,
    "reshaped": _reshaped,
    "shared": _shared,
}


@pytest.fixture(scope="session")
def networks(keras: Any) -> dict[str, Any]:
    return {name: randomised(build(keras)) for name, build in NETWORKS.items()}
