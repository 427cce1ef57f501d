"""`deploy`, the stages in order: what it refuses before it starts, and what it hands back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter import pipeline
from exporter.board import load_board
from exporter.build.firmware import Settings
from exporter.convert.finish import ConvertOptions
from exporter.errors import BadInput, CheckFailed
from exporter.hil.verify import Verification
from exporter.pipeline import DeployRequest, deploy
from exporter.samples import SampleOptions
from tests.hil.support import DIGITS, dense_model, labelled, saved

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")


def quiet(stage: str, done: int, total: int) -> None:
    """Progress nobody watches."""


def request_for(model: Path, **more: Any) -> DeployRequest:
    """A deployment of `model` on `host` with few vectors and no seeded faults."""
    chosen = {
        "flatbuffer": model.with_suffix(".tflite"),
        "settings": Settings(),
        "vectors": 3,
        "controls": 0,
        **more,
    }
    return DeployRequest(model=model, board=load_board("host"), **chosen)


def test_a_flatbuffer_needs_no_conversion(small_model: Path) -> None:
    stages: list[str] = []
    request = request_for(small_model, controls=1)
    done = deploy(request, lambda stage, *_: stages.append(stage))
    assert done.conversion is None and done.accuracies is None
    assert done.verification.vectors == 3 and done.verification.bit_exact
    assert done.controls.rate == 1
    assert done.benchmark.stack_bytes > 0
    assert list(dict.fromkeys(stages)) == ["build", "verify", "controls", "bench"]


def test_a_test_set_is_run_after_the_vectors(tmp_path: Path) -> None:
    model = saved(tmp_path, dense_model(units=4, inputs=5))
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "test.npz", x=rng.normal(0, 2, (9, 5)), y=rng.integers(0, 4, 9))
    done = deploy(request_for(model, test_set=tmp_path / "test.npz"), quiet)
    assert done.verification.vectors == 3 + 9
    assert done.accuracies is not None and done.accuracies.samples == 9
    assert done.accuracies.float_model is None, "a flatbuffer has no float model"
    assert done.accuracies.int8_board == done.accuracies.int8_host


def test_a_test_set_is_read_by_the_options_and_whole(tmp_path: Path) -> None:
    model = saved(tmp_path, dense_model(units=2, inputs=2))
    rows = "".join(f"{k % 3},1,{'ab'[k % 2]}\n" for k in range(7))
    (tmp_path / "test.csv").write_text(f"x,y,class\n{rows}", encoding="utf-8")
    samples = SampleOptions(samples=3, csv_label="class")
    request = request_for(
        model, test_set=tmp_path / "test.csv", options=ConvertOptions(samples=samples)
    )
    accuracies = deploy(request, quiet).accuracies
    assert accuracies is not None and accuracies.samples == 7


def test_the_classes_of_a_test_set_are_the_models_by_name(tmp_path: Path) -> None:
    """No sample is an ant, so that the alphabet would take every cat for one."""
    model = saved(tmp_path, labelled(dense_model(units=3, inputs=2), ("ant", "cat", "dog")))
    rows = np.random.default_rng(0).normal(0, 3, (30, 2))
    arrays = {"x": rows.astype(np.float32), "y": np.array(["cat", "dog", "dog"] * 10)}
    np.savez(tmp_path / "named.npz", **arrays)
    np.savez(tmp_path / "numbered.npz", x=arrays["x"], y=np.array([1, 2, 2] * 10))
    by_name, by_number = (
        deploy(request_for(model, test_set=tmp_path / f"{name}.npz"), quiet).accuracies
        for name in ("named", "numbered")
    )
    assert by_name == by_number and by_name is not None and 0 < by_name.int8_board < 1


def test_what_looks_wrong_with_a_test_set_is_handed_on(tmp_path: Path) -> None:
    model = saved(tmp_path, dense_model(units=2, inputs=2))
    rows = np.full((6, 2), 200.0) + np.arange(6)[:, None]
    np.savez(tmp_path / "test.npz", x=rows, y=[0, 1] * 3)
    done = deploy(request_for(model, test_set=tmp_path / "test.npz"), quiet)
    assert any("raw pixels" in warning for warning in done.test_warnings)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"x": np.zeros((3, 4))}, "no test set"),
        ({"x": np.zeros((3, 4)), "y": np.zeros(2, int)}, "one label for each"),
        ({"x": np.zeros((0, 4)), "y": np.zeros(0, int)}, "is empty"),
        ({"x": np.full((3, 4), np.nan), "y": np.zeros(3, int)}, "NaN or infinite"),
        ({"x": np.zeros((3, 4)), "y": np.zeros(3)}, "no test set"),
        ({"x": np.zeros((3, 7)), "y": np.zeros(3, int)}, "wrong shape"),
    ],
    ids=["no labels", "lengths", "empty", "NaN", "float labels", "shape"],
)
def test_a_test_set_that_cannot_be_used(arrays: dict[str, Any], told: str, tmp_path: Path) -> None:
    model = saved(tmp_path, dense_model(inputs=4))
    np.savez(tmp_path / "test.npz", **arrays)
    with pytest.raises(BadInput, match=told):
        deploy(request_for(model, test_set=tmp_path / "test.npz"), quiet)


def test_a_broken_test_set_is_found_before_the_conversion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(*_: Any) -> None:
        raise AssertionError("converted although the test set cannot be used")

    monkeypatch.setattr(pipeline, "convert_loaded", convert)
    request = request_for(
        DIGITS / "digits.keras",
        flatbuffer=tmp_path / "out.tflite",
        calibration=DIGITS / "calibration.npz",
        test_set=tmp_path / "missing.npz",
    )
    with pytest.raises(BadInput, match=r"missing\.npz"):
        deploy(request, quiet)
    assert list(tmp_path.iterdir()) == []


def test_a_trained_model_needs_calibration_data(tmp_path: Path) -> None:
    request = request_for(DIGITS / "digits.keras", flatbuffer=tmp_path / "out.tflite")
    with pytest.raises(BadInput, match="calibration data"):
        deploy(request, quiet)


def test_a_mismatch_ends_the_deployment(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is benchmarked that does not compute the right thing."""

    def nothing_equal(*_: Any, **__: Any) -> Verification:
        return Verification()

    def bench(*_: Any, **__: Any) -> None:
        raise AssertionError("benchmarked all the same")

    monkeypatch.setattr(pipeline, "verify_on_board", nothing_equal)
    monkeypatch.setattr(pipeline, "bench_on_board", bench)
    with pytest.raises(CheckFailed):
        deploy(request_for(small_model), quiet)
