"""What users say about samples, and data that is of no kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.errors import BadInput
from exporter.hil.evaluation.data import load_test_set
from exporter.samples import (
    KINDS,
    ModelInput,
    Preprocessing,
    SampleOptions,
    check_data,
    load_samples,
)

IMAGE = ModelInput("image", (4, 4, 3), "float32")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"samples": 0}, "samples is too small"),
        ({"seed": -1}, "seed is negative"),
        ({"csv_window": 0}, "csv_window is too small"),
        ({"csv_stride": -4}, "csv_stride is too small"),
        ({"sample_rate": 0}, "sample_rate is too small"),
        ({"trained_range": (1.0, 0.0)}, "not a range"),
        ({"trained_range": (0.0, float("inf"))}, "not a range"),
    ],
)
def test_options_that_mean_nothing(options: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told) as caught:
        SampleOptions(**options)
    assert caught.value.value and caught.value.allowed


@pytest.mark.parametrize(
    "numbers",
    [
        {"scale": 0},
        {"scale": float("nan")},
        {"std": [1, 0]},
        {"std": [-1]},
        {"mean": [1, 2, 3], "std": [1, 2]},
    ],
    ids=str,
)
def test_preprocessing_that_cannot_be_computed(numbers: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="cannot be computed"):
        Preprocessing.by_numbers(**numbers)


def test_a_range_that_has_no_name() -> None:
    with pytest.raises(BadInput, match="no such range") as caught:
        Preprocessing.to_range("0..2")
    assert caught.value.allowed == "0..1, -1..1, 0..255"


@pytest.mark.parametrize("name", ["missing", "missing.npz", "a:b.csv", "data.mat", "noname"])
def test_data_of_no_kind(tmp_path: Path, name: str) -> None:
    (tmp_path / "data.mat").touch()
    (tmp_path / "noname").touch()
    with pytest.raises(BadInput, match=name) as caught:
        check_data(tmp_path / name)
    assert caught.value.value
    assert all(kind.form in str(caught.value.allowed) for kind in KINDS)


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        (SampleOptions(), True),
        (SampleOptions(trained_range=(0, 255)), False),
        (SampleOptions(preprocessing=Preprocessing.to_range("0..255")), False),
        (SampleOptions(preprocessing=Preprocessing.to_range("0..1")), True),
        (SampleOptions(preprocessing=Preprocessing.by_numbers(mean=[128])), True),
    ],
    ids=["unknown", "trained range", "stated and right", "stated and not done", "mean not done"],
)
def test_arrays_are_held_against_what_is_stated(
    tmp_path: Path, options: SampleOptions, warned: bool
) -> None:
    x = np.random.default_rng(0).integers(0, 256, (30, 4, 4, 3)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x)
    assert bool(load_samples(tmp_path / "data.npz", [IMAGE], options).warnings) == warned


def test_a_test_set_takes_all_samples_in_their_order(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((700, 4, 4, 3), np.float32)
    np.savez(tmp_path / "test.npz", x=x, y=np.arange(700))
    test_set = load_test_set(tmp_path / "test.npz", [IMAGE])
    assert np.array_equal(test_set.arrays[0], x) and test_set.y.tolist() == list(range(700))


def test_a_range_from_zero_has_no_negative_zero_as_its_mean() -> None:
    assert str(Preprocessing.to_range("0..1").mean[0]) == "0.0"
