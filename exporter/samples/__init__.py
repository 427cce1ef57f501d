"""Samples: real inputs of a model, for calibration and for tests, in the forms that people have."""

from exporter.samples.base import ModelInput
from exporter.samples.load import KINDS, Samples, check_data, find_kind, load_samples
from exporter.samples.options import (
    MOST_SAMPLES,
    RANGES,
    Preprocessing,
    Range,
    SampleOptions,
    range_before_normalization,
    range_before_rescaling,
)
from exporter.samples.validate import as_inputs

__all__ = [
    "KINDS",
    "MOST_SAMPLES",
    "RANGES",
    "ModelInput",
    "Preprocessing",
    "Range",
    "SampleOptions",
    "Samples",
    "as_inputs",
    "check_data",
    "find_kind",
    "load_samples",
    "range_before_normalization",
    "range_before_rescaling",
]
