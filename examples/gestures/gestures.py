"""Generated accelerometer windows of seven gestures: no recording, a model of one.

    python gestures.py [--output FOLDER] [--seed N]

writes train.npz, validation.npz and test.npz (x, y) and calibration.npz (x). Needs numpy only and
takes a second. The same seed gives the same files.

A window is float32 [64, 1, 3]: 64 samples at 50 Hz of the acceleration along x, y and z in g, with
gravity, in steps of 1/64 g as an 8-bit sensor gives them. Each window has its own tempo, beginning,
strength, way of holding the device, drift and noise, so that slow, weak or cut-off gestures
resemble others, and some windows cannot be told apart.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Windows = NDArray[np.float32]  # [N, 64, 1, 3], g
Labels = NDArray[np.int64]  # [N], 0..6

SAMPLES = 64
HERTZ = 50.0
STEP_G = 1 / 64
RANGE_G = 2.0
NOISE_G = 0.12
SIZES = {"train": 4200, "validation": 700, "test": 1400, "calibration": 210}


def _rest(t: Array, rng: np.random.Generator) -> Array:
    return np.zeros((3, len(t)))


def _shake(t: Array, rng: np.random.Generator) -> Array:
    wave = np.sin(2 * np.pi * rng.uniform(2.5, 5) * t + rng.uniform(0, 2 * np.pi))
    return np.stack([wave, 0.15 * wave, 0 * t])


def _circle(t: Array, rng: np.random.Generator) -> Array:
    phase = 2 * np.pi * rng.uniform(1, 2.5) * t + rng.uniform(0, 2 * np.pi)
    return np.stack([np.cos(phase), np.sin(phase), 0 * t])


def _ellipse(t: Array, rng: np.random.Generator) -> Array:
    """A circle in a plane that leans."""
    phase = 2 * np.pi * rng.uniform(1, 2.5) * t + rng.uniform(0, 2 * np.pi)
    return np.stack([np.cos(phase), 0.35 * np.sin(phase), -0.6 * np.sin(phase)])


def _eight(t: Array, rng: np.random.Generator) -> Array:
    phase = 2 * np.pi * rng.uniform(0.8, 1.8) * t + rng.uniform(0, 2 * np.pi)
    return np.stack([np.sin(phase), np.sin(2 * phase), 0 * t])


def _double_tap(t: Array, rng: np.random.Generator) -> Array:
    first = rng.uniform(0.1, 0.7)
    times = (first, first + rng.uniform(0.15, 0.4))
    pulses = sum(np.exp(-(((t - at) / 0.025) ** 2)) for at in times)
    return np.stack([0 * t, 0 * t, 1.4 * pulses])


def _single_tap(t: Array, rng: np.random.Generator) -> Array:
    pulse = np.exp(-(((t - rng.uniform(0.1, 1.1)) / 0.025) ** 2))
    return np.stack([0 * t, 0 * t, 1.4 * pulse])


GESTURES: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "rest": _rest,
    "shake": _shake,
    "circle": _circle,
    "ellipse": _ellipse,
    "eight": _eight,
    "single tap": _single_tap,
    "double tap": _double_tap,
}


def window(gesture: str, rng: np.random.Generator) -> Windows:
    """One window, [64, 1, 3]."""
    t = np.arange(SAMPLES) / HERTZ
    moved = rng.uniform(0.35, 1.0) * GESTURES[gesture](t, rng)
    gravity = np.array([[0.0], [0.0], [1.0]])
    drift = rng.normal(0, 0.1, (3, 1)) * np.linspace(-1, 1, SAMPLES)
    held = _rotation(rng.normal(0, 0.25, 3)) @ (moved + gravity) + drift
    measured = held + rng.normal(0, NOISE_G, held.shape)
    stepped = np.clip(np.round(measured / STEP_G) * STEP_G, -RANGE_G, RANGE_G)
    return np.asarray(stepped.T[:, np.newaxis, :], np.float32)


def _rotation(angles: Array) -> Array:
    """The matrix that turns about x, then y, then z."""
    turned = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[[i, j], [i, j]] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        turned = turn @ turned
    return turned


def load_data(part: str, seed: int = 0) -> tuple[Windows, Labels]:
    """Windows and labels of a part of SIZES, as many of each gesture; parts share no window."""
    rng = np.random.default_rng((seed, list(SIZES).index(part)))
    names = list(GESTURES)
    labels = rng.permutation(np.arange(SIZES[part]) % len(names)).astype(np.int64)
    return np.stack([window(names[label], rng) for label in labels]), labels


def write_files(folder: Path, seed: int = 0) -> None:
    """The four files."""
    for part in SIZES:
        x, y = load_data(part, seed)
        arrays = {"x": x} if part == "calibration" else {"x": x, "y": y}
        np.savez_compressed(folder / f"{part}.npz", **arrays)


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description="Generate the windows of the gestures example.")
    parser.add_argument("--output", type=Path, default=Path())
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write_files(arguments.output, arguments.seed)


if __name__ == "__main__":
    main()
