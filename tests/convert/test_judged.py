"""Conversions judged end to end: figures of layers, searches, reports. TensorFlow in a worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.arrays import Array
from exporter.convert import TrainedModel
from exporter.convert.judged import Judged, Wanted, convert_judged, judge_loaded
from exporter.convert.measures import Comparison, decibels, worst_first
from exporter.convert.settings import ConvertSettings
from exporter.errors import BadInput, CheckFailed
from exporter.hil.vectors import dequantize, quantize
from exporter.oracle import Oracle
from tests.flatbuffer_builder import ModelBuilder
from tests.hil.support import nanoexport

CLASSES = 8
DEFAULTS = ConvertSettings()

pytest_plugins = ["tests.hil.fixtures"]


def need_tensorflow() -> None:
    if find_spec("tensorflow") is None:
        pytest.skip("needs TensorFlow (the extra `convert`)")


def chain(weights: list[Array], *, around_last: bool = False) -> bytes:
    """Dense layers in a row, float; `around_last` adds the last one's input to its output."""
    builder = ModelBuilder()
    edge = x = builder.tensor("x", [1, weights[0].shape[1]], "float32")
    before = x
    for number, values in enumerate(weights):
        w = builder.tensor(f"w{number}", list(values.shape), "float32", data=values)
        before, edge = edge, builder.tensor(f"dense_{number}", [1, values.shape[0]], "float32")
        builder.op("FULLY_CONNECTED", [before, w, -1], [edge], version=1)
    if around_last:
        total = builder.tensor("total", [1, weights[-1].shape[0]], "float32")
        builder.op("ADD", [before, edge], [total], version=1)
        edge = total
    return builder.finish([x], [edge])


@pytest.fixture(scope="module")
def outlier_channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Comparison]:
    """A model whose layer dense_1 has one input channel of huge weights, which is always zero."""
    need_tensorflow()
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 1, (2, 16, 16)).astype(np.float32)
    first[0] = 0
    second *= 0.1
    second[:, 0] = 60
    path = tmp_path_factory.mktemp("outlier") / "outlier.tflite"
    path.write_bytes(chain([first, second], around_last=True))
    x = rng.normal(0, 1, (50, 16)).astype(np.float32)
    with TrainedModel(path) as trained:
        trained.observe([x])
        yield trained.compare(trained.quantized(DEFAULTS), [x], measured=20)


def test_the_layer_with_an_outlier_channel_is_the_worst(outlier_channel: Comparison) -> None:
    worst, *others = worst_first(outlier_channel.tensors)
    assert worst.name == "dense_1"
    assert worst.sqnr_db is not None and worst.sqnr_db < 15
    assert worst.own_sqnr_db is not None and worst.own_sqnr_db > 35
    assert all(o.sqnr_db is None or o.sqnr_db > worst.sqnr_db + 5 for o in others)


def test_every_tensor_is_compared_in_the_order_of_the_model(outlier_channel: Comparison) -> None:
    assert [t.name for t in outlier_channel.tensors] == ["x", "dense_0", "dense_1", "total"]
    assert [w.name for w in outlier_channel.weights] == ["dense_0", "dense_1"]
    assert outlier_channel.unmatched == ()


def test_histograms_hold_every_value(outlier_channel: Comparison) -> None:
    assert outlier_channel.measured == 20
    for tensor in outlier_channel.tensors:
        assert sum(tensor.spread.float_counts) == sum(tensor.spread.int_counts) == 20 * 16
    for layer in outlier_channel.weights:
        assert sum(layer.spread.float_counts) == sum(layer.spread.int_counts) == 16 * 16


def test_outputs_are_those_of_all_samples(outlier_channel: Comparison) -> None:
    (before,), (after,) = outlier_channel.float_outputs, outlier_channel.outputs
    assert before.shape == after.shape == (50, 16)
    assert 0 < np.abs(before - after).max() < np.abs(before).max()


