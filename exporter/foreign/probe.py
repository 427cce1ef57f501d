"""Samples on which a model and what a foreign converter made of it must agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exporter.worker import Array

PROBES = 4


def probe_samples(shapes: Sequence[Sequence[int]]) -> list[Array]:
    """For each shape without the batch, float32 [PROBES, ...]: noise about 0, and in [0, 1).

    The second, because some models take roots and logarithms of their input. Always the same.
    """
    random = np.random.default_rng(0)
    return [_noise(random, shape).astype(np.float32) for shape in shapes]


def _noise(random: np.random.Generator, shape: Sequence[int]) -> Array:
    half = (PROBES // 2, *shape)
    return np.concatenate([random.normal(size=half), random.random(half)])
