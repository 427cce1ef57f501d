"""The intermediate representation: a graph of operators over quantised tensors.

Everything is frozen: a pass makes a new `Graph`. Tensors are identified by small integers that are
stable from the flatbuffer to the generated C, because names in flatbuffers are neither unique nor
always present.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
import numpy.typing as npt

from exporter.graph.metadata import ModelMetadata

TensorId = int

ITEM_BYTES = {"int8": 1, "int16": 2, "int32": 4, "int64": 8}


@dataclass(frozen=True)
class Quantization:
    """Affine quantisation: real = scale * (q - zero_point), per tensor or along `axis`.

    `scales` and `zero_points` have one entry (per tensor) or one for each index along `axis`.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0

    @property
    def per_tensor(self) -> bool:
        return len(self.scales) == 1

    @property
    def scale(self) -> float:
        """The scale of a per-tensor quantisation."""
        (scale,) = self.scales
        return scale

    @property
    def zero_point(self) -> int:
        """The zero point of a per-tensor quantisation."""
        (zero_point,) = self.zero_points
        return zero_point


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor. `data` is set for constants and has exactly `shape` and `dtype`."""

    id: TensorId
    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None = None
    data: npt.NDArray[np.generic] | None = None

    @property
    def is_constant(self) -> bool:
        return self.data is not None

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * ITEM_BYTES[self.dtype]

    @property
    def scale(self) -> float:
        assert self.quantization is not None
        return self.quantization.scale

    @property
    def zero_point(self) -> int:
        assert self.quantization is not None
        return self.quantization.zero_point

    @property
    def constant(self) -> npt.NDArray[np.generic]:
        """The values of a constant tensor."""
        assert self.data is not None
        return self.data


Option = int | float | bool | str


@dataclass(frozen=True)
class Op:
    """One operator. `kind` is the flatbuffer's name (`CONV_2D`); absent inputs are None.

    `part`: this one makes only that output of the flatbuffer's operator, which has several.
    `in_place`: the inputs, by position, that lie in the output already, which is larger: this one
    writes the rest of it.
    """

    index: int
    kind: str
    inputs: tuple[TensorId | None, ...]
    outputs: tuple[TensorId, ...]
    options: Mapping[str, Option] = field(default_factory=dict)
    part: int | None = None
    in_place: tuple[int, ...] = ()

    @property
    def parts(self) -> tuple[Op, ...]:
        """Operators of one output each, that together are this one."""
        if len(self.outputs) == 1:
            return (self,)
        made = enumerate(self.outputs)
        return tuple(replace(self, outputs=(output,), part=part) for part, output in made)

    def input(self, position: int) -> TensorId:
        """The tensor at `position`, which must be there."""
        tensor = self.inputs[position]
        assert tensor is not None
        return tensor

    def optional_input(self, position: int) -> TensorId | None:
        return self.inputs[position] if position < len(self.inputs) else None


def short_name(name: str) -> str:
    """The first of the names that the TFLite converter joins with `;` when it fuses operators."""
    return name.split(";", maxsplit=1)[0]


@dataclass(frozen=True, eq=False)
class Graph:
    """Operators in a valid execution order, with the tensors they read and write."""

    name: str
    tensors: Mapping[TensorId, Tensor]
    ops: tuple[Op, ...]
    inputs: tuple[TensorId, ...]
    outputs: tuple[TensorId, ...]
    sha256: str = ""
    metadata: ModelMetadata | None = None

    def __getitem__(self, tensor: TensorId) -> Tensor:
        return self.tensors[tensor]

    def producer(self, tensor: TensorId) -> Op | None:
        """The operator that writes `tensor`; None for graph inputs and constants."""
        return next((op for op in self.ops if tensor in op.outputs), None)

    def consumers(self, tensor: TensorId) -> tuple[Op, ...]:
        return tuple(op for op in self.ops if tensor in op.inputs)

    def op_name(self, op: Op) -> str:
        """The name of the operator's first output: what users see in their framework."""
        return self.tensors[op.outputs[0]].name if op.outputs else op.kind

    def describe(self, op: Op) -> str:
        """The operator as error messages name it."""
        return f"layer {op.index} {op.kind} '{short_name(self.op_name(op))}'"

    def with_ops(self, ops: tuple[Op, ...]) -> Graph:
        return replace(self, ops=ops)

    def with_tensors(self, tensors: Mapping[TensorId, Tensor]) -> Graph:
        return replace(self, tensors=tensors)
