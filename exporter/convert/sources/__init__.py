"""Formats in which trained models come, one file each."""

from __future__ import annotations

from pathlib import Path

from exporter.convert.sources.base import Loaded, Source
from exporter.convert.sources.h5 import H5Source
from exporter.convert.sources.keras import KerasSource
from exporter.convert.sources.onnx import OnnxSource
from exporter.convert.sources.python import PythonSource
from exporter.convert.sources.saved_model import SavedModelSource
from exporter.convert.sources.tflite import TfliteSource
from exporter.convert.sources.torch import TorchSource
from exporter.errors import BadInput
from exporter.samples import ModelInput

# SavedModel comes last: it takes every folder.
_FILES = (
    KerasSource(),
    H5Source(),
    TfliteSource(),
    OnnxSource(),
    TorchSource(),
    SavedModelSource(),
)
SOURCES: tuple[Source, ...] = (*_FILES, PythonSource(_FILES))


def find_source(path: Path) -> Source:
    """The source for the model at `path`; raises BadInput where there is none."""
    if not path.exists() and not SOURCES[-1].matches(path):
        raise BadInput(
            f"there is no model at '{path}'",
            allowed=[source.form for source in SOURCES],
            next_step="check the path",
        )
    for source in SOURCES:
        if source.matches(path):
            return source
    raise BadInput(
        f"the model '{path}' is of a format that cannot be converted",
        value=path.suffix or "no suffix",
        allowed=[source.form for source in SOURCES],
        next_step="export the model as .keras or as a SavedModel",
    )


__all__ = ["SOURCES", "Loaded", "ModelInput", "Source", "find_source"]
