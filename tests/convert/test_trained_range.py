"""What the first layer of a Keras model tells of the data that it was trained on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from exporter.convert.sources.keras import from_keras


def model_with(layer: Any) -> Any:
    """A stand-in for a loaded Keras model of one input: loading TensorFlow would cost seconds."""
    source = SimpleNamespace(name="x", shape=(None, 4, 3), dtype="float32")
    input_layer = type("InputLayer", (), {})()
    return SimpleNamespace(inputs=[source], layers=[input_layer, layer])


def layer(kind: str, **fields: Any) -> Any:
    return type(kind, (), fields)()


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (layer("Rescaling", scale=1 / 255, offset=0.0), (0.0, 255.0)),
        (layer("Rescaling", scale=1 / 127.5, offset=-1.0), (0.0, 255.0)),
        (
            layer(
                "Normalization", invert=False, mean=np.array([[1.0]]), variance=np.array([[4.0]])
            ),
            (-7.0, 9.0),
        ),
        (layer("Rescaling", scale=[1.0, 2.0], offset=0.0), None),
        (layer("Dense"), None),
    ],
)
def test_trained_range(first: Any, expected: tuple[float, float] | None) -> None:
    (found,) = from_keras(model_with(first), Path("m.keras")).inputs
    assert found.trained_range == (None if expected is None else pytest.approx(expected))


def test_layers_of_keras_itself() -> None:
    keras: Any = pytest.importorskip("keras")
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Rescaling(0.1), keras.layers.Dense(2)]
    )
    (found,) = from_keras(model, Path("m.keras")).inputs
    assert found.trained_range == pytest.approx((0.0, 10.0))
    normalization = keras.layers.Normalization(mean=[1.0, 2.0], variance=[4.0, 1.0])
    model = keras.Sequential([keras.Input((2,)), normalization])
    (found,) = from_keras(model, Path("m.keras")).inputs
    assert found.trained_range == pytest.approx((-7.0, 9.0))
