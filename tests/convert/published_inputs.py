"""Inputs for the classifiers of MLPerf Tiny: noise, structured ones, and such as every class likes.

All are float32 [N, ...] within a range [low, high], and come from a seeded generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exporter.arrays import Array
from exporter.convert.trained import DEADLINE_S
from exporter.worker import Message, Worker

OPTIMISED_PER_CLASS = 0.06
"""Of all inputs, those that are optimised for one class."""
NOISE = 1 / 3
"""Of the inputs that are not optimised, and of those that optimisation starts from."""
LARGEST_LEAD = 4.0
"""Optimised inputs prefer their class by a score between 0 (a coin toss) and this (98% to 2%)."""

MEL_BINS = 40
LOG_OFFSET = 1e-6

Rng = np.random.Generator
Shape = tuple[int, ...]
Structured = Callable[[Rng, int, Shape], Array]


@dataclass(frozen=True)
class InputSpace:
    """What a model takes: float32 `shape` in [low, high], of which `structured` makes some."""

    shape: Shape
    low: float
    high: float
    classes: int
    structured: Structured

    def draw(self, rng: Rng, count: int, ascent: Worker, model: Path) -> Array:
        """`count` inputs, some optimised on the float `model` for each class, in random order."""
        per_class = round(count * OPTIMISED_PER_CLASS)
        classes = np.repeat(np.arange(self.classes), per_class)
        optimised = self._optimised(rng, classes, ascent, model)
        plain = self._plain(rng, count - len(classes))
        return rng.permutation(np.concatenate([plain, optimised]))

    def _plain(self, rng: Rng, count: int) -> Array:
        few = round(count * NOISE)
        structured = self.structured(rng, count - few, self.shape)
        clipped = np.clip(structured, self.low, self.high).astype(np.float32)
        return rng.permutation(np.concatenate([self._noise(rng, few), clipped]))

    def _noise(self, rng: Rng, count: int) -> Array:
        """Uniform between two ends, which differ from sample to sample."""
        ends = np.sort(rng.uniform(self.low, self.high, (2, count)), axis=0)
        low, high = ends.reshape(2, count, *(1 for _ in self.shape))
        return rng.uniform(low, high, (count, *self.shape)).astype(np.float32)

    def _optimised(self, rng: Rng, classes: Array, ascent: Worker, model: Path) -> Array:
        leads = rng.uniform(0, LARGEST_LEAD, len(classes)).astype(np.float32)
        arrays = [self._plain(rng, len(classes)), classes, leads]
        fields = {"path": str(model), "low": self.low, "high": self.high}
        (samples,) = ascent.request(Message("ascend", fields, arrays), DEADLINE_S).arrays
        return samples


def pictures(rng: Rng, count: int, shape: Shape) -> Array:
    """Smooth coloured fields, of less energy the finer they are, with sharp discs; from 0 to 1."""
    return _between_random_ends(rng, np.stack([_picture(rng, shape) for _ in range(count)]))


def _picture(rng: Rng, shape: Shape) -> Array:
    height, width, channels = shape
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    image = np.zeros(shape)
    for frequency in rng.uniform(0.3, 6, 12):
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        wave = np.cos(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle)) + phase)
        image = image + wave[..., None] * rng.normal(0.5, 0.5, channels) / frequency
    for _ in range(rng.integers(0, 4)):
        (cy, cx), radius = rng.uniform(0, 1, 2), rng.uniform(0.05, 0.3)
        image[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = rng.uniform(-2, 2, channels)
    return image


def photos(rng: Rng, count: int, shape: Shape) -> Array:
    """`pictures` of 8 bits a channel: 0 to 255."""
    return 255 * pictures(rng, count, shape)


def _between_random_ends(rng: Rng, images: Array) -> Array:
    """Each image scaled to a darkest and a brightest value of its own."""
    count = len(images)
    flat = images.reshape(count, -1)
    least, most = flat.min(axis=1, keepdims=True), flat.max(axis=1, keepdims=True)
    low, high = rng.uniform(0, 0.4, (count, 1)), rng.uniform(0.6, 1, (count, 1))
    scaled: Array = low + (flat - least) / (most - least) * (high - low)
    return scaled.reshape(images.shape)


def mfcc_fields(rng: Rng, count: int, shape: Shape) -> Array:
    """Cepstra of made-up words over a floor of noise."""
    frames, coefficients, _ = shape
    floor = 10 ** rng.uniform(-6, -2, (count, 1, 1))
    noise = floor * rng.exponential(1, (count, frames, MEL_BINS))
    energy = noise + np.stack([_word(rng, frames) for _ in range(count)])
    return _cepstra(np.log(energy + LOG_OFFSET), coefficients)[..., None]


def _word(rng: Rng, frames: int) -> Array:
    """Energy [frames, MEL_BINS] of a few formants that glide under an envelope."""
    time, bins = np.linspace(0, 1, frames)[:, None], np.arange(MEL_BINS)
    middle, length = rng.uniform(0.3, 0.7), rng.uniform(0.08, 0.3)
    envelope = np.exp(-(((time - middle) / length) ** 2))
    word = np.zeros((frames, MEL_BINS))
    for _ in range(rng.integers(1, 5)):
        glide = rng.uniform(0, MEL_BINS) + rng.uniform(-15, 15) * (time - middle)
        loudness, width = 10 ** rng.uniform(-2, 2), rng.uniform(1, 5)
        word = word + loudness * envelope * np.exp(-(((bins - glide) / width) ** 2))
    return word


def _cepstra(log_mel: Array, coefficients: int) -> Array:
    """The first coefficients of the DCT-II [..., bins] -> [..., coefficients], with TensorFlow's
    factor (tf.signal.mfccs_from_log_mel_spectrograms).
    """
    bins = log_mel.shape[-1]
    angles = np.pi / bins * (np.arange(bins)[:, None] + 0.5) * np.arange(coefficients)
    cepstra: Array = log_mel @ (2 * np.cos(angles)) / np.sqrt(2 * bins)
    return cepstra
