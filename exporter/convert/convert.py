"""From a trained model and calibration data to a strictly int8 flatbuffer."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from exporter.arrays import check_kept, check_writable, write_atomically
from exporter.convert.audit import Audit
from exporter.convert.finish import PLAIN, ConvertOptions, check_target, checked, with_metadata
from exporter.convert.metadata import label_doubts
from exporter.convert.settings import ConvertSettings
from exporter.convert.sources import find_source
from exporter.convert.trained import Progress, TrainedModel, require_tensorflow
from exporter.graph.ir import Graph, Tensor
from exporter.samples import Samples, check_data, load_samples

DEFAULTS = ConvertSettings()


@dataclass(frozen=True)
class TensorReport:
    """An input or output of the flatbuffer: real = scale * (integer - zero_point).

    A float one has neither.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True)
class ConvertReport:
    """What a conversion did. `samples` of `samples_given` calibrated it."""

    model: str
    source: str
    output: str
    settings: ConvertSettings
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
    model: Path,
    data: str | Path,
    output: Path,
    settings: ConvertSettings = DEFAULTS,
    options: ConvertOptions = PLAIN,
    *,
    progress: Progress | None = None,
) -> ConvertReport:
    """Converts the model at `model`, calibrated with `data`, and writes `output`.

    The same files give the same bytes. Nothing is written unless the result passes the strict
    audit. Raises BadInput (model, data, or a result that is not int8 throughout), MissingTool
    (TensorFlow), CheckFailed (TensorFlow crashed).
    """
    find_source(model)
    check_target(settings, options)
    check_output(output, model, data)
    require_tensorflow()
    check_data(data)  # a missing file is told before TensorFlow is loaded
    with TrainedModel(model, progress) as trained:
        return convert_loaded(trained, data, output, settings, options, progress=progress)


def convert_loaded(
    trained: TrainedModel,
    data: str | Path,
    output: Path,
    settings: ConvertSettings = DEFAULTS,
    options: ConvertOptions = PLAIN,
    *,
    progress: Progress | None = None,
) -> ConvertReport:
    """`convert` for a model that is loaded already, and will go on being used."""
    start = time.monotonic()
    calibration = load_samples(data, trained.inputs, options.samples, progress)
    trained.observe(calibration.arrays, histograms=settings.ranges != "minmax")
    flatbuffer = trained.quantized(settings)
    if progress:
        progress("auditing the result")
    checks = checked(flatbuffer, str(trained.path), settings, options)
    flatbuffer = with_metadata(flatbuffer, trained.path, data, calibration, settings, options)
    doubts = label_doubts(options.metadata, calibration.class_names)
    report = conversion_report(
        trained, calibration, checks, flatbuffer, output, settings, start, doubts
    )
    write_atomically(output, flatbuffer)
    return report


def conversion_report(
    trained: TrainedModel,
    calibration: Samples,
    checks: Audit,
    flatbuffer: bytes,
    output: Path,
    settings: ConvertSettings,
    start: float,
    doubts: Sequence[str] = (),
) -> ConvertReport:
    """The report of a conversion that began at `start` and will be written to `output`.

    `doubts` are warnings about other things than samples and flatbuffer.
    """
    graph = checks.graph
    return ConvertReport(
        model=str(trained.path),
        source=trained.kind,
        output=str(output),
        settings=settings,
        bytes=len(flatbuffer),
        sha256=hashlib.sha256(flatbuffer).hexdigest(),
        samples=len(calibration.arrays[0]),
        samples_given=calibration.given,
        inputs=_tensors(graph, graph.inputs),
        outputs=_tensors(graph, graph.outputs),
        operators=dict(sorted(Counter(op.kind for op in graph.ops).items())),
        warnings=(
            *calibration.warnings,
            *doubts,
            *(f"the model {w.what}: {w.places}" for w in checks.warnings),
        ),
        seconds=round(time.monotonic() - start, 2),
    )


def default_output(model: Path) -> Path:
    """Where `deploy` writes by default: beside the user, never over a float flatbuffer."""
    return Path(
        f"{model.stem}_int8.tflite" if model.suffix == ".tflite" else f"{model.stem}.tflite"
    )


def check_output(output: Path, *given: str | Path | None) -> None:
    """Raises BadInput where `output` cannot be written, or is one of the files `given`."""
    check_writable(output)
    check_kept(output, given)


def _tensors(graph: Graph, ids: tuple[int, ...]) -> tuple[TensorReport, ...]:
    return tuple(_report(graph[t]) for t in ids)


def _report(tensor: Tensor) -> TensorReport:
    q = tensor.quantization
    scale, zero_point = (q.scale, q.zero_point) if q else (None, None)
    return TensorReport(tensor.name, tensor.shape, tensor.dtype, scale, zero_point)
