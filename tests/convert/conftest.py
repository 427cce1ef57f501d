"""Small trained models of every format, made once a session. TensorFlow is needed to make them."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@dataclass(frozen=True)
class Zoo:
    """Paths of the models, in one folder, and fitting calibration data."""

    folder: Path

    def __getitem__(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """image.keras, image.h5, image_saved_model/, pair.keras, and models that must be refused."""
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs TensorFlow (the extra `convert`)")
    keras: Any = importlib.import_module("keras")

    folder = tmp_path_factory.mktemp("zoo")
    keras.utils.set_random_seed(0)
    _save_good_models(keras, folder)
    _save_bad_models(keras, folder)
    rng = np.random.default_rng(0)
    np.savez(folder / "image.npz", x=rng.random((20, 6, 6, 2), np.float32))
    np.savez(
        folder / "pair.npz",
        left=rng.uniform(-1, 1, (20, 4)).astype(np.float32),
        right=rng.uniform(0, 50, (20, 4)).astype(np.float32),
    )
    return Zoo(folder)


def _save_good_models(keras: Any, folder: Path) -> None:
    layers = keras.layers
    image = keras.Sequential(
        [
            keras.Input((6, 6, 2), name="image"),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.GlobalAveragePooling2D(name="mean"),
            layers.Dense(3, activation="softmax", name="dense"),
        ]
    )
    image.save(folder / "image.keras")
    image.save(folder / "image.h5")
    image.export(folder / "image_saved_model", verbose=False)
    _save_flatbuffers(image, folder)
    image.save_weights(folder / "only.weights.h5")
    keras_2: Any = importlib.import_module("tf_keras")
    keras_2.Sequential([keras_2.Input((4,)), keras_2.layers.Dense(2)]).save(folder / "keras_2.h5")
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    difference = layers.Subtract(name="difference")([right, left])
    # right comes first in the model, left in the alphabet
    pair = keras.Model([right, left], [difference, layers.Dense(2, name="dense")(difference)])
    pair.save(folder / "pair.keras")


def _save_flatbuffers(image: Any, folder: Path) -> None:
    """image.tflite, and what is no float model of fixed size: int8, hybrid and dynamic.tflite."""
    tf: Any = importlib.import_module("tensorflow")

    def converter(function: Callable[[Any], Any], *shape: int | None) -> Any:
        spec = tf.TensorSpec(shape, tf.float32, name="x")
        concrete = tf.function(function).get_concrete_function(spec)
        return tf.lite.TFLiteConverter.from_concrete_functions([concrete])

    def write(name: str, converter: Any) -> None:
        (folder / name).write_bytes(converter.convert())

    saved = tf.lite.TFLiteConverter.from_saved_model(str(folder / "image_saved_model"))
    write("image.tflite", saved)
    saved.optimizations = [tf.lite.Optimize.DEFAULT]
    x = np.random.default_rng(0).random((4, 1, *image.input_shape[1:]), np.float32)
    saved.representative_dataset = lambda: ([sample] for sample in x)
    write("int8.tflite", saved)
    # Smaller weights than 1024 stay float.
    hybrid = converter(lambda x: x @ tf.ones((64, 64)), 1, 64)
    hybrid.optimizations = [tf.lite.Optimize.DEFAULT]
    write("hybrid.tflite", hybrid)
    write("dynamic.tflite", converter(tf.nn.relu, None, None, None, 3))


def _save_bad_models(keras: Any, folder: Path) -> None:
    def save(
        name: str, shape: tuple[int | None, ...], last: Callable[[Any], Any], **how: Any
    ) -> None:
        x = keras.Input(shape, name="x", **how)
        keras.Model(x, last(x)).save(folder / name)

    class Mystery(keras.layers.Layer):  # type: ignore[misc, name-defined, unused-ignore]
        def call(self, x: Any) -> Any:
            return x * 2

    save("custom.keras", (4,), Mystery())
    save("dynamic.keras", (None, None, 3), keras.layers.GlobalAveragePooling2D())
    save("integer.keras", (4,), keras.layers.Embedding(5, 3), dtype="int32")
    save("batch.keras", (4,), keras.layers.Dense(2), batch_size=8)
    save("no_int8.keras", (4, 4), keras.ops.erfinv)
    save("loop.keras", (4, 3), keras.layers.LSTM(2))
