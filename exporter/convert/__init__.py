"""Trained models become strictly int8 flatbuffers: sources, calibration, quantisation, audit."""

from exporter.convert.audit import audit
from exporter.convert.convert import ConvertReport, TensorReport, convert, convert_loaded
from exporter.convert.trained import TrainedModel, float_predictions

__all__ = [
    "ConvertReport",
    "TensorReport",
    "TrainedModel",
    "audit",
    "convert",
    "convert_loaded",
    "float_predictions",
]
