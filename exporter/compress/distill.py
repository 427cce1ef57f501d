"""Knowledge distillation: a student learns from the labels and from what its teacher says.

After G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network" (2015). The
teacher's outputs, softened by a temperature, tell which wrong classes are nearly right.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from exporter.compress.data import Data
from exporter.compress.settings import Distillation, Training
from exporter.compress.task import Task, task_of
from exporter.compress.training import Progress, fit, trainee_of
from exporter.errors import BadInput


def distilled(
    teacher: Any,
    student: Any,
    data: Data,
    settings: Distillation,
    training: Training,
    progress: Progress,
) -> Any:
    """A trained copy of the student.

    Raises BadInput where samples, teacher and student do not fit each other.
    """
    teaching, task = task_of(teacher, data), task_of(student, data)
    _check_outputs(teacher, student)
    weights, student = student.get_weights(), keras.models.clone_model(student)
    student.set_weights(weights)

    def loss(x: Any, y: Any, output: Any) -> Any:
        said = teacher(x, training=False)
        soft = soft_loss(teaching, task, said, output, settings.temperature)
        return settings.alpha * task.loss(y, output) + (1 - settings.alpha) * soft

    fit(trainee_of(student), data, task, training, progress, loss)
    return student


def soft_loss(teaching: Task, task: Task, said: Any, output: Any, temperature: float) -> Any:
    """[N]: how far the student's output is from what the teacher said.

    For classes the divergence between the softened distributions times temperature^2, which keeps
    its gradients as large as those of the labels; for numbers the squared difference.
    """
    if not task.has_classes:
        return task.loss(said, output)
    wanted = ops.log_softmax(teaching.logits(said) / temperature)
    given = ops.log_softmax(task.logits(output) / temperature)
    return temperature**2 * ops.sum(ops.exp(wanted) * (wanted - given), axis=-1)


def _check_outputs(teacher: Any, student: Any) -> None:
    shapes = [tuple(m.outputs[0].shape[1:]) for m in (teacher, student)]
    if shapes[0] != shapes[1]:
        raise BadInput(
            "teacher and student do not give the same output",
            value=f"teacher {list(shapes[0])}, student {list(shapes[1])}",
            allowed="a student with the teacher's output",
        )
