"""What a model is judged by, from its outputs and its labels."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.arrays import Array
from exporter.convert.evaluation import Evaluation, gives_classes, with_all_classes


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array([0, 1, 1]), True),
        (np.array([57, 3, 61]), False),
        (np.array([0, -1, 1]), False),
        (np.array([0.0, 1.0, 0.5]), False),
        (None, True),
    ],
    ids=["classes", "whole numbers", "negative ones", "fractions", "none"],
)
def test_labels_beyond_the_scores_are_no_classes(labels: Array | None, classes: bool) -> None:
    evaluation = Evaluation("samples", (np.zeros((3, 4), np.float32),), labels)
    assert gives_classes(np.zeros((3, 1), np.float32), evaluation) == classes


@pytest.mark.parametrize(
    ("names", "classes", "expected"),
    [
        (("cat", "dog"), ("ant", "cat", "dog"), [1, 2, 2]),
        (("cat", "dog"), ("dog", "cow", "cat"), [2, 0, 0]),
        (("ant", "cat", "dog"), ("dog", "cat", "ant"), [0, 1, 1]),  # told by a warning instead
        (("cat", "cow"), ("ant", "cat", "dog"), [0, 1, 1]),
        (None, ("ant", "cat", "dog"), [0, 1, 1]),
    ],
    ids=["a folder is missing", "in another order, too", "all there", "another one", "no names"],
)
def test_a_missing_class_shifts_no_numbers(
    names: tuple[str, ...] | None, classes: tuple[str, ...], expected: list[int]
) -> None:
    labels = np.array([0, 1, 1])
    evaluation = Evaluation("samples", (np.zeros((3, 4), np.float32),), labels, names)
    found = with_all_classes(evaluation, classes)
    assert found.labels is not None and found.labels.tolist() == expected
    if expected != [0, 1, 1]:
        assert found.class_names == classes
