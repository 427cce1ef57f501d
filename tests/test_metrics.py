"""Metrics against scikit-learn, and what is no metric or no label."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sklearn

from exporter.arrays import Array
from exporter.errors import BadInput
from exporter.metrics import METRICS, Metric, agreement, auc, find_metric, mae, top1

# Few different scores, so that many are equal.
SCORES = st.integers(0, 6).map(lambda n: n / 8)


@st.composite
def scored(draw: st.DrawFn, most_classes: int = 5) -> tuple[Array, Array]:
    """Scores [N, C] and labels [N] of at least two classes."""
    classes = draw(st.integers(2, most_classes))
    count = draw(st.integers(classes, 30))
    outputs = draw(arrays(np.float64, (count, classes), elements=SCORES))
    labels = draw(arrays(np.int64, count, elements=st.integers(0, classes - 1)))
    labels[:classes] = np.arange(classes)
    return outputs, labels


@settings(max_examples=60, deadline=None)
@given(scored())
def test_top1_is_sklearns(case: tuple[Array, Array]) -> None:
    outputs, labels = case
    assert top1(outputs, labels) == sklearn.accuracy_score(labels, outputs.argmax(axis=1))


@settings(max_examples=60, deadline=None)
@given(scored(most_classes=2))
def test_auc_of_two_classes_is_sklearns(case: tuple[Array, Array]) -> None:
    outputs, labels = case
    expected = sklearn.roc_auc_score(labels, outputs[:, 1])
    assert auc(outputs, labels) == pytest.approx(expected)
    assert auc(outputs[:, 1:], labels) == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(scored())
def test_auc_of_several_classes_is_the_mean_of_sklearns(case: tuple[Array, Array]) -> None:
    outputs, labels = case
    if outputs.shape[1] > 2:
        each = [sklearn.roc_auc_score(labels == c, outputs[:, c]) for c in range(outputs.shape[1])]
        assert auc(outputs, labels) == pytest.approx(np.mean(each))


@settings(max_examples=40, deadline=None)
@given(scored())
def test_mae_is_sklearns(case: tuple[Array, Array]) -> None:
    outputs, _ = case
    labels = outputs[::-1].copy()
    assert mae(outputs, labels) == pytest.approx(sklearn.mean_absolute_error(labels, outputs))


def test_auc_is_half_where_all_scores_are_equal() -> None:
    assert auc(np.ones((6, 1)), np.array([0, 1, 0, 1, 1, 1])) == 0.5


def test_a_single_score_is_cut_at_a_half() -> None:
    assert top1(np.array([[0.2], [0.5], [0.9]]), np.array([0, 1, 0])) == pytest.approx(2 / 3)


def test_agreement_counts_equal_classes() -> None:
    assert agreement(np.eye(4), np.eye(4)[[0, 1, 3, 2]]) == 0.5


@pytest.mark.parametrize(
    ("metric", "outputs", "labels", "what"),
    [
        ("top1", np.eye(3), np.array([0, 1, 3]), "no classes"),
        ("top1", np.eye(3), np.array([0, 1, -1]), "no classes"),
        ("auc", np.eye(3), np.array([0.5, 1, 2]), "no classes"),
        ("auc", np.eye(3), np.array([1, 1, 1]), "two classes"),
        ("top1", np.eye(3), np.array([0, 1]), "a label for every sample"),
        ("mae", np.eye(3), np.zeros((3, 2)), "shape"),
    ],
)
def test_labels_that_do_not_fit(metric: str, outputs: Array, labels: Array, what: str) -> None:
    with pytest.raises(BadInput, match=what) as caught:
        METRICS[metric](outputs, labels)
    assert caught.value.value and caught.value.allowed


@pytest.mark.parametrize(
    ("metric", "reference", "value", "drop"),
    [
        ("top1", 0.9, 0.88, 2.0),
        ("auc", 0.5, 0.75, -25.0),
        ("mae", 2.0, 2.1, 5.0),
        ("mae", 0, 2, 200),
    ],
)
def test_losses_are_points_of_shares_and_percents_of_others(
    metric: str, reference: float, value: float, drop: float
) -> None:
    assert METRICS[metric].drop(reference, value) == pytest.approx(drop)


@pytest.fixture
def own_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module `my_metrics` in the current folder."""
    (tmp_path / "my_metrics.py").write_text(
        "def error(outputs, labels):\n    print('noise')\n    return abs(outputs - labels).max()\n"
        "error.larger_is_better = False\n"
        "def broken(outputs, labels):\n    raise KeyError('gone')\n"
        "def lost(outputs, labels):\n    return float('nan')\n"
        "def leaves(outputs, labels):\n    raise SystemExit(3)\n"
        "number = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "my_metrics", raising=False)


@pytest.mark.usefixtures("own_metrics")
def test_a_users_function(capsys: pytest.CaptureFixture[str]) -> None:
    metric = find_metric("my_metrics:error")
    assert metric(np.array([1.0, 4.0]), np.array([1.0, 2.0])) == 2.0
    assert metric.drop(2.0, 3.0) == 50.0
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("own_metrics")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("my_metrics:broken", "my_metrics.py, line 6, in broken: KeyError: 'gone'"),
        ("my_metrics:leaves", "SystemExit: 3"),
        ("my_metrics:lost", "it returned nan"),
        ("my_metrics:number", "int"),
        ("my_metrics:absent", "it has: error, broken, lost, leaves"),
        ("no_such_module:f", "no no_such_module.py in the current folder"),
        ("top5", "top5"),
    ],
)
def test_functions_that_are_no_metric(name: str, value: str) -> None:
    def use() -> Metric:
        metric = find_metric(name)
        metric(np.zeros(2), np.zeros(2))
        return metric

    with pytest.raises(BadInput) as caught:
        use()
    assert value in str(caught.value.value) and caught.value.allowed
