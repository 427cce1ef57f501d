"""Calibration data: what is taken, what is warned of, what is refused. Needs no TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.convert.calibration import MOST_SAMPLES, load_calibration
from exporter.convert.sources import ModelInput
from exporter.errors import BadInput

IMAGE = ModelInput("image", (6, 5, 2), "float32")
SENSOR = ModelInput("sensor", (4,), "float32")


def noise(*shape: int, dtype: str = "f4") -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).random(shape).astype(dtype)


def save(folder: Path, **arrays: np.ndarray[Any, Any]) -> Path:
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


@pytest.mark.parametrize("key", ["x", "image", "anything"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_one_input(tmp_path: Path, key: str, dtype: str) -> None:
    data = noise(12, 6, 5, 2, dtype=dtype)
    calibration = load_calibration(save(tmp_path, **{key: data}), [IMAGE])
    assert calibration.given == 12 and calibration.warnings == ()
    assert calibration.arrays[0].dtype == np.float32
    assert np.array_equal(calibration.arrays[0], data.astype(np.float32))


def test_an_npy_file(tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", noise(12, 4))
    assert load_calibration(tmp_path / "data.npy", [SENSOR]).given == 12


def test_two_inputs_go_by_name(tmp_path: Path) -> None:
    path = save(tmp_path, image=noise(12, 6, 5, 2), sensor=noise(12, 4))
    arrays = load_calibration(path, [SENSOR, IMAGE]).arrays
    assert [a.shape for a in arrays] == [(12, 4), (12, 6, 5, 2)]


def test_many_samples_are_subsampled_alike(tmp_path: Path) -> None:
    numbers = np.arange(4000, dtype=np.float32)
    path = save(
        tmp_path, sensor=np.repeat(numbers[:, None], 4, 1), other=numbers[:, None] * np.ones(3)
    )
    inputs = [SENSOR, ModelInput("other", (3,), "float32")]
    first, second = (load_calibration(path, inputs) for _ in range(2))
    assert first.given == 4000 and len(first.arrays[0]) == MOST_SAMPLES
    assert np.array_equal(first.arrays[0], second.arrays[0])
    assert np.array_equal(first.arrays[0][:, 0], first.arrays[1][:, 0])
    assert first.arrays[0][0, 0] < 100 and first.arrays[0][-1, 0] > 3900


def test_few_and_constant_samples_warn(tmp_path: Path) -> None:
    few = load_calibration(save(tmp_path, x=noise(9, 4)), [SENSOR]).warnings
    assert len(few) == 1 and "only 9 calibration samples" in few[0]
    constant = load_calibration(save(tmp_path, x=np.ones((50, 4), "f4")), [SENSOR]).warnings
    assert constant == ("the calibration data of 'sensor' is 1 everywhere",)


def with_value(value: float) -> np.ndarray[Any, Any]:
    data = noise(12, 4)
    data[7, 2] = value
    return data


CASES: dict[str, tuple[dict[str, np.ndarray[Any, Any]], str, str, str]] = {
    "shape": ({"x": noise(9, 5)}, "wrong shape", "float32 [9, 5]", "preprocessing"),
    "flat": ({"x": noise(48)}, "wrong shape", "float32 [48]", "preprocessing"),
    "rank": ({"x": noise(9, 2, 2)}, "wrong shape", "[9, 2, 2]", "x.reshape(-1, 4)"),
    "one sample": ({"x": noise(4)}, "wrong shape", "float32 [4]", "x[numpy.newaxis]"),
    "scalar": ({"x": np.array(1.0)}, "wrong shape", "float64 []", "preprocessing"),
    "uint8": ({"x": np.ones((9, 4), "u1")}, "not floating point", "uint8", "astype"),
    "text": ({"x": np.array([["a"] * 4])}, "not floating point", "str", "astype"),
    "nan": ({"x": with_value(np.nan)}, "NaN or infinite", "first in sample 7", "drop or repair"),
    "inf": ({"x": with_value(-np.inf)}, "NaN or infinite", "in 1 of 12", "drop or repair"),
    "empty": ({"x": noise(0, 4)}, "is empty", "[0, 4]", ""),
    "keys": ({"a": noise(9, 4), "b": noise(9, 4)}, "no array for", "keys: a, b", "numpy.savez"),
    "none": ({}, "no array for", "(none)", "numpy.savez"),
}


@pytest.mark.parametrize("case", list(CASES))
def test_bad_data(tmp_path: Path, case: str) -> None:
    arrays, what, value, next_step = CASES[case]
    with pytest.raises(BadInput) as caught:
        load_calibration(save(tmp_path, **arrays), [SENSOR])
    error = caught.value
    assert what in error.what and value in str(error.value)
    assert error.exit_code == 2 and error.allowed and next_step in str(error.next_step)


@pytest.mark.parametrize("content", [None, b"", b"not numpy", b"PK\x03\x04 cut"])
def test_files_that_are_no_data(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "data.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=r"data\.npz"):
        load_calibration(path, [SENSOR])


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.array([{}], object))
    with pytest.raises(BadInput, match="not a numpy file"):
        load_calibration(tmp_path / "data.npz", [SENSOR])


def test_two_inputs_of_different_length(tmp_path: Path) -> None:
    path = save(tmp_path, image=noise(12, 6, 5, 2), sensor=noise(11, 4))
    with pytest.raises(BadInput, match="different numbers of samples"):
        load_calibration(path, [IMAGE, SENSOR])
