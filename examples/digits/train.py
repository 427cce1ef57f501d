"""Trains the digits classifier and writes its model, calibration data and test data.

    python train.py [--output FOLDER] [--seed N]

Needs numpy, scikit-learn and tensorflow (`pip install 'nanoexport[convert]' scikit-learn`); takes
about two minutes on two cores. The files it writes beside itself are committed, so nobody has to
run it. The same seed gives the same model on the same machine and TensorFlow.

Data: the 1,797 handwritten digits of `sklearn.datasets.load_digits` (UCI's "Optical Recognition of
Handwritten Digits", test part), 8x8 pixels of 0 to 16, scaled to 0..1 here. A stratified quarter
(450 images) is held out as test set: neither training nor the choice of settings sees it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

Images = NDArray[np.float32]  # [N, 8, 8, 1], 0..1
Labels = NDArray[np.int64]  # [N], 0..9

EPOCHS = 250
BATCH_SIZE = 32
CALIBRATION_IMAGES = 200
SPLIT_SEED = 0


def load_data() -> tuple[Images, Labels, Images, Labels]:
    """Training and test images and labels."""
    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)[..., np.newaxis]
    x_train, x_test, y_train, y_test = train_test_split(
        images, digits.target, test_size=450, stratify=digits.target, random_state=SPLIT_SEED
    )
    return x_train, y_train, x_test, y_test


def build_model() -> keras.Model:
    """Three convolutions; the largest pair of activations, 8*8*8 and 8*8*16, is 1,536 int8."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            *_block(8, "conv1"),
            *_block(16, "conv2"),
            keras.layers.MaxPooling2D(2, name="pool1"),
            *_block(32, "conv3"),
            keras.layers.MaxPooling2D(2, name="pool2"),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dropout(0.2, name="dropout"),
            keras.layers.Dense(10, activation="softmax", name="probabilities"),
        ],
        name="digits",
    )


def _block(filters: int, name: str) -> list[keras.layers.Layer]:
    """Convolution, normalisation, ReLU: the converter folds them into one operator."""
    return [
        keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, name=name),
        keras.layers.BatchNormalization(name=f"{name}_norm"),
        keras.layers.ReLU(name=f"{name}_relu"),
    ]


def training_batches(x: Images, y: Labels, seed: int) -> tf.data.Dataset:
    """Shuffled batches with small random rotations, shifts and zooms, and one-hot labels."""
    augment = augmentation(seed)
    batches = (
        tf.data.Dataset.from_tensor_slices((x, tf.one_hot(y, 10)))
        .shuffle(len(x), seed=seed)
        .batch(BATCH_SIZE)
    )
    return batches.map(lambda image, label: (augment(image, training=True), label))


def augmentation(seed: int) -> keras.Model:
    """Small random rotations, shifts and zooms of images [N, 8, 8, 1]."""
    options = {"fill_mode": "constant", "fill_value": 0.0}
    return keras.Sequential(
        [
            keras.layers.RandomRotation(0.035, seed=seed, **options),
            keras.layers.RandomTranslation(0.1, 0.1, seed=seed + 1, **options),
            keras.layers.RandomZoom(0.1, 0.1, seed=seed + 2, **options),
        ]
    )


def train(x: Images, y: Labels, seed: int) -> keras.Model:
    """The trained model: Adam, cosine decay, smoothed labels, a fixed number of epochs."""
    model = build_model()
    steps = EPOCHS * -(-len(x) // BATCH_SIZE)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, steps)),
        keras.losses.CategoricalCrossentropy(label_smoothing=0.05),
        metrics=["accuracy"],
    )
    model.fit(training_batches(x, y, seed), epochs=EPOCHS, verbose=2)
    return model


def write_files(model: keras.Model, folder: Path) -> None:
    """digits.keras (without the optimizer's state), calibration.npz and test.npz."""
    x_train, _, x_test, y_test = load_data()
    inference = keras.models.clone_model(model)
    inference.set_weights(model.get_weights())
    inference.save(folder / "digits.keras")
    chosen = np.random.default_rng(SPLIT_SEED).permutation(len(x_train))[:CALIBRATION_IMAGES]
    np.savez_compressed(folder / "calibration.npz", x=x_train[np.sort(chosen)])
    np.savez_compressed(folder / "test.npz", x=x_test, y=y_test.astype(np.int64))


def main() -> None:
    """Trains, prints the accuracy on the test set, writes the files."""
    parser = argparse.ArgumentParser(description="Train the digits example.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(arguments.seed)
    tf.config.experimental.enable_op_determinism()
    x_train, y_train, x_test, y_test = load_data()
    model = train(x_train, y_train, arguments.seed)
    predicted = model.predict(x_test, verbose=0).argmax(axis=1)
    right = int((predicted == y_test).sum())
    print(f"test accuracy: {right} of {len(y_test)} = {right / len(y_test):.2%}")
    write_files(model, arguments.output)


if __name__ == "__main__":
    main()
