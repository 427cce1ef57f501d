"""Distillation: its loss by hand, and a student that learns from the teacher alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exporter.compress.data import Data, Samples
from exporter.compress.distill import distilled, soft_loss
from exporter.compress.settings import Distillation, Training
from exporter.compress.task import Task
from exporter.errors import BadInput


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("form", ["logits", "probabilities"])
def test_the_soft_loss_is_the_divergence_of_softened_outputs(form: str) -> None:
    rng = np.random.default_rng(0)
    said, given = rng.normal(0, 2, (2, 6, 5)).astype(np.float32)
    p, q = softmax(said / 3), softmax(given / 3)
    expected = 9 * (p * np.log(p / q)).sum(axis=-1)
    output = given if form == "logits" else softmax(given)
    found = soft_loss(Task("logits"), Task(form), said, output, 3.0)
    assert np.allclose(np.asarray(found), expected, rtol=1e-3)


def test_a_student_learns_what_only_the_teacher_knows(keras: Any) -> None:
    """All labels are the same; alpha 0 trusts the teacher."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (256, 4)).astype(np.float32)
    labels = np.zeros(256, np.int64)
    teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    teacher.layers[0].set_weights([rng.normal(0, 2, (4, 3)), np.zeros(3)])
    student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    said = np.asarray(teacher(x)).argmax(axis=1)
    data = Data(Samples(x, labels), Samples(x, said))
    taught = distilled(
        teacher, student, data, Distillation(2.0, 0.0), Training(20, 20, 16, 0.05), lambda _: None
    )
    assert (np.asarray(taught(x)).argmax(axis=1) == said).mean() > 0.95
    assert (np.asarray(student(x)).argmax(axis=1) == said).mean() < 0.9, "the given one changed"


def test_a_student_of_another_output_is_refused(keras: Any) -> None:
    def dense(units: int) -> Any:
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(units)])

    samples = Samples(np.zeros((8, 4), np.float32), np.zeros(8, np.int64))
    with pytest.raises(BadInput, match="do not give the same output"):
        distilled(
            dense(3), dense(4), Data(samples, samples), Distillation(), Training(), lambda _: None
        )
