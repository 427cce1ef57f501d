"""Writes valid TFLite flatbuffers in pure Python, for tests: no TensorFlow, no converter.

    builder = ModelBuilder()
    x = builder.tensor("x", [1, 8, 8, 3], scale=0.05, zero_point=-3)
    y = builder.tensor("y", [1, 8, 8, 3], scale=0.04, zero_point=-128)
    builder.op("RELU", [x], [y])
    model_bytes = builder.finish(inputs=[x], outputs=[y])

Randomised layers for operator tests are in `tests/random_layers.py`. Nothing here checks that a
model makes sense: broken models are needed too.

Source: TensorFlow's `schema.fbs`, schema version 3, through the `tflite` package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
import tflite
from numpy.typing import NDArray

Array = NDArray[Any]

SCHEMA_VERSION = 3
BUFFER_ALIGNMENT = 16

DTYPES: dict[str, Any] = {
    "int8": np.int8,
    "int4": np.int8,  # constants are given as bytes, two values in each
    "uint8": np.uint8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "float32": np.float32,
    "bool": np.bool_,
}

_POOL = {
    "padding": "Padding",
    "stride_w": "StrideW",
    "stride_h": "StrideH",
    "filter_w": "FilterWidth",
    "filter_h": "FilterHeight",
    "activation": "FusedActivationFunction",
}
_CONV = {
    "padding": "Padding",
    "stride_w": "StrideW",
    "stride_h": "StrideH",
    "dilation_w": "DilationWFactor",
    "dilation_h": "DilationHFactor",
    "activation": "FusedActivationFunction",
}
_ACTIVATION = {"activation": "FusedActivationFunction"}


@dataclass(frozen=True)
class OperatorForm:
    """How one operator is written: its options table, that table's fields, its usual version."""

    options_table: str | None
    fields: dict[str, str]
    version: int


# Versions: the highest that an int8 kernel of this form needs, and that TensorFlow 2.14 knows
# (tensorflow/lite/core/kernels/register.cc, tensorflow/lite/tools/versioning/op_version.cc).
OPERATORS: dict[str, OperatorForm] = {
    "ADD": OperatorForm("AddOptions", _ACTIVATION, 2),
    "AVERAGE_POOL_2D": OperatorForm("Pool2DOptions", _POOL, 2),
    "CONCATENATION": OperatorForm("ConcatenationOptions", {"axis": "Axis", **_ACTIVATION}, 2),
    "CONV_2D": OperatorForm("Conv2DOptions", _CONV, 3),
    "DEPTHWISE_CONV_2D": OperatorForm(
        "DepthwiseConv2DOptions", {**_CONV, "depth_multiplier": "DepthMultiplier"}, 3
    ),
    "DEQUANTIZE": OperatorForm("DequantizeOptions", {}, 2),
    "FULLY_CONNECTED": OperatorForm(
        "FullyConnectedOptions",
        {
            "keep_num_dims": "KeepNumDims",
            "asymmetric_quantize_inputs": "AsymmetricQuantizeInputs",
            **_ACTIVATION,
        },
        4,
    ),
    "LOGISTIC": OperatorForm(None, {}, 2),
    "MAX_POOL_2D": OperatorForm("Pool2DOptions", _POOL, 2),
    "MEAN": OperatorForm("ReducerOptions", {"keep_dims": "KeepDims"}, 2),
    "MUL": OperatorForm("MulOptions", _ACTIVATION, 2),
    "PAD": OperatorForm("PadOptions", {}, 2),
    "PADV2": OperatorForm("PadV2Options", {}, 2),
    "QUANTIZE": OperatorForm("QuantizeOptions", {}, 2),
    "RELU": OperatorForm(None, {}, 2),
    "RELU6": OperatorForm(None, {}, 2),
    "RELU_N1_TO_1": OperatorForm(None, {}, 1),
    "RESHAPE": OperatorForm("ReshapeOptions", {"new_shape": "NewShape"}, 1),
    "SLICE": OperatorForm("SliceOptions", {}, 2),
    "SOFTMAX": OperatorForm("SoftmaxOptions", {"beta": "Beta"}, 2),
    "SPLIT": OperatorForm("SplitOptions", {"num_splits": "NumSplits"}, 2),
    "SPLIT_V": OperatorForm("SplitVOptions", {"num_splits": "NumSplits"}, 2),
    "STRIDED_SLICE": OperatorForm(
        "StridedSliceOptions",
        {
            "begin_mask": "BeginMask",
            "end_mask": "EndMask",
            "ellipsis_mask": "EllipsisMask",
            "new_axis_mask": "NewAxisMask",
            "shrink_axis_mask": "ShrinkAxisMask",
        },
        2,
    ),
    "SUB": OperatorForm("SubOptions", _ACTIVATION, 2),
    "TANH": OperatorForm(None, {}, 2),
    "TRANSPOSE": OperatorForm("TransposeOptions", {}, 2),
    # Not supported by nanoexport in the first place: for models that must be refused.
    "ABS": OperatorForm("AbsOptions", {}, 1),
    "CUSTOM": OperatorForm(None, {}, 1),
    "SHAPE": OperatorForm("ShapeOptions", {}, 1),
    "HARD_SWISH": OperatorForm("HardSwishOptions", {}, 1),
    "WHILE": OperatorForm(
        "WhileOptions", {"cond": "CondSubgraphIndex", "body": "BodySubgraphIndex"}, 1
    ),
}

