"""Compressions of files, run by a worker process in which TensorFlow lives."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from exporter.arrays import check_writable, write_atomically
from exporter.compress.data import Data
from exporter.compress.settings import Distillation, Pruning, Training
from exporter.convert.trained import ENVIRONMENT, require_tensorflow
from exporter.errors import BadInput, CheckFailed, NanoexportError
from exporter.worker import Message, Worker, WorkerDied, WorkerFailed, WorkerTimedOut

Progress = Callable[[str], None]

# Between two messages of the worker: at least one comes with every epoch.
DEADLINE_S = 1800.0


@dataclass(frozen=True)
class Job:
    """The files and settings that every compression has."""

    model: Path
    data: Data
    output: Path
    training: Training


@dataclass(frozen=True)
class ModelFigures:
    """A Keras model: its score on the validation samples, parameters, MACs, and these by layer."""

    score: float
    parameters: int
    macs: int | None
    layers: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class CompressReport:
    """What a compression did. Scores are better when higher."""

    command: str
    model: str
    output: str
    bytes: int
    score_name: str
    before: ModelFigures
    after: ModelFigures
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The report as the JSON output states it."""
        return asdict(self)


def prune_file(job: Job, settings: Pruning, progress: Progress) -> CompressReport:
    """Prunes a model. Raises BadInput, MissingTool (TensorFlow), CheckFailed (it crashed)."""
    return _run("prune", job, {"pruning": asdict(settings)}, progress)


def distill_file(
    job: Job, student: Path | float, settings: Distillation, progress: Progress
) -> CompressReport:
    """Trains a student: a model, or the teacher at a width of 0..1. Raises as `prune_file`."""
    if isinstance(student, Path):
        _check_model(student)
    fields = {
        "distillation": asdict(settings),
        "student": str(student.resolve()) if isinstance(student, Path) else None,
        "width": None if isinstance(student, Path) else student,
    }
    return _run("distill", job, fields, progress)


def qat_file(job: Job, progress: Progress) -> CompressReport:
    """Trains a model for int8. Raises as `prune_file`."""
    return _run("qat", job, {}, progress)


def _run(command: str, job: Job, fields: dict[str, Any], progress: Progress) -> CompressReport:
    start = time.monotonic()
    _check_model(job.model)
    check_writable(job.output)
    require_tensorflow()
    common = {"model": str(job.model.resolve()), "training": asdict(job.training)}
    samples = (job.data.train, job.data.validation)
    arrays = [array for part in samples for array in (part.x, part.y)]
    with Worker("exporter.compress.worker", **ENVIRONMENT) as worker:
        reply = _answer(worker, Message(command, {**common, **fields}, arrays), job, progress)
    model = reply.arrays[0].tobytes()
    write_atomically(job.output, model)
    return CompressReport(
        command=command,
        model=str(job.model),
        output=str(job.output),
        bytes=len(model),
        score_name=reply.fields["score_name"],
        before=_figures(reply.fields["before"]),
        after=_figures(reply.fields["after"]),
        seconds=round(time.monotonic() - start, 2),
    )


def _answer(worker: Worker, request: Message, job: Job, progress: Progress) -> Message:
    try:
        return worker.request(request, DEADLINE_S, progress)
    except WorkerDied as death:
        raise _failed(job, "crashed", f"{death.how}\n{death.log}".strip()) from None
    except WorkerTimedOut:
        raise _failed(job, "did not answer", f"nothing for {DEADLINE_S:g} s") from None
    except WorkerFailed as failure:
        raise _failed(job, "failed", str(failure)) from None


def _failed(job: Job, how: str, value: str) -> NanoexportError:
    return CheckFailed(
        f"TensorFlow {how} on '{job.model}'",
        value=value,
        next_step="check that TensorFlow works: python -c 'import tensorflow'",
    )


def _check_model(path: Path) -> None:
    """Raises BadInput unless a `.keras` file is there."""
    if path.suffix != ".keras" or not path.is_file():
        raise BadInput(
            f"'{path}' cannot be compressed",
            value="another format" if path.exists() else "there is no such file",
            allowed="a Keras 3 model (.keras)",
            next_step="save the model with Keras 3: model.save('model.keras')",
        )


def _figures(fields: dict[str, Any]) -> ModelFigures:
    return ModelFigures(**{**fields, "layers": tuple(fields["layers"])})
