"""From a trained model and calibration data to a strictly int8 flatbuffer."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from exporter.arrays import check_writable, read_arrays, write_atomically
from exporter.convert.audit import audit
from exporter.convert.calibration import load_calibration
from exporter.convert.sources import find_source
from exporter.convert.trained import Progress, TrainedModel, require_tensorflow
from exporter.graph.ir import Graph, Tensor


@dataclass(frozen=True)
class TensorReport:
    """An input or output of the flatbuffer: real = scale * (int8 - zero_point)."""

    name: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int


@dataclass(frozen=True)
class ConvertReport:
    """What a conversion did. `samples` of `samples_given` calibrated it."""

    model: str
    source: str
    output: str
    bytes: int
    sha256: str
    samples: int
    samples_given: int
    inputs: tuple[TensorReport, ...]
    outputs: tuple[TensorReport, ...]
    operators: dict[str, int]
    warnings: tuple[str, ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The report as the JSON output states it."""
        return asdict(self)


def convert(
    model: Path, data: Path, output: Path, *, progress: Progress | None = None
) -> ConvertReport:
    """Converts the model at `model`, calibrated with `data`, and writes `output`.

    The same files give the same bytes. Nothing is written unless the result passes the strict
    audit. Raises BadInput (model, data, or a result that is not int8 throughout), MissingTool
    (TensorFlow), CheckFailed (TensorFlow crashed).
    """
    find_source(model)
    check_writable(output)
    require_tensorflow()
    read_arrays(data)  # a missing file is told before TensorFlow is loaded
    with TrainedModel(model, progress) as trained:
        return convert_loaded(trained, data, output, progress=progress)


def convert_loaded(
    trained: TrainedModel, data: Path, output: Path, *, progress: Progress | None = None
) -> ConvertReport:
    """`convert` for a model that is loaded already, and will go on being used."""
    start = time.monotonic()
    calibration = load_calibration(data, trained.inputs)
    flatbuffer = trained.quantized(calibration.arrays)
    if progress:
        progress("auditing the result")
    graph = audit(flatbuffer, str(trained.path))
    write_atomically(output, flatbuffer)
    return ConvertReport(
        model=str(trained.path),
        source=trained.kind,
        output=str(output),
        bytes=len(flatbuffer),
        sha256=hashlib.sha256(flatbuffer).hexdigest(),
        samples=len(calibration.arrays[0]),
        samples_given=calibration.given,
        inputs=_tensors(graph, graph.inputs),
        outputs=_tensors(graph, graph.outputs),
        operators=dict(sorted(Counter(op.kind for op in graph.ops).items())),
        warnings=calibration.warnings,
        seconds=round(time.monotonic() - start, 2),
    )


def _tensors(graph: Graph, ids: tuple[int, ...]) -> tuple[TensorReport, ...]:
    return tuple(_report(graph[t]) for t in ids)


def _report(tensor: Tensor) -> TensorReport:
    return TensorReport(tensor.name, tensor.shape, tensor.scale, tensor.zero_point)
