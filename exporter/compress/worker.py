"""The process in which models are compressed: `python -m exporter.compress.worker`.

Requests (see exporter/worker.py), all with arrays x and y to train on, x and y to validate, and
answered by fields: what `jobs.CompressReport` says of both models; arrays: [.keras file as uint8]

    prune    fields: model, training, pruning
    distill  fields: model, training, distillation, student or width
    qat      fields: model, training
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from exporter.compress.data import Data, Samples
from exporter.compress.distill import distilled
from exporter.compress.macs import layer_macs
from exporter.compress.prune import pruned, scaled
from exporter.compress.qat import quantisation_aware
from exporter.compress.settings import Distillation, Pruning, Training
from exporter.compress.task import task_of
from exporter.compress.training import deterministic, evaluated
from exporter.convert.sources.keras import cannot_load, load_with_keras_3
from exporter.errors import BadInput
from exporter.worker import Message, Progress, serve

_Compression = Callable[[Any, Data, Training], Any]


def prune(request: Message, progress: Progress) -> Message:
    settings = Pruning(**request.fields["pruning"])
    return _answer(
        request, progress, lambda model, data, t: pruned(model, data, settings, t, progress)
    )


def distill(request: Message, progress: Progress) -> Message:
    settings = Distillation(**request.fields["distillation"])
    path, width = request.fields["student"], request.fields["width"]

    def compress(teacher: Any, data: Data, training: Training) -> Any:
        student = _loaded(Path(path)) if path else scaled(teacher, width)
        return distilled(teacher, student, data, settings, training, progress)

    return _answer(request, progress, compress)


def qat(request: Message, progress: Progress) -> Message:
    return _answer(
        request, progress, lambda model, data, t: quantisation_aware(model, data, t, progress)
    )


def _answer(request: Message, progress: Progress, compress: _Compression) -> Message:
    training = Training(**request.fields["training"])
    deterministic(training.seed)
    x, y, validation_x, validation_y = request.arrays
    data = Data(Samples(x, y), Samples(validation_x, validation_y))
    path = Path(request.fields["model"])
    progress(f"loading {path.name}")
    model = _loaded(path)
    before = _described(model, data)
    progress(f"before: {before['score']:.4f}")
    smaller = compress(model, data, training)
    fields = {
        "before": before,
        "after": _described(smaller, data),
        "score_name": task_of(model, data).score_name,
    }
    return Message("done", fields, [np.frombuffer(_file(smaller), np.uint8)])


def _loaded(path: Path) -> Any:
    try:
        return load_with_keras_3(path)
    except (ValueError, TypeError, KeyError, OSError, AttributeError) as error:
        raise cannot_load(path, error) from None


def _described(model: Any, data: Data) -> dict[str, Any]:
    """What `jobs.ModelFigures` holds. MACs are None where a layer is not known: a teacher's may."""
    score, _ = evaluated(
        lambda x, training: model(x, training=training), data.validation, task_of(model, data)
    )
    try:
        layers = [asdict(layer) for layer in layer_macs(model)]
    except BadInput:
        return {"score": score, "parameters": model.count_params(), "macs": None, "layers": []}
    macs = sum(layer["macs"] for layer in layers)
    return {"score": score, "parameters": model.count_params(), "macs": macs, "layers": layers}


def _file(model: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return path.read_bytes()


def main() -> None:
    """Serves until the host closes the pipe."""
    serve({"prune": prune, "distill": distill, "qat": qat})


if __name__ == "__main__":
    main()
