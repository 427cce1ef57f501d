"""Accuracies of a test set, from the int8 outputs of a board."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.graph.tflite_reader import read
from exporter.hil.evaluate import accuracy, scores
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
    assert accuracy(scores(vectors, graph[graph.outputs[0]]), np.array(labels)) == 1.0
