"""Trains the gestures classifier and writes gestures.keras.

    python train_gestures.py [--output FOLDER] [--seed N]

Needs numpy and tensorflow (`pip install 'nanoexport[convert]'`); takes about two minutes on two
cores. The file it writes beside itself is committed, so nobody has to run it. The same seed gives
the same model on the same machine and TensorFlow. The data is generated: see gestures.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from gestures import GESTURES, SAMPLES, load_data

EPOCHS = 40
BATCH_SIZE = 32


def build_model() -> keras.Model:
    """Depthwise-separable convolutions over time, with residual sums."""
    window = keras.Input((SAMPLES, 1, 3), name="window")
    x = _normalised(keras.layers.Conv2D(24, (5, 1), **_OPTIONS, name="stem")(window))
    x = keras.layers.ReLU(name="stem_relu")(x)
    x = _residual(x, "block1")
    x = keras.layers.ReLU(name="down_relu")(_separable(x, 48, "down", strides=2))
    x = _residual(x, "block2")
    x = _residual(x, "block3")
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    x = keras.layers.Dropout(0.2, name="dropout")(x)
    x = keras.layers.Dense(len(GESTURES), activation="softmax", name="probabilities")(x)
    return keras.Model(window, x, name="gestures")


_OPTIONS: dict[str, Any] = {"padding": "same", "use_bias": False}


def _normalised(x: Any) -> Any:
    name = x._keras_history.operation.name
    return keras.layers.BatchNormalization(name=f"{name}_norm")(x)


def _separable(x: Any, filters: int, name: str, strides: int = 1) -> Any:
    """Depthwise over time, ReLU, pointwise; both normalised."""
    depthwise = keras.layers.DepthwiseConv2D(
        (5, 1), strides=strides, **_OPTIONS, name=f"{name}_depthwise"
    )
    x = keras.layers.ReLU(name=f"{name}_depthwise_relu")(_normalised(depthwise(x)))
    return _normalised(keras.layers.Conv2D(filters, 1, **_OPTIONS, name=f"{name}_pointwise")(x))


def _residual(x: Any, name: str) -> Any:
    added = keras.layers.Add(name=f"{name}_add")([x, _separable(x, x.shape[-1], name)])
    return keras.layers.ReLU(name=f"{name}_relu")(added)


def train(seed: int) -> keras.Model:
    """The trained model: Adam, cosine decay, a fixed number of epochs."""
    x, y = load_data("train")
    model = build_model()
    steps = EPOCHS * -(-len(x) // BATCH_SIZE)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, steps)),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    batches = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=seed)
    model.fit(batches.batch(BATCH_SIZE), epochs=EPOCHS, verbose=2)
    return model


def main() -> None:
    """Trains, prints the accuracy on the test set, writes the model without optimizer state."""
    parser = argparse.ArgumentParser(description="Train the gestures example.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(arguments.seed)
    tf.config.experimental.enable_op_determinism()
    model = train(arguments.seed)
    x, y = load_data("test")
    right = int((model.predict(x, verbose=0).argmax(axis=1) == y).sum())
    print(f"test accuracy: {right} of {len(y)} = {right / len(y):.2%}")
    inference = keras.models.clone_model(model)
    inference.set_weights(model.get_weights())
    inference.save(arguments.output / "gestures.keras")


if __name__ == "__main__":
    main()
