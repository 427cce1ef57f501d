"""Reads a TFLite flatbuffer into a `Graph`.

The schema comes from the `tflite` package. Flatbuffers in Python are not verified on access, so a
corrupt file surfaces as any of a handful of exceptions in the middle of a read: all of them become
one `BadInput`, and every count is checked against the file's size before it is iterated over.
"""

from __future__ import annotations

import hashlib
import logging
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import tflite

from exporter.errors import BadInput
from exporter.graph.ir import Graph, Op, Option, Quantization, Tensor
from exporter.graph.metadata import ENTRY, ModelMetadata, decode

_log = logging.getLogger(__name__)

IDENTIFIER = b"TFL3"

LARGEST_ACTIVATION = 2**24
"""Elements. Constants are bounded by the file; an activation's size is only a claim of the file."""

NUMPY_TYPES = {
    "int4": np.int8, "int8": np.int8, "uint8": np.uint8, "int16": np.int16, "uint16": np.uint16,
    "int32": np.int32, "uint32": np.uint32, "int64": np.int64, "uint64": np.uint64,
    "float16": np.float16, "float32": np.float32, "float64": np.float64, "bool": np.bool_,
}  # fmt: skip


def _enum_names(enumeration: type) -> Mapping[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


TYPE_NAMES = {value: name.lower() for value, name in _enum_names(tflite.TensorType).items()}
OPERATOR_NAMES = _enum_names(tflite.BuiltinOperator)
OPTIONS_NAMES = _enum_names(tflite.BuiltinOptions)
ENUM_OPTIONS = {
    "fused_activation_function": _enum_names(tflite.ActivationFunctionType),
    "padding": _enum_names(tflite.Padding),
    "weights_format": _enum_names(tflite.FullyConnectedOptionsWeightsFormat),
}

_BUFFER_DATA = 4
"""Place of the field `data` in the vtable of a `Buffer`: schema.fbs."""

CORRUPT = (struct.error, IndexError, ValueError, TypeError, OverflowError, UnicodeDecodeError,
           KeyError, AttributeError, MemoryError)  # fmt: skip


def read_file(path: Path) -> tuple[Graph, bytes]:
    """The graph in the file at `path`, and the file's bytes.

    Raises:
        BadInput: the file is missing, unreadable, not a TFLite flatbuffer, or corrupt.
    """
    data = read_bytes(path)
    return read(data, name=path.stem, source=str(path)), data


def read_bytes(path: Path) -> bytes:
    """The flatbuffer's bytes; raises BadInput where the file is missing or unreadable."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(
            f"cannot read the model '{path}'",
            value=error.strerror,
            allowed="a TFLite flatbuffer (.tflite)",
            next_step="check the path",
        ) from error


def read(
    data: bytes,
    *,
    name: str = "model",
    source: str = "the model",
    first_subgraph: bool = False,
) -> Graph:
    """The graph in `data`, a whole TFLite flatbuffer.

    `first_subgraph`: where there are several, the first is the graph, to be looked at only.

    Raises:
        BadInput: `data` is not a TFLite flatbuffer, is corrupt, or has more than one subgraph.
    """
    if data[4:8] != IDENTIFIER:
        raise BadInput(
            f"{source} is not a TFLite flatbuffer",
            value=f"{len(data)} bytes, file identifier {data[4:8]!r}",
            allowed=f"a file with the identifier {IDENTIFIER!r} at byte 4",
            next_step="convert the trained model first: "
            "nanoexport convert MODEL --data CALIB.npz -o OUT.tflite",
        )
    try:
        return _Reader(data, name).graph(first_subgraph)
    except BadInput:
        raise
    except CORRUPT as error:
        raise BadInput(
            f"{source} is a corrupt or truncated TFLite flatbuffer",
            value=f"{len(data)} bytes; {type(error).__name__}: {error}",
            next_step="convert or copy the model again, then compare its size and hash",
        ) from error


def constant_bytes(data: bytes, tensor: int) -> range:
    """Which bytes of the flatbuffer `data` hold the constant `tensor`, as stored; none where it is
    computed. Raises BadInput where the file is corrupt.
    """
    try:
        model: Any = tflite.Model.GetRootAsModel(data, 0)
        buffer = model.Buffers(model.Subgraphs(0).Tensors(tensor).Buffer())
        if buffer.DataLength() == 0:
            return range(0)
        start = int(buffer._tab.Vector(buffer._tab.Offset(_BUFFER_DATA)))
        return range(start, start + int(buffer.DataLength()))
    except CORRUPT as error:
        raise BadInput("corrupt TFLite flatbuffer", value=f"tensor {tensor}: {error}") from error


class _Reader:
    """One read of one flatbuffer. Its methods raise whatever a corrupt file makes them raise."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data = data
        self.name = name
        self.model: Any = tflite.Model.GetRootAsModel(data, 0)

    def graph(self, first_subgraph: bool) -> Graph:
        if self.model.SubgraphsLength() != 1 and not (
            first_subgraph and self.model.SubgraphsLength() > 1
        ):
            raise BadInput(
                "the model has control flow",
                value=f"{self.model.SubgraphsLength()} subgraphs",
                allowed="one subgraph",
                next_step="export the model without loops and conditions (unroll it)",
            )
        subgraph = self.model.Subgraphs(0)
        tensors = {
            index: self._tensor(index, subgraph.Tensors(index))
            for index in range(self._count(subgraph.TensorsLength()))
        }
        ops = tuple(
            self._op(index, subgraph.Operators(index), tensors)
            for index in range(self._count(subgraph.OperatorsLength()))
        )
        graph = Graph(
            name=self.name,
            tensors=MappingProxyType(tensors),
            ops=ops,
            inputs=self._ids(subgraph, "Inputs", tensors),
            outputs=self._ids(subgraph, "Outputs", tensors),
            sha256=hashlib.sha256(self.data).hexdigest(),
        )
        return replace(graph, metadata=self._metadata(graph))

    def _metadata(self, graph: Graph) -> ModelMetadata | None:
        """What the file says of itself; with a warning, nothing where that makes no sense."""
        try:
            stored = self._metadata_bytes()
            if stored is None:
                return None
            metadata = decode(stored)
            shapes = [[graph[t].shape for t in ids] for ids in (graph.inputs, graph.outputs)]
            misfits = metadata.misfits(*shapes)
            if misfits:
                raise ValueError("; ".join(misfits))
        except CORRUPT as error:
            # What a foreign file says is shown as escaped text, and not at length.
            _log.warning("the metadata of '%s' is ignored: %.300s", self.name, ascii(str(error)))
            return None
        return metadata

    def _metadata_bytes(self) -> bytes | None:
        for number in range(self._count(self.model.MetadataLength())):
            entry = self.model.Metadata(number)
            if entry.Name() == ENTRY.encode():
                buffer = self.model.Buffers(entry.Buffer())
                if entry.Buffer() >= self.model.BuffersLength():
                    raise ValueError(f"there is no buffer {entry.Buffer()}")
                return self._vector(buffer, "Data").tobytes()
        return None

    def _count(self, count: int) -> int:
        """A vector's length, refused where the file is too small to hold it."""
        if not 0 <= count * 4 <= len(self.data):
            raise ValueError(f"a vector of {count} entries")
        return count

    def _tensor(self, index: int, tensor: Any) -> Tensor:
        if tensor is None:
            raise ValueError(f"tensor {index} is missing")
        shape = tuple(int(size) for size in self._vector(tensor, "Shape"))
        if any(size < 0 for size in shape):
            raise ValueError(f"tensor {index} has the shape {shape}")
        dtype = TYPE_NAMES[tensor.Type()]
        name = (tensor.Name() or b"").decode("utf-8") or f"tensor_{index}"
        data = self._constant(tensor, name, shape, dtype)
        if data is not None and dtype == "int4":
            dtype = "int8"  # unpacked: from here on nothing differs from weights that are small
        if data is None and prod(shape) > LARGEST_ACTIVATION:
            raise BadInput(
                f"the tensor '{name}' is too large for any microcontroller",
                value=f"{list(shape)}, {prod(shape)} elements",
                allowed=f"at most {LARGEST_ACTIVATION} elements",
                next_step="take a smaller model; or the file is corrupt: copy it again",
            )
        return Tensor(
            id=index,
            name=name,
            shape=shape,
            dtype=dtype,
            quantization=self._quantization(tensor.Quantization()),
            data=data,
        )

    def _quantization(self, quantization: Any) -> Quantization | None:
        if quantization is None or quantization.ScaleLength() == 0:
            return None
        scales = tuple(float(scale) for scale in self._vector(quantization, "Scale"))
        zero_points = tuple(int(zero) for zero in self._vector(quantization, "ZeroPoint"))
        if zero_points and len(zero_points) != len(scales):
            raise ValueError(f"{len(zero_points)} zero points for {len(scales)} scales")
        return Quantization(
            scales=scales,
            zero_points=zero_points or (0,) * len(scales),
            axis=int(quantization.QuantizedDimension()),
        )

    def _constant(
        self, tensor: Any, name: str, shape: tuple[int, ...], dtype: str
    ) -> npt.NDArray[np.generic] | None:
        buffer = self.model.Buffers(tensor.Buffer())
        if buffer is None or buffer.DataLength() == 0:
            return None
        if dtype not in NUMPY_TYPES or tensor.Sparsity() is not None:
            raise BadInput(
                f"the constant tensor '{name}' has a storage format that is not supported",
                value=f"{dtype}{', sparse' if tensor.Sparsity() is not None else ''}",
                allowed="dense integers",
                next_step="export the model without sparsity and with int8 weights",
            )
        raw = self._vector(buffer, "Data").tobytes()
        values = np.frombuffer(raw, dtype=NUMPY_TYPES[dtype])
        if dtype == "int4":
            values = _unpacked(values, prod(shape))
        if values.size != prod(shape):
            raise ValueError(f"tensor '{name}' holds {values.size} values for the shape {shape}")
        values = values.reshape(shape)
        values.setflags(write=False)
        return values

    def _op(self, index: int, operator: Any, tensors: Mapping[int, Tensor]) -> Op:
        code = self.model.OperatorCodes(operator.OpcodeIndex())
        builtin = max(_builtin_code(code), int(code.DeprecatedBuiltinCode()))
        kind = OPERATOR_NAMES[builtin]
        if kind == "CUSTOM":
            kind = f"CUSTOM:{(code.CustomCode() or b'').decode('utf-8')}"
        return Op(
            index=index,
            kind=kind,
            inputs=self._optional_ids(operator, "Inputs", tensors),
            outputs=self._ids(operator, "Outputs", tensors),
            options=MappingProxyType(_options(operator)),
        )

    def _vector(self, table: Any, field: str) -> npt.NDArray[Any]:
        """A vector of scalars; absent vectors are empty."""
        values = getattr(table, f"{field}AsNumpy")()
        return values if isinstance(values, np.ndarray) else np.zeros(0, np.int64)

    def _optional_ids(
        self, table: Any, field: str, tensors: Mapping[int, Tensor]
    ) -> tuple[int | None, ...]:
        ids = tuple(int(value) for value in self._vector(table, field))
        unknown = [value for value in ids if value != -1 and value not in tensors]
        if unknown:
            raise ValueError(f"{field.lower()} name tensors that do not exist: {unknown}")
        return tuple(None if value == -1 else value for value in ids)

    def _ids(self, table: Any, field: str, tensors: Mapping[int, Tensor]) -> tuple[int, ...]:
        ids = self._optional_ids(table, field, tensors)
        if None in ids:
            raise ValueError(f"{field.lower()} has an absent tensor")
        return tuple(value for value in ids if value is not None)


def _builtin_code(code: Any) -> int:
    """The field `builtin_code` itself.

    The package's accessor answers with the deprecated field for codes below 127. Some writers leave
    that one at 0, which is ADD; older files have nothing but that one: the larger is meant.
    """
    offset = code._tab.Offset(10)
    if not offset:
        return 0
    (value,) = struct.unpack_from("<i", code._tab.Bytes, offset + code._tab.Pos)
    return int(value)


def _unpacked(packed: npt.NDArray[np.int8], count: int) -> npt.NDArray[np.int8]:
    """int8 [count] from two int4 in each byte, the first in the low half.

    Source: `UnpackDenseInt4IntoInt8` in tensorflow/lite/kernels/internal/portable_tensor_utils.cc.
    """
    if packed.size != -(-count // 2):
        raise ValueError(f"{packed.size} bytes for {count} int4 values")
    halves = np.stack([packed << 4 >> 4, packed >> 4], axis=1)
    return np.asarray(halves.reshape(-1)[:count], np.int8)


def _options(operator: Any) -> dict[str, Option]:
    """The scalar fields of an operator's options table, in snake case, enumerations as names."""
    table_name = OPTIONS_NAMES[operator.BuiltinOptionsType()]
    table = operator.BuiltinOptions()
    if table_name == "NONE" or table is None:
        return {}
    options_type = getattr(tflite, table_name)
    options = options_type()
    options.Init(table.Bytes, table.Pos)
    values: dict[str, Option] = {}
    for method in _scalar_accessors(options_type):
        value = getattr(options, method)()
        if isinstance(value, (bool, int, float)):
            name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", method).lower()
            values[name] = ENUM_OPTIONS[name][int(value)] if name in ENUM_OPTIONS else value
    return values


def _scalar_accessors(options_type: type) -> list[str]:
    """Names of the generated accessors that take no argument and are no vector helpers."""

    def is_accessor(name: str, member: Callable[..., object]) -> bool:
        code = getattr(member, "__code__", None)
        return (
            name[0].isupper()
            and code is not None
            and code.co_argcount == 1
            and not name.endswith(("AsNumpy", "Length", "IsNone"))
        )

    return [name for name, member in vars(options_type).items() if is_accessor(name, member)]
