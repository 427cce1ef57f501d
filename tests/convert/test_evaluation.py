"""What a model is judged by, from its outputs and its labels."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.arrays import Array
from exporter.convert.evaluation import Evaluation, gives_classes


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
