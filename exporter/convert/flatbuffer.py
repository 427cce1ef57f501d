"""Flatbuffers as objects that can be edited. In the worker only: the schema is TensorFlow's.

`Model` is the schema's ModelT, as Any because it has no usable types. Tensors are named by their
index in the one subgraph that a model of ours has.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from exporter.worker import Array

Model = Any

_UTILITIES = "tensorflow.lite.tools.flatbuffer_utils"
_SCHEMA = "tensorflow.lite.python.schema_py_generated"

WEIGHT_AXES = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
"""Operators with weights (input 1) and a bias (input 2), and the axis of the weights' channels."""

_CONSTANT_TYPES = {"FLOAT32": np.float32, "INT8": np.int8, "INT32": np.int32, "INT64": np.int64}


def schema() -> Any:
    """The module with the schema's classes and enumerations."""
    return importlib.import_module(_SCHEMA)


def parse(data: bytes) -> Model:
    """The flatbuffer as an object."""
    return importlib.import_module(_UTILITIES).convert_bytearray_to_object(bytearray(data))


def serialise(model: Model) -> bytes:
    """The object as a flatbuffer; the same object gives the same bytes."""
    return bytes(importlib.import_module(_UTILITIES).convert_object_to_bytearray(model))


def tensors(model: Model) -> list[Any]:
    return list(model.subgraphs[0].tensors)


def operators(model: Model) -> Iterator[tuple[str, Any]]:
    """The operators in order, each with its name."""
    names = {v: k for k, v in vars(schema().BuiltinOperator).items() if isinstance(v, int)}
    for operator in model.subgraphs[0].operators:
        code = model.operatorCodes[operator.opcodeIndex]
        # Codes below 127 are also in the deprecated field; older files have them only there.
        yield names[max(code.builtinCode, code.deprecatedBuiltinCode)], operator


def name_of(tensor: Any) -> str:
    return bytes(tensor.name or b"").decode("utf-8", "replace")


def constant(model: Model, index: int) -> Array | None:
    """The values of a constant tensor; None for any other, and for types not handled here."""
    tensor = tensors(model)[index]
    data = model.buffers[tensor.buffer].data
    for name, dtype in _CONSTANT_TYPES.items():
        if data is not None and len(data) and tensor.type == getattr(schema().TensorType, name):
            values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), dtype)
            return values.reshape(list(tensor.shape if tensor.shape is not None else []))
    return None


def set_data(model: Model, index: int, data: Array) -> None:
    """Gives a tensor its raw bytes: in its own buffer, or in a new one where others share it.

    Buffer 0 is shared by all that have no data.
    """
    tensor = tensors(model)[index]
    shared = [other for other in tensors(model) if other.buffer == tensor.buffer]
    if len(shared) > 1 or tensor.buffer == 0:
        model.buffers.append(schema().BufferT())
        tensor.buffer = len(model.buffers) - 1
    model.buffers[tensor.buffer].data = np.frombuffer(
        np.ascontiguousarray(data).tobytes(), np.uint8
    )


@dataclass(frozen=True)
class WeightLayer:
    """An operator with constant weights: the tensors it reads and writes. `bias` may be absent."""

    kind: str
    operator: Any
    input: int
    weights: int
    bias: int | None
    output: int

    @property
    def axis(self) -> int:
        return WEIGHT_AXES[self.kind]


def weight_layers(model: Model) -> list[WeightLayer]:
    """Convolutions and dense layers, in the order in which they run."""
    return [_weight_layer(k, o) for k, o in operators(model) if k in WEIGHT_AXES]


def _weight_layer(kind: str, operator: Any) -> WeightLayer:
    inputs = [int(i) for i in operator.inputs]
    bias = inputs[2] if len(inputs) > 2 and inputs[2] >= 0 else None
    return WeightLayer(kind, operator, inputs[0], inputs[1], bias, int(operator.outputs[0]))


def paired(model: Model, original: Model) -> list[tuple[WeightLayer, WeightLayer | None]]:
    """The weight layers of a quantised model, each with its own in the float one it was made of.

    Quantisers keep the order of operators. Should one not, nothing is paired.
    """
    layers, originals = weight_layers(model), weight_layers(original)
    if [layer.kind for layer in layers] != [layer.kind for layer in originals]:
        return [(layer, None) for layer in layers]
    return list(zip(layers, originals, strict=True))


def scales(model: Model, index: int) -> Array:
    """The scales of a quantised tensor, float64 [C] or [1]."""
    return np.asarray(tensors(model)[index].quantization.scale, np.float64)


def set_scales(model: Model, index: int, values: Array, *, axis: int) -> None:
    """Gives a tensor float32 scales [C] along `axis`, and zero points of zero."""
    quantization = tensors(model)[index].quantization
    quantization.scale = values.astype(np.float32)
    quantization.zeroPoint = np.zeros(len(values), np.int64)
    quantization.quantizedDimension = axis