def save_peaks(folder: Path) -> None:
    """copy.tflite; calib.npz with one huge value; eval.npz: the class is the largest value."""
    rng = np.random.default_rng(1)
    (folder / "copy.tflite").write_bytes(chain([np.eye(CLASSES, dtype=np.float32)]))
    x = rng.random((400, CLASSES), np.float32)
    np.savez(folder / "eval.npz", x=x, y=x.argmax(axis=1))
    calibration = rng.random((400, CLASSES), np.float32)
    calibration[7, 3] = 300
    np.savez(folder / "calib.npz", x=calibration)


@pytest.fixture(scope="module")
def peaks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `save_peaks`."""
    need_tensorflow()
    folder = tmp_path_factory.mktemp("peaks")
    save_peaks(folder)
    return folder


@dataclass(frozen=True)
class Judge:
    """The model of `save_peaks`, loaded once."""

    folder: Path
    trained: TrainedModel

    def __call__(self, output: Path, wanted: Wanted) -> Judged:
        return judge_loaded(self.trained, self.folder / "calib.npz", output, DEFAULTS, wanted)


@pytest.fixture(scope="module")
def judge(peaks: Path) -> Iterator[Judge]:
    with TrainedModel(peaks / "copy.tflite") as trained:
        yield Judge(peaks, trained)


@pytest.fixture(scope="module")
def searched(peaks: Path, judge: Judge) -> Judged:
    """A search with a report; the outlier of the calibration data spoils minmax."""
    wanted = Wanted(report=peaks / "new" / "report", evaluation=peaks / "eval.npz", max_drop=2.0)
    return judge(peaks / "searched.tflite", wanted)


def test_a_search_finds_the_percentile_that_cuts_the_outlier(searched: Judged) -> None:
    found = searched.judgement.found
    assert found is not None and found.passed and searched.written
    assert found.candidate.settings.ranges == "percentile"
    first = found.tries[0]
    assert first.label == "minmax" and first.score is not None and first.score.drop > 30
    searched.check()


def test_the_conversion_tells_the_settings_that_were_found(searched: Judged) -> None:
    assert searched.conversion.settings.ranges == "percentile"


def test_the_metric_is_that_of_the_written_file(peaks: Path, searched: Judged) -> None:
    """On an interpreter of its own, bit for bit."""
    data = np.load(peaks / "eval.npz")
    flatbuffer = (peaks / "searched.tflite").read_bytes()
    with Oracle(flatbuffer) as oracle:
        (tensor,), (output,) = oracle.inputs, oracle.outputs
        stored = quantize(data["x"], tensor)
        outputs = [oracle.run([s[None]])[0] for s in stored]
    real = dequantize(np.concatenate(outputs), output)
    assert searched.judgement.values == (1.0, (real.argmax(axis=1) == data["y"]).mean())


def test_the_figures_are_those_of_the_definition(peaks: Path, searched: Judged) -> None:
    (before,), (after,) = (
        searched.judgement.comparison.float_outputs,
        searched.judgement.comparison.outputs,
    )
    last = searched.judgement.comparison.tensors[-1]
    errors = after.astype(np.float64) - before
    expected = decibels(float((before.astype(np.float64) ** 2).sum()), float((errors**2).sum()))
    assert last.sqnr_db == pytest.approx(expected, rel=1e-4)
    assert last.mean_error == pytest.approx(errors.mean(), rel=1e-3, abs=1e-7)
    assert last.max_error == pytest.approx(np.abs(errors).max(), rel=1e-4)
    assert last.observed == (before.min(), before.max())
    low, high = last.chosen
    beyond = (before < low - last.scale / 2) | (before > high + last.scale / 2)
    assert last.saturation == beyond.mean()


def test_the_report_is_beside_nothing_else(peaks: Path, searched: Judged) -> None:
    folder = peaks / "new" / "report"
    assert sorted(p.name for p in folder.iterdir()) == ["report.html", "report.json"]
    document = json.loads((folder / "report.json").read_text())
    assert document["metric"]["name"] == "top1"
    assert document["search"]["chosen"].startswith("percentile")


def test_the_same_files_give_the_same_report_but_for_the_times(
    peaks: Path, judge: Judge, tmp_path: Path
) -> None:
    documents = []
    for name in ("a", "b"):
        wanted = Wanted(report=tmp_path / name, evaluation=peaks / "eval.npz")
        judge(tmp_path / "out.tflite", wanted)
        documents.append(json.loads((tmp_path / name / "report.json").read_text()))
        assert documents[-1].pop("seconds")
    assert documents[0] == documents[1]


def test_a_search_without_success_writes_nothing_and_exits_with_1(
    peaks: Path, tmp_path: Path
) -> None:
    """No quantised model has the float one's exact outputs."""
    x = np.load(peaks / "eval.npz")["x"][:40]
    np.savez(tmp_path / "exact.npz", x=x, y=x)
    arguments = (
        "convert", str(peaks / "copy.tflite"), "--data", str(peaks / "calib.npz"),
        "-o", str(tmp_path / "out.tflite"), "--eval", str(tmp_path / "exact.npz"),
        "--metric", "mae", "--max-drop", "0%", "--report", str(tmp_path / "report"), "--json",
    )  # fmt: skip
    run = nanoexport(*arguments)
    assert run.code == 1
    document = json.loads(run.out)
    assert document["error"]["what"] == "no settings keep the loss under the limit"
    assert not document["written"] and not document["search"]["passed"]
    labels = [t["label"] for t in document["search"]["tries"]]
    assert labels[:2] == ["minmax", "percentile 99.99"] and "last resort" in labels[-1]
    assert [p.name for p in tmp_path.iterdir()] == ["exact.npz"]


