"""From a float flatbuffer and ranges to an integer one, by TensorFlow's own quantisers.

Ranges are handed over in the flatbuffer itself (`quantization.min` and `max` of the activations).
int8 is done by the converter's current quantiser. It has no sound int16 (zero points of -1 and
biases of 32 bits), so int16x8 is done, as in TensorFlow's converter, by the older one.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from exporter.convert import flatbuffer as fb
from exporter.convert.audit import Edges
from exporter.convert.ranges import Range
from exporter.convert.settings import ConvertSettings
from exporter.convert.sources.base import first_line, tensorflow
from exporter.errors import BadInput

_EDGE_TYPES: dict[Edges, str] = {
    "int8": "int8",
    "uint8": "uint8",
    "int16": "int16",
    "float": "float32",
}


def quantized(flatbuffer: bytes, ranges: Mapping[int, Range], settings: ConvertSettings) -> bytes:
    """The flatbuffer in integers. Raises BadInput for a model of which there are none."""
    ranged = with_ranges(flatbuffer, ranges)
    try:
        return _int16(ranged, settings) if settings.mode == "int16x8" else _int8(ranged, settings)
    except Exception as error:  # whatever the quantiser raises: the model is the reason
        raise refused(error) from None


def with_ranges(flatbuffer: bytes, ranges: Mapping[int, Range]) -> bytes:
    """The flatbuffer with these ranges stated in its tensors."""
    model = fb.parse(flatbuffer)
    for index, (low, high) in ranges.items():
        tensor = fb.tensors(model)[index]
        tensor.quantization = tensor.quantization or fb.schema().QuantizationParametersT()
        tensor.quantization.min, tensor.quantization.max = [low], [high]
    return fb.serialise(model)


def _int8(flatbuffer: bytes, settings: ConvertSettings) -> bytes:
    quantize = importlib.import_module("tensorflow.lite.python.convert").mlir_quantize
    edge = getattr(tensorflow(), _EDGE_TYPES[settings.edge_type])
    return bytes(
        quantize(flatbuffer, settings.per_tensor, input_data_type=edge, output_data_type=edge)
    )


def _int16(flatbuffer: bytes, settings: ConvertSettings) -> bytes:
    module = importlib.import_module("tensorflow.lite.python.optimize.calibrator")
    edge = _numpy_number(_EDGE_TYPES[settings.edge_type])
    # It has seen no sample of its own, so it takes the ranges that are stated.
    quantizer: Any = module.Calibrator(flatbuffer)._calibrator
    return bytes(
        quantizer.QuantizeModel(
            edge,
            edge,
            False,  # no float operators
            _numpy_number("int16"),
            _numpy_number("int64"),  # biases
            settings.per_tensor,
            settings.per_tensor,
        )
    )


def _numpy_number(dtype: str) -> int:
    return np.dtype(dtype).num


def refused(error: Exception) -> BadInput:
    """The converter's long complaint, reduced to the line that names the operator."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [
        line
        for line in lines
        if "not supported" in line.lower() or "not yet supported" in line or line.startswith("tf.")
    ]
    return BadInput(
        "TensorFlow cannot make an int8 flatbuffer of this model",
        value="; ".join(telling[:3])[:500] or first_line(error),
        allowed="operators that have an int8 form",
        next_step="replace the layer that this operator comes from",
    )
