"""The end of a conversion: the strict audit, and what the flatbuffer says of itself."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from exporter import __version__
from exporter.convert.audit import Audit, audit
from exporter.convert.metadata import add_metadata, where_it_fits, with_labels
from exporter.convert.settings import ConvertSettings
from exporter.errors import BadInput
from exporter.graph.metadata import Calibration, InputMetadata, ModelMetadata
from exporter.graph.metadata import Preprocessing as Stated
from exporter.graph.tflite_reader import read
from exporter.ops.base import Target
from exporter.samples import Preprocessing, SampleOptions, Samples

_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class ConvertOptions:
    """What a conversion goes by besides the settings of its integers.

    samples   how calibration data is read
    metadata  what the user says of the model
    target    of the board whose kernels must be able to run it; None: no board in particular
    """

    samples: SampleOptions = field(default_factory=SampleOptions)
    metadata: ModelMetadata = field(default_factory=ModelMetadata)
    target: Target | None = None


PLAIN = ConvertOptions()


def check_target(settings: ConvertSettings, options: ConvertOptions) -> None:
    """Raises BadInput for settings whose result no board runs, where one is to."""
    if options.target is None or (settings.mode, settings.edge_type) == ("int8", "int8"):
        return
    raise BadInput(
        "this conversion cannot be for a board",
        value=f"--mode {settings.mode}, edges of {settings.edge_type}",
        allowed="what boards run: int8, edges included",
        next_step="leave out --board, or --mode and --edges",
    )


def checked(
    flatbuffer: bytes, name: str, settings: ConvertSettings, options: ConvertOptions
) -> Audit:
    """The strict audit by what the conversion was asked for. Raises AuditFailed."""
    return audit(
        flatbuffer, name, mode=settings.mode, edges=settings.edge_type, target=options.target
    )


def with_metadata(
    flatbuffer: bytes,
    model: Path,
    data: str | Path,
    calibration: Samples,
    settings: ConvertSettings,
    options: ConvertOptions,
    class_names: Sequence[str] | None = None,
) -> bytes:
    """The flatbuffer with its metadata: the user's, and what the conversion knows itself.

    `class_names`: those of the evaluation data, where it has any. Raises BadInput where what the
    user says does not fit the model.
    """
    metadata = options.metadata.model_copy(
        update={
            "created_by": f"nanoexport {__version__}",
            "source_sha256": _digest(model),
            "calibration": Calibration(
                samples=len(calibration),
                source=Path(str(data)).name,
                method=_method(settings),
            ),
        }
    )
    graph = read(flatbuffer)
    preprocessing = options.samples.preprocessing
    if preprocessing is not None and not metadata.inputs:
        stated = InputMetadata(preprocessing=stated_preprocessing(preprocessing))
        known = metadata.model_copy(update={"inputs": (stated,)})
        metadata = where_it_fits(known, metadata, graph)
    names = tuple(class_names or calibration.class_names or ())
    metadata = where_it_fits(with_labels(metadata, names), metadata, graph)
    return add_metadata(flatbuffer, metadata)


def _method(settings: ConvertSettings) -> str:
    percent = f" {settings.percentile:g}" if settings.ranges == "percentile" else ""
    return f"{settings.ranges}{percent}"


def stated_preprocessing(preprocessing: Preprocessing) -> Stated:
    """(value * scale - mean) / std as (value - mean) / std; of the orders BGR, which users name."""
    scale = preprocessing.scale
    return Stated(
        mean=tuple(mean / scale for mean in preprocessing.mean),
        std=tuple(std / scale for std in preprocessing.std),
        order="BGR" if preprocessing.order == "bgr" else None,
    )


def _digest(model: Path) -> str:
    """SHA-256 of the trained model's file; nothing for folders and functions."""
    if not model.is_file():
        return ""
    digest = hashlib.sha256()
    with model.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