# What an option is when a test leaves it out; everything else falls back to the schema's default.
OPTION_DEFAULTS: dict[str, Any] = {
    "stride_w": 1,
    "stride_h": 1,
    "dilation_w": 1,
    "dilation_h": 1,
    "filter_w": 1,
    "filter_h": 1,
    "depth_multiplier": 1,
    "beta": 1.0,
}


@dataclass(frozen=True)
class TensorSpec:
    """A tensor as it will be written. `scales` is empty for a tensor without quantisation."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    quantized_dimension: int
    data: bytes | None
    shape_signature: tuple[int, ...] | None
    is_variable: bool

    @property
    def scale(self) -> float:
        """The scale of a per-tensor quantised tensor, as float32 holds it."""
        (scale,) = self.scales
        return float(np.float32(scale))

    @property
    def zero_point(self) -> int:
        """The zero point of a per-tensor quantised tensor."""
        (zero_point,) = self.zero_points
        return zero_point


@dataclass(frozen=True)
class OpSpec:
    """An operator as it will be written."""

    operator: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]
    version: int
    custom_code: str | None


class ModelBuilder:
    """Collects tensors and operators of one subgraph and writes them as a `.tflite` file."""

    def __init__(self, description: str = "nanoexport test model") -> None:
        self.description = description
        self.tensors: list[TensorSpec] = []
        self.ops: list[OpSpec] = []
        self.other_subgraphs: list[str] = []
        """Names of subgraphs that follow the first, each a copy of it."""
        self.spare_buffers: list[bytes] = []
        """Buffers that no tensor names."""

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "int8",
        scale: float | Sequence[float] | Array | None = None,
        zero_point: int | Sequence[int] | Array | None = None,
        quantized_dimension: int = 0,
        data: Array | Sequence[int] | bytes | None = None,
        *,
        shape_signature: Sequence[int] | None = None,
        is_variable: bool = False,
    ) -> int:
        """Adds a tensor and returns its index.

        `scale` is one number, or one per channel along `quantized_dimension`; `zero_point` is 0
        for each scale unless given. `data` makes the tensor a constant; bytes are written as they
        are (and need not fit the shape), anything else is converted to `dtype`.
        """
        scales = () if scale is None else tuple(float(s) for s in np.atleast_1d(scale))
        zero_points = (
            (0,) * len(scales)
            if zero_point is None
            else tuple(int(z) for z in np.atleast_1d(zero_point))
        )
        self.tensors.append(
            TensorSpec(
                name=name,
                shape=tuple(int(d) for d in shape),
                dtype=dtype,
                scales=scales,
                zero_points=zero_points,
                quantized_dimension=quantized_dimension,
                data=_constant_bytes(data, dtype),
                shape_signature=None if shape_signature is None else tuple(shape_signature),
                is_variable=is_variable,
            )
        )
        return len(self.tensors) - 1

    def constant(self, name: str, data: Array | Sequence[int], dtype: str = "int32") -> int:
        """Adds a constant without quantisation (axes, paddings, shapes) and returns its index."""
        array = np.asarray(data, DTYPES[dtype])
        return self.tensor(name, array.shape, dtype, data=array)

    def op(
        self,
        operator: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        *,
        version: int | None = None,
        custom_code: str | None = None,
        **options: Any,
    ) -> None:
        """Adds an operator by the name of its `BuiltinOperator`; an input of -1 is left out.

        Options are written in snake case (`padding="SAME"`, `stride_h=2`, `activation="RELU6"`,
        `dilation_w`, `depth_multiplier`, `filter_h`, `axis`, `new_shape`, `keep_dims`, `beta`).
        """
        form = OPERATORS[operator]
        unknown = set(options) - set(form.fields)
        if unknown:
            raise ValueError(f"{operator} has no option {sorted(unknown)}; has {list(form.fields)}")
        given = {k: OPTION_DEFAULTS[k] for k in form.fields if k in OPTION_DEFAULTS} | options
        self.ops.append(
            OpSpec(
                operator,
                tuple(int(i) for i in inputs),
                tuple(int(i) for i in outputs),
                given,
                form.version if version is None else version,
                custom_code,
            )
        )

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The whole model as the bytes of a `.tflite` file (identifier `TFL3`)."""
        return _Writer(self, inputs, outputs).model()


