"""Float flatbuffers of other programs, in the form that the quantisers understand.

What they leave float without a word: anything behind shapes that are computed, behind float16
weights, and in files that say they hold StableHLO constants.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from exporter.convert import flatbuffer as fb
from exporter.convert.interpret import Interpreter

_STABLEHLO = b"keep_stablehlo_constant"
"""Metadata of litert-torch, with which the quantiser treats constants as somebody else's."""


def normalised(flatbuffer: bytes) -> bytes:
    """The same model with a fixed batch of one and without operators that compute constants."""
    model = fb.parse(flatbuffer)
    model.metadata = [m for m in model.metadata or [] if m.name != _STABLEHLO]
    for tensor in fb.tensors(model):
        tensor.shapeSignature = None
    flatbuffer = fb.serialise(model)
    known = _computable(model)
    return _folded(flatbuffer, known) if known else flatbuffer


def _computable(model: fb.Model) -> list[Any]:
    """Operators whose outputs are the same for every input: of constants, or of shapes alone."""
    varying, found = {int(i) for i in model.subgraphs[0].inputs}, []
    for kind, operator in fb.operators(model):
        inputs = {int(i) for i in operator.inputs if i >= 0}
        if kind == "SHAPE" or (inputs and not inputs & varying and _may_fold(model, kind, inputs)):
            found.append(operator)
        else:
            varying |= {int(i) for i in operator.outputs}
    return found


def _may_fold(model: fb.Model, kind: str, inputs: set[int]) -> bool:
    """Not the pairs that state a range of fake-quant; the float16 weights' DEQUANTIZE is none."""
    if kind == "DEQUANTIZE":
        float16 = fb.schema().TensorType.FLOAT16
        return all(fb.tensors(model)[i].type == float16 for i in inputs)
    return kind != "QUANTIZE"


def _folded(flatbuffer: bytes, known: list[Any]) -> bytes:
    """The flatbuffer with the outputs of these operators as constants, taken from one run."""
    model = fb.parse(flatbuffer)
    interpreter = Interpreter(flatbuffer)
    zeros = [np.zeros(d["shape"], np.float32) for d in interpreter.inputs]
    list(interpreter.runs(zeros))
    outputs = {int(i) for operator in known for i in operator.outputs}
    for index in sorted(outputs):
        value = interpreter.tensor(index)
        fb.set_data(model, index, value)
        fb.tensors(model)[index].shape = np.array(value.shape, np.int32)
    subgraph = model.subgraphs[0]
    subgraph.operators = [o for o in subgraph.operators if int(o.outputs[0]) not in outputs]
    _drop_unused_codes(model)
    return fb.serialise(model)


def _drop_unused_codes(model: fb.Model) -> None:
    used = sorted({o.opcodeIndex for o in model.subgraphs[0].operators})
    model.operatorCodes = [model.operatorCodes[k] for k in used]
    for operator in model.subgraphs[0].operators:
        operator.opcodeIndex = used.index(operator.opcodeIndex)
