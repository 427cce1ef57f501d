"""What a model is trained for, from its last layer and the labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exporter.compress.data import Data, Samples
from exporter.compress.task import Task, task_of
from exporter.errors import BadInput


def data(y: Any, features: int = 4) -> Data:
    samples = Samples(np.zeros((len(y), features), np.float32), np.asarray(y))
    return Data(samples, samples)


def dense(keras: Any, units: int, activation: str | None = None) -> Any:
    layers = [keras.Input((4,)), keras.layers.Dense(units, activation=activation)]
    return keras.Sequential(layers)


@pytest.mark.parametrize(
    ("units", "activation", "y", "form"),
    [
        (3, "softmax", [0, 1, 2], "probabilities"),
        (3, None, [0, 1, 2], "logits"),
        (1, "sigmoid", [0, 1, 1], "probability"),
        (1, None, [0, 1, 1], "logit"),
        (2, None, np.zeros((3, 2), np.float32), "numbers"),
    ],
)
def test_the_form_of_the_output(
    keras: Any, units: int, activation: str | None, y: Any, form: str
) -> None:
    assert task_of(dense(keras, units, activation), data(y)).form == form


@pytest.mark.parametrize(
    ("units", "y", "words"),
    [
        (3, [0, 1, 3], "0 to 3"),
        (3, [[0], [1]], "[2, 1]"),
        (1, [0, 2], "0 to 2"),
        (2, np.zeros((3, 3), np.float32), "[3, 3]"),
    ],
)
def test_labels_that_do_not_fit(keras: Any, units: int, y: Any, words: str) -> None:
    with pytest.raises(BadInput, match="labels do not fit") as caught:
        task_of(dense(keras, units), data(y))
    assert words in str(caught.value.value)


def test_one_hot_labels_are_refused(keras: Any) -> None:
    with pytest.raises(BadInput, match="ends in a softmax") as caught:
        task_of(dense(keras, 3, "softmax"), data(np.eye(3, dtype=np.float32)))
    assert "argmax" in str(caught.value.next_step)


def test_samples_that_do_not_fit(keras: Any) -> None:
    with pytest.raises(BadInput, match="samples do not fit"):
        task_of(dense(keras, 3), data([0, 1, 2], features=5))


def test_two_inputs_are_refused(keras: Any) -> None:
    x, y = keras.Input((4,)), keras.Input((4,))
    with pytest.raises(BadInput, match="not of one input"):
        task_of(keras.Model([x, y], keras.layers.Add()([x, y])), data([0, 1]))


@pytest.mark.parametrize(
    ("form", "y", "outputs", "score"),
    [
        ("logits", [0, 1, 1], [[2, 1], [0, 3], [1, 0]], 2 / 3),
        ("probability", [0, 1, 1], [[0.4], [0.6], [0.2]], 2 / 3),
        ("logit", [0, 1, 1], [[-1], [0.1], [3]], 1.0),
        ("numbers", [[0.0], [1.0]], [[1.0], [1.0]], -0.5),
    ],
)
def test_scores(form: str, y: Any, outputs: Any, score: float) -> None:
    samples = Samples(np.zeros((len(y), 1)), np.asarray(y))
    assert Task(form).score(samples, np.array(outputs, np.float32)) == pytest.approx(score)


@pytest.mark.parametrize("form", ["probability", "logit", "logits"])
def test_logits_agree_with_the_loss(form: str) -> None:
    """Cross-entropy of the logits is the task's own loss."""
    raw = np.array([[-1.5], [0.3], [2.0]], np.float32)
    y = np.array([0, 1, 1])
    outputs = {
        "logit": raw,
        "probability": 1 / (1 + np.exp(-raw)),
        "logits": np.concatenate([0 * raw, raw], axis=1),
    }[form]
    logits = np.asarray(Task(form).logits(outputs))
    entropy = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(3), y]
    assert np.allclose(np.asarray(Task(form).loss(y, outputs)), entropy, atol=1e-5)
