"""Writes the samples that compress the digits network: train.npz and validation.npz.

    python compression_data.py [--output FOLDER] [--seed N]

Needs what train.py needs, and takes its data: of its 1,347 training images a stratified quarter
validates, and the others train, each as it is and in seven copies that are turned, shifted and
zoomed as in train.py. The 450 test images appear nowhere.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np
from sklearn.model_selection import train_test_split
from train import SPLIT_SEED, Images, Labels, augmentation, load_data

COPIES = 7
VALIDATION_IMAGES = 337


def compression_data(seed: int) -> tuple[Images, Labels, Images, Labels]:
    """Training images and labels, copies included; validation images and labels."""
    images, labels, _, _ = load_data()
    x, validation_x, y, validation_y = train_test_split(
        images, labels, test_size=VALIDATION_IMAGES, stratify=labels, random_state=SPLIT_SEED
    )
    augment = augmentation(seed)
    copies = [np.asarray(augment(x, training=True)) for _ in range(COPIES)]
    return np.concatenate([x, *copies]), np.tile(y, COPIES + 1), validation_x, validation_y


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description="Write the samples that compress digits.keras.")
    parser.add_argument("--output", type=Path, default=Path())
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(arguments.seed)
    x, y, validation_x, validation_y = compression_data(arguments.seed)
    np.savez_compressed(arguments.output / "train.npz", x=x, y=y)
    np.savez_compressed(arguments.output / "validation.npz", x=validation_x, y=validation_y)
    print(f"{len(x)} training samples, {len(validation_x)} to validate")


if __name__ == "__main__":
    main()