def _constant_bytes(data: Array | Sequence[int] | bytes | None, dtype: str) -> bytes | None:
    if data is None or isinstance(data, bytes):
        return data
    return np.ascontiguousarray(np.asarray(data).astype(DTYPES[dtype])).tobytes()


class _Writer:
    """One pass over a `ModelBuilder`: flatbuffers are written children first."""

    def __init__(self, source: ModelBuilder, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        self.source = source
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.b = flatbuffers.Builder(4096)
        self.codes = list(
            dict.fromkeys((op.operator, op.version, op.custom_code) for op in source.ops)
        )

    def model(self) -> bytes:
        b = self.b
        description = b.CreateString(self.source.description)
        buffers = self._tables(self._buffers())
        codes = self._tables([self._operator_code(*code) for code in self.codes])
        names = ["main", *self.source.other_subgraphs]
        subgraphs = self._tables([self._subgraph(name) for name in names])
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, SCHEMA_VERSION)
        tflite.ModelAddOperatorCodes(b, codes)
        tflite.ModelAddSubgraphs(b, subgraphs)
        tflite.ModelAddDescription(b, description)
        tflite.ModelAddBuffers(b, buffers)
        b.Finish(tflite.ModelEnd(b), file_identifier=b"TFL3")
        return bytes(b.Output())

    def _tables(self, offsets: Sequence[int]) -> int:
        """A vector of tables."""
        self.b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.b.PrependUOffsetTRelative(offset)
        return int(self.b.EndVector())

    def _numbers(self, values: Sequence[float], dtype: Any) -> int:
        """A vector of scalars."""
        return int(self.b.CreateNumpyVector(np.asarray(values, dtype)))

    def _buffers(self) -> list[int]:
        """Buffer 0 is empty and stands for "no constant data", by convention of the schema."""
        blobs = [b""] + [t.data for t in self.source.tensors if t.data is not None]
        return [self._buffer(blob) for blob in (*blobs, *self.source.spare_buffers)]

    def _buffer(self, blob: bytes) -> int:
        vector = self._aligned_bytes(blob) if blob else None
        tflite.BufferStart(self.b)
        if vector is not None:
            tflite.BufferAddData(self.b, vector)
        return int(tflite.BufferEnd(self.b))

    def _aligned_bytes(self, blob: bytes) -> int:
        """A byte vector aligned as the schema asks (`force_align: 16`)."""
        b = self.b
        b.StartVector(1, len(blob), BUFFER_ALIGNMENT)
        b.head = b.Head() - len(blob)
        b.Bytes[b.Head() : b.Head() + len(blob)] = blob
        return int(b.EndVector())

    def _operator_code(self, operator: str, version: int, custom_code: str | None) -> int:
        code = getattr(tflite.BuiltinOperator, operator)
        custom = None if custom_code is None else self.b.CreateString(custom_code)
        tflite.OperatorCodeStart(self.b)
        # The first 127 operators are written in the old field too: old readers know only that one.
        tflite.OperatorCodeAddDeprecatedBuiltinCode(self.b, min(code, 127))
        tflite.OperatorCodeAddBuiltinCode(self.b, code)
        tflite.OperatorCodeAddVersion(self.b, version)
        if custom is not None:
            tflite.OperatorCodeAddCustomCode(self.b, custom)
        return int(tflite.OperatorCodeEnd(self.b))

    def _subgraph(self, subgraph_name: str) -> int:
        b = self.b
        tensors = self._tables(self._all_tensors())
        operators = self._tables([self._operator(op) for op in self.source.ops])
        inputs = self._numbers(self.inputs, np.int32)
        outputs = self._numbers(self.outputs, np.int32)
        name = b.CreateString(subgraph_name)
        tflite.SubGraphStart(b)
        tflite.SubGraphAddTensors(b, tensors)
        tflite.SubGraphAddInputs(b, inputs)
        tflite.SubGraphAddOutputs(b, outputs)
        tflite.SubGraphAddOperators(b, operators)
        tflite.SubGraphAddName(b, name)
        return int(tflite.SubGraphEnd(b))

    def _all_tensors(self) -> list[int]:
        offsets, next_buffer = [], 1
        for spec in self.source.tensors:
            offsets.append(self._tensor(spec, 0 if spec.data is None else next_buffer))
            next_buffer += spec.data is not None
        return offsets

    def _tensor(self, spec: TensorSpec, buffer: int) -> int:
        b = self.b
        name = b.CreateString(spec.name)
        shape = self._numbers(spec.shape, np.int32)
        signature = (
            None if spec.shape_signature is None else self._numbers(spec.shape_signature, np.int32)
        )
        quantization = self._quantization(spec)
        tflite.TensorStart(b)
        tflite.TensorAddShape(b, shape)
        tflite.TensorAddType(b, getattr(tflite.TensorType, spec.dtype.upper()))
        tflite.TensorAddBuffer(b, buffer)
        tflite.TensorAddName(b, name)
        tflite.TensorAddQuantization(b, quantization)
        tflite.TensorAddIsVariable(b, spec.is_variable)
        if signature is not None:
            tflite.TensorAddShapeSignature(b, signature)
        tflite.TensorAddHasRank(b, True)
        return int(tflite.TensorEnd(b))

    def _quantization(self, spec: TensorSpec) -> int:
        scales = self._numbers(spec.scales, np.float32) if spec.scales else None
        zero_points = self._numbers(spec.zero_points, np.int64) if spec.scales else None
        tflite.QuantizationParametersStart(self.b)
        if scales is not None:
            tflite.QuantizationParametersAddScale(self.b, scales)
            tflite.QuantizationParametersAddZeroPoint(self.b, zero_points)
            tflite.QuantizationParametersAddQuantizedDimension(self.b, spec.quantized_dimension)
        return int(tflite.QuantizationParametersEnd(self.b))

    def _operator(self, op: OpSpec) -> int:
        b = self.b
        inputs = self._numbers(op.inputs, np.int32)
        outputs = self._numbers(op.outputs, np.int32)
        table = OPERATORS[op.operator].options_table
        options = None if table is None else self._options(table, op)
        tflite.OperatorStart(b)
        tflite.OperatorAddOpcodeIndex(
            b, self.codes.index((op.operator, op.version, op.custom_code))
        )
        tflite.OperatorAddInputs(b, inputs)
        tflite.OperatorAddOutputs(b, outputs)
        if options is not None:
            tflite.OperatorAddBuiltinOptionsType(b, getattr(tflite.BuiltinOptions, str(table)))
            tflite.OperatorAddBuiltinOptions(b, options)
        return int(tflite.OperatorEnd(b))

    def _options(self, table: str, op: OpSpec) -> int:
        fields = OPERATORS[op.operator].fields
        values = {fields[k]: self._option_value(k, v) for k, v in op.options.items()}
        getattr(tflite, f"{table}Start")(self.b)
        for field, value in values.items():
            getattr(tflite, f"{table}Add{field}")(self.b, value)
        return int(getattr(tflite, f"{table}End")(self.b))

    def _option_value(self, option: str, value: Any) -> Any:
        """Enum names become their numbers, lists become vectors."""
        if option == "padding":
            return getattr(tflite.Padding, value)
        if option == "activation":
            return getattr(tflite.ActivationFunctionType, value)
        if option == "new_shape":
            return self._numbers(value, np.int32)
        return value
