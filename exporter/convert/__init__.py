"""Trained models become strictly int8 flatbuffers: sources, calibration, quantisation, audit."""

from exporter.convert.audit import audit
from exporter.convert.convert import (
    ConvertReport,
    TensorReport,
    check_output,
    convert,
    convert_loaded,
)
from exporter.convert.objects import convert_model
from exporter.convert.settings import ConvertSettings
from exporter.convert.trained import TrainedModel, float_predictions

__all__ = [
    "ConvertReport",
    "ConvertSettings",
    "TensorReport",
    "TrainedModel",
    "audit",
    "check_output",
    "convert",
    "convert_loaded",
    "convert_model",
    "float_predictions",
]
