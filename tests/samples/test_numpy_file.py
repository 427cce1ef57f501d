"""Samples in numpy files: what is taken, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.errors import BadInput
from exporter.samples import MOST_SAMPLES, ModelInput, SampleOptions, as_inputs, load_samples

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
    samples = load_samples(save(tmp_path, **{key: data}), [IMAGE])
    assert samples.given == 12 and samples.warnings == ()
    assert samples.arrays[0].dtype == np.float32
    assert np.array_equal(samples.arrays[0], data.astype(np.float32)[samples.taken])


def test_an_npy_file(tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", noise(12, 4))
    assert load_samples(tmp_path / "data.npy", [SENSOR]).given == 12


def test_two_inputs_go_by_name(tmp_path: Path) -> None:
    path = save(tmp_path, image=noise(12, 6, 5, 2), sensor=noise(12, 4))
    arrays = load_samples(path, [SENSOR, IMAGE]).arrays
    assert [a.shape for a in arrays] == [(12, 4), (12, 6, 5, 2)]


def test_many_samples_are_shuffled_and_capped_alike(tmp_path: Path) -> None:
    numbers = np.arange(4000, dtype=np.float32)[:, None] / 4000
    path = save(
        tmp_path, sensor=numbers * np.ones(4), other=numbers * np.ones(3), y=np.arange(4000)
    )
    inputs = [SENSOR, ModelInput("other", (3,), "float32")]
    first, second = (load_samples(path, inputs) for _ in range(2))
    assert first.given == 4000 and len(first) == MOST_SAMPLES
    assert all(map(np.array_equal, first.arrays, second.arrays))
    assert np.array_equal(first.arrays[0][:, 0], first.arrays[1][:, 0])
    assert first.labels is not None and np.array_equal(first.labels, first.taken)
    assert np.allclose(first.arrays[0][:, 0], first.labels / 4000)
    half = first.labels[:250]  # the beginning is as fair a choice as the whole
    assert 1700 < half.mean() < 2300 and half.max() > 3900


def test_the_seed_chooses_and_none_takes_all(tmp_path: Path) -> None:
    path = save(tmp_path, x=noise(60, 4))
    zero, one = (load_samples(path, [SENSOR], SampleOptions(samples=20, seed=s)) for s in (0, 1))
    assert set(zero.taken) != set(one.taken) and len(set(one.taken)) == 20
    assert "20 of 60 samples" in one.how and "seed 1" in one.how
    everything = load_samples(path, [SENSOR], SampleOptions(samples=None))
    assert everything.taken.tolist() == list(range(60))


@pytest.mark.parametrize(
    ("y", "numbers", "names"),
    [
        (np.array([2, 0, 1]), [2, 0, 1], None),
        (np.array([[2], [0], [1]], np.uint8), [2, 0, 1], None),
        (np.eye(3)[[2, 0, 1]], [2, 0, 1], None),
        (np.array(["up", "down", "left"]), [2, 0, 1], ("down", "left", "up")),
    ],
    ids=["integers", "column", "one-hot", "text"],
)
def test_labels(
    tmp_path: Path, y: np.ndarray[Any, Any], numbers: list[int], names: tuple[str, ...] | None
) -> None:
    samples = load_samples(
        save(tmp_path, x=noise(3, 4), y=y), [SENSOR], SampleOptions(samples=None)
    )
    assert samples.labels is not None and samples.labels.tolist() == numbers
    assert samples.labels.dtype == np.int64 and samples.class_names == names


def test_names_of_classes_beside_numbers(tmp_path: Path) -> None:
    path = save(tmp_path, x=noise(3, 4), y=np.array([1, 0, 1]), class_names=np.array(["no", "yes"]))
    assert load_samples(path, [SENSOR]).class_names == ("no", "yes")


def test_an_array_beside_labels_needs_no_name(tmp_path: Path) -> None:
    assert load_samples(save(tmp_path, any=noise(12, 4), y=np.zeros(12, int)), [SENSOR]).given == 12


def test_targets_of_a_regression_are_taken_as_they_are(tmp_path: Path) -> None:
    targets = noise(12, 3)
    samples = load_samples(save(tmp_path, x=noise(12, 4), y=targets), [SENSOR])
    assert samples.labels is not None and samples.warnings == ()
    assert np.array_equal(samples.labels, targets[samples.taken])


def test_targets_that_are_no_numbers_are_not_used(tmp_path: Path) -> None:
    targets = np.full((12, 3), np.nan)
    samples = load_samples(save(tmp_path, x=noise(12, 4), y=targets), [SENSOR])
    assert samples.labels is None and "no numbers" in samples.warnings[0]


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
    "labels": ({"x": noise(9, 4), "y": np.zeros(8, int)}, "one label for each", "[8] for 9", ""),
    "too large": ({"x": np.full((9, 4), 1e39)}, "NaN or infinite", "in 9 of 9", "drop or repair"),
}


@pytest.mark.parametrize("case", list(CASES))
def test_bad_data(tmp_path: Path, case: str) -> None:
    arrays, what, value, next_step = CASES[case]
    with pytest.raises(BadInput) as caught:
        load_samples(save(tmp_path, **arrays), [SENSOR])
    error = caught.value
    assert what in error.what and value in str(error.value)
    assert error.exit_code == 2 and error.allowed and next_step in str(error.next_step)


def test_axes_in_another_order_are_to_be_moved_not_reshaped(tmp_path: Path) -> None:
    image = ModelInput("image", (6, 5, 3), "float32")
    with pytest.raises(BadInput) as caught:
        load_samples(save(tmp_path, x=noise(9, 3, 6, 5)), [image])
    assert "x.transpose(0, 2, 3, 1)" in str(caught.value.next_step)


@pytest.mark.parametrize(
    "content", [None, b"", b"not numpy", b"PK\x03\x04 cut", b"\x93NUMPY\x01\x00"]
)
def test_files_that_are_no_data(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "data.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=r"data\.npz"):
        load_samples(path, [SENSOR])


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.array([{}], object))
    with pytest.raises(BadInput, match="not a numpy file"):
        load_samples(tmp_path / "data.npz", [SENSOR])


def test_two_inputs_of_different_length(tmp_path: Path) -> None:
    path = save(tmp_path, image=noise(12, 6, 5, 2), sensor=noise(11, 4))
    with pytest.raises(BadInput, match="different numbers of samples"):
        load_samples(path, [IMAGE, SENSOR])


def test_arrays_from_python_are_checked_alike() -> None:
    assert as_inputs("mine", [noise(2, 4)], [SENSOR])[0].shape == (2, 4)
    with pytest.raises(BadInput, match="wrong number of arrays"):
        as_inputs("mine", [noise(2, 4), noise(2, 4)], [SENSOR])
