"""Float flatbuffers: what TensorFlow's converter, and those of other frameworks, write first."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import tflite

from exporter.convert.sources.base import Loaded, Source, model_input
from exporter.errors import BadInput
from exporter.graph.ir import Graph, Op, Tensor
from exporter.graph.tflite_reader import read_file
from exporter.samples import ModelInput

State = Literal["float", "integer", "hybrid"]

CONVERTED_ALREADY = "a .tflite file is converted already: nanoexport verify MODEL.tflite --board B"

_INTEGERS = ("int8", "uint8", "int16")
_PREFIX, _SUFFIX = "serving_default_", ":0"


class TfliteSource(Source):
    """A `.tflite` file in which everything is still float (weights may be float16)."""

    kind = "tflite"
    form = "a float flatbuffer (.tflite)"

    def matches(self, path: Path) -> bool:
        return path.suffix == ".tflite" and path.is_file()

    def load(self, path: Path) -> Loaded:
        graph, data = read_file(path)
        check_float(graph, path)
        return Loaded(flatbuffer_inputs(data), flatbuffer=data)


def check_float(graph: Graph, path: Path) -> None:
    """Raises BadInput for a flatbuffer of which some or all is in integers."""
    state, where = state_of(graph)
    if state == "integer":
        raise BadInput(
            f"the model '{path}' is converted already",
            value=where,
            allowed="float operators",
            next_step=CONVERTED_ALREADY,
        )
    if state == "hybrid":
        raise BadInput(
            f"the model '{path}' has integer weights under float activations",
            value=where,
            allowed="float weights: int8 ones have lost what calibration would need",
            next_step="convert the trained model itself, or write the flatbuffer again without "
            "converter.optimizations",
        )


def is_converted(path: Path) -> bool:
    """Whether the model at `path` is a flatbuffer that computes in integers.

    Raises BadInput for a `.tflite` file that is no flatbuffer, and for a hybrid one.
    """
    if path.suffix != ".tflite":
        return False
    graph, _ = read_file(path)
    if state_of(graph)[0] == "integer":
        return True
    check_float(graph, path)
    return False


def state_of(graph: Graph) -> tuple[State, str]:
    """What the operators compute in, and the first operator that shows it."""
    for op in graph.ops:
        if op.kind == "QUANTIZE":
            continue  # in a float model: a range that fake-quant states
        read = [graph[t] for t in op.inputs if t is not None]
        integer = [t for t in read if t.dtype in _INTEGERS and t.quantization]
        if integer and (op.kind != "DEQUANTIZE" or integer[0].is_constant):
            return _kind_of_integers(op, read), graph.describe(op)
    return "float", ""


def _kind_of_integers(op: Op, read: list[Tensor]) -> State:
    floats = any(t.dtype.startswith("float") for t in read)
    return "hybrid" if floats or op.kind == "DEQUANTIZE" else "integer"


def flatbuffer_inputs(data: bytes) -> tuple[ModelInput, ...]:
    """The inputs of a float flatbuffer. Raises BadInput as `model_input` does."""
    subgraph = tflite.Model.GetRootAs(data, 0).Subgraphs(0)
    tensors = (subgraph.Tensors(int(i)) for i in subgraph.InputsAsNumpy())
    return tuple(_input(tensor) for tensor in tensors)


def _input(tensor: Any) -> ModelInput:
    names = {v: k for k, v in vars(tflite.TensorType).items() if isinstance(v, int)}
    open_sizes = tensor.ShapeSignatureLength() > 0
    sizes = tensor.ShapeSignatureAsNumpy() if open_sizes else tensor.ShapeAsNumpy()
    shape = [int(s) if s >= 0 else None for s in (sizes if tensor.ShapeLength() else ())]
    name = tensor.Name().decode("utf-8").removeprefix(_PREFIX).removesuffix(_SUFFIX)
    return model_input(name, shape, names[tensor.Type()].lower())
