"""Accuracies of a test set, from the int8 outputs of a board."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

from exporter.errors import BadInput
from exporter.graph.tflite_reader import read
from exporter.hil.evaluation import data as evaluate
from tests.hil.support import dense_model


@pytest.mark.parametrize(
    ("outputs", "labels"),
    [
        ([[-128], [10], [11], [127]], [0, 0, 1, 1]),  # 0.0331 * (10 + 5) is just below 0.5
        ([[3, 2], [2, 3], [-5, -4], [7, 7]], [0, 1, 1, 0]),
    ],
    ids=["one score against a half", "the first largest"],
)
def test_the_class_of_an_output(outputs: list[list[int]], labels: list[int]) -> None:
    graph = read(dense_model(units=len(outputs[0])))
    vectors = [[np.array([row], np.int8)] for row in outputs]
    found = evaluate.scores(vectors, graph[graph.outputs[0]])
    assert evaluate.accuracy(found, np.array(labels)) == 1.0


@pytest.mark.parametrize(
    ("units", "labels", "fit"),
    [
        (1, [0, 1], True),
        (1, [1, 2], False),
        (4, [0, 3], True),
        (4, [1, 4], False),
        (4, [-1], False),
    ],
)
def test_labels_are_classes_of_the_model(units: int, labels: list[int], fit: bool) -> None:
    graph = read(dense_model(units=units))
    test_set = evaluate.TestSet((np.zeros((len(labels), 12), np.float32),), np.array(labels))
    told: Any = contextlib.nullcontext() if fit else pytest.raises(BadInput, match="no classes")
    with told:
        evaluate.check_classes(test_set, graph[graph.outputs[0]])
