"""The generated data of examples/gestures."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np

GESTURES = Path(__file__).resolve().parents[2] / "examples" / "gestures"


def script(path: Path) -> ModuleType:
    """An example's script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_windows_of_gestures_are_the_same_for_a_seed() -> None:
    data = script(GESTURES / "gestures.py")
    x, y = data.load_data("calibration")
    again, _ = data.load_data("calibration")
    other, _ = data.load_data("calibration", seed=1)
    assert x.shape == (210, 64, 1, 3) and x.dtype == np.float32
    assert np.bincount(y).tolist() == [30] * 7
    assert np.array_equal(x, again) and not np.array_equal(x, other)
    assert np.array_equal(np.round(x * 64), x * 64) and np.abs(x).max() <= 2
