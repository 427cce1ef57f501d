"""Models of one operator, for what random models do not draw: named corners and refusals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from exporter.errors import BadInput
from tests.flatbuffer_builder import Array, ModelBuilder
from tests.ops.harness import compile_graph


@dataclass(frozen=True)
class Operand:
    """A tensor of a test model: a constant where it has `data`, else an input or an output."""

    shape: tuple[int, ...]
    scale: float | None = 0.05
    zero_point: int = 0
    data: Any = field(default=None, compare=False)
    dtype: str = "int8"

    def with_shape(self, *shape: int) -> Operand:
        return replace(self, shape=shape)


def numbers(values: Any) -> Operand:
    """A constant int32 without quantisation: axes, paddings, permutations."""
    array = np.asarray(values, np.int32)
    return Operand(array.shape, None, 0, array, "int32")


def constant(values: Any, scale: float = 0.05, zero_point: int = 0) -> Operand:
    """A constant int8."""
    array = np.asarray(values, np.int8)
    return Operand(array.shape, scale, zero_point, array)


def noise(shape: Sequence[int], scale: float = 0.05, zero_point: int = 0, seed: int = 0) -> Operand:
    """A constant int8 of random values."""
    values: Array = np.random.default_rng(seed).integers(-128, 128, tuple(shape))
    return constant(values, scale, zero_point)


def model(kind: str, inputs: Sequence[Operand], output: Operand, **options: Any) -> bytes:
    """A flatbuffer of one operator. Operands that are the same object are the same tensor."""
    builder = ModelBuilder()
    known: dict[int, int] = {}
    for position, operand in enumerate(inputs):
        if id(operand) not in known:
            known[id(operand)] = _tensor(builder, operand, f"input_{position}")
    result = _tensor(builder, output, "output")
    builder.op(kind, [known[id(operand)] for operand in inputs], [result], **options)
    variable = dict.fromkeys(known[id(operand)] for operand in inputs if operand.data is None)
    return builder.finish(list(variable), [result])


def refusal(data: bytes) -> str:
    """What the compiler says about a model that it must refuse."""
    with pytest.raises(BadInput) as caught:
        compile_graph(data)
    return caught.value.what


def assert_refused(data: bytes, rule: Callable[..., bool]) -> None:
    """The compiler refuses the model, with the docstring of `rule`."""
    text = " ".join((rule.__doc__ or "").split())
    assert text in refusal(data)


def _tensor(builder: ModelBuilder, operand: Operand, name: str) -> int:
    return builder.tensor(
        name,
        operand.shape,
        operand.dtype,
        scale=operand.scale,
        zero_point=None if operand.scale is None else operand.zero_point,
        data=operand.data,
    )
