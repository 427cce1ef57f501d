"""What outputs come to: metrics with their intervals, classes, confusions, mismatches."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from exporter.arrays import Array
from exporter.errors import BadInput
from exporter.graph.tflite_reader import read
from exporter.hil.evaluation import data, figures
from exporter.hil.evaluation.record import Result
from exporter.metrics import METRICS, find_metric
from tests.hil.support import dense_model, two_output_model

NOTHING = np.zeros((0, 1), np.float32)


def labelled(labels: list[int], names: tuple[str, ...] | None = None) -> data.TestSet:
    return data.TestSet((NOTHING,), np.array(labels, np.int64), names)


def one_hot(classes: list[int], count: int = 3) -> Array:
    return np.eye(count, dtype=np.float32)[classes]


def test_top1_has_wilsons_interval_and_the_oracles_value() -> None:
    labels = np.array([0, 1, 2, 2])
    found = figures.score(
        METRICS["top1"], one_hot([0, 1, 2, 1]), one_hot([0, 1, 2, 2]), labels, 100
    )
    assert (found.value, found.oracle) == (0.75, 1.0)
    assert found.interval is not None and found.interval.method == "Wilson"


def test_a_binary_auc_has_delongs_interval() -> None:
    scores = np.array([[0.1], [0.4], [0.35], [0.8]], np.float32)
    found = figures.score(METRICS["auc"], scores, None, np.array([0, 0, 1, 1]), 100)
    assert found.value == 0.75 and found.oracle is None
    assert found.interval is not None and found.interval.method.startswith("DeLong")


def test_classes_that_do_not_overlap_have_no_interval_and_a_reason() -> None:
    scores = np.array([[0.1], [0.2], [0.7], [0.8]], np.float32)
    found = figures.score(METRICS["auc"], scores, None, np.array([0, 0, 1, 1]), 100)
    assert found.value == 1.0 and found.interval is None
    assert found.no_interval is not None and "overlap" in found.no_interval


def test_an_auc_of_several_classes_is_drawn_again_within_each() -> None:
    """One sample of class 2: a plain bootstrap loses it, and its AUC, in a third of its draws."""
    rng = np.random.default_rng(0)
    labels = np.array([0] * 9 + [2])
    outputs = rng.normal(size=(10, 3)).astype(np.float32) + one_hot([*labels])
    found = figures.score(METRICS["auc"], outputs, None, labels, 50)
    assert found.interval is not None and found.interval.low <= found.value <= found.interval.high


def test_mae_is_drawn_by_samples() -> None:
    outputs = np.array([[1.0, 2.0], [3.0, 5.0], [0.0, 0.0]], np.float32)
    labels = np.array([[1.0, 2.0], [3.0, 4.0], [0.0, 4.0]])
    found = figures.score(METRICS["mae"], outputs, None, labels, 200)
    assert found.value == pytest.approx(5 / 6)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == (0.0, 2.0)  # one sample alone, three times


def test_a_function_that_fails_on_a_resample_has_no_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The value itself is told all the same."""
    module = types.ModuleType("picky")
    labels = np.arange(6)

    def all_different(outputs: Array, labels: Array) -> float:
        if len(set(labels)) < len(labels):
            raise ValueError("a label twice")
        return 3.0

    monkeypatch.setattr(module, "all_different", all_different, raising=False)
    monkeypatch.setitem(sys.modules, "picky", module)
    metric = find_metric("picky:all_different")
    found = figures.score(metric, labels[:, None].astype(np.float32), None, labels, 20)
    assert found.value == 3.0 and found.interval is None
    assert found.no_interval is not None and "a label twice" in found.no_interval


def test_labels_that_do_not_fit_are_told_before_anything_runs() -> None:
    graph = read(dense_model(units=3))
    output = graph[graph.outputs[0]]
    for name, labels in (
        ("auc", np.zeros(4, np.int64)),
        ("top1", np.array([0, 3])),
        ("mae", np.zeros((4, 2))),
    ):
        with pytest.raises(BadInput):
            figures.check_labels(METRICS[name], output, labels)
    figures.check_labels(METRICS["mae"], output, np.zeros((4, 3)))


def test_figures_of_each_class() -> None:
    found = figures.class_figures(
        one_hot([0, 0, 1, 2]), labelled([0, 1, 1, 2], ("ant", "bee", "cat"))
    )
    assert [(c.number, c.name, c.samples, c.right) for c in found] == [
        (0, "ant", 1, 1),
        (1, "bee", 2, 1),
        (2, "cat", 1, 1),
    ]
    assert found[1].interval.low < 0.5 < found[1].interval.high


def test_the_most_mistaken_come_first() -> None:
    labels = [0, 1, 1, 1, 1, 2]
    outputs = one_hot([0, 2, 2, 0, 1, 0])
    found = figures.confusions(outputs, labelled(labels), 2)
    assert [(c.true, c.predicted, c.samples, c.share) for c in found] == [
        ("1", "2", 2, 0.5),
        ("1", "0", 1, 0.25),
    ]
    assert figures.confusions(one_hot(labels), labelled(labels), 5) == []


def test_outputs_keep_the_models_shape_and_order() -> None:
    graph = read(dense_model(units=3))
    output = graph[graph.outputs[0]]
    results = {k: Result([np.full((1, 3), k, np.int8)]) for k in (2, 0, 1)}
    found = figures.real_outputs(results, output)
    assert found.shape == (3, 3)
    assert found[:, 0] == pytest.approx([output.scale * (k - output.zero_point) for k in range(3)])


def test_the_first_wrong_element_is_told_with_the_samples_number() -> None:
    graph = read(two_output_model())
    tensors = [graph[t] for t in graph.outputs]
    right = Result([np.zeros((1, 8), np.int8), np.ones((1, 8), np.int8)])
    wrong = np.ones((1, 8), np.int8)
    wrong[0, 5:7] = 9
    board = {0: right, 1: Result([right.outputs[0], wrong]), 2: right}
    found = figures.mismatches(board, dict.fromkeys(range(3), right), tensors, [40, 41, 42])
    assert [(m.sample, m.output, m.position, m.expected, m.found, m.elements) for m in found] == [
        (41, "b", (0, 5), 1, 9, 2)
    ]
    assert "sample 41" in found[0].describe() and "[0, 5] is 9, expected 1" in found[0].describe()