def test_the_best_is_kept_on_request(peaks: Path, judge: Judge, tmp_path: Path) -> None:
    x = np.load(peaks / "eval.npz")["x"][:40]
    np.savez(tmp_path / "exact.npz", x=x, y=x)
    wanted = Wanted(evaluation=tmp_path / "exact.npz", metric="mae", max_drop=0.0, keep_best=True)
    judged = judge(tmp_path / "out.tflite", wanted)
    assert judged.written and (tmp_path / "out.tflite").exists()
    with pytest.raises(CheckFailed, match="best one was written"):
        judged.check()


def test_without_labels_there_are_errors_alone(judge: Judge, tmp_path: Path) -> None:
    """A copy looks like an autoencoder, so that here only the errors are left."""
    judged = judge(tmp_path / "out.tflite", Wanted(report=tmp_path))
    assert judged.judgement.agreement is None and judged.judgement.values is None
    assert judged.judgement.output_sqnr_db is not None


def refusal(peaks: Path, output: Path, wanted: Wanted) -> BadInput:
    with pytest.raises(BadInput) as caught:
        convert_judged(peaks / "copy.tflite", peaks / "calib.npz", output, DEFAULTS, wanted)
    return caught.value


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [("metric", "top7", "no such metric"), ("evaluation", Path("absent.npz"), "cannot read")],
)
def test_what_is_refused_before_the_model_is_loaded(
    peaks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Any, what: str
) -> None:
    monkeypatch.setattr("exporter.convert.judged.TrainedModel", None)
    wanted = replace(Wanted(evaluation=peaks / "eval.npz"), **{name: value})
    assert what in refusal(peaks, tmp_path / "out.tflite", wanted).what
    assert not list(tmp_path.iterdir())


def test_a_report_in_the_place_of_a_file_is_refused(peaks: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    wanted = Wanted(report=tmp_path / "taken" / "report")
    assert "cannot write the report" in refusal(peaks, tmp_path / "out.tflite", wanted).what


def test_a_search_needs_something_to_judge_by(judge: Judge, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing to judge"):
        judge(tmp_path / "out.tflite", Wanted(max_drop=1.0))


@pytest.mark.parametrize(
    ("options", "what"),
    [({"keep_best": True}, "without a search"), ({"metric": "top1"}, "samples with labels")],
)
def test_options_that_say_nothing_alone(options: dict[str, Any], what: str) -> None:
    with pytest.raises(BadInput, match=what):
        Wanted(**options)
