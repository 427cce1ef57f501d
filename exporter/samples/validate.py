"""Arrays against the inputs of a model: what cannot be used is refused."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np

from exporter.arrays import Array
from exporter.errors import BadInput
from exporter.samples.base import ModelInput
from exporter.samples.options import MOST_SAMPLES


def as_inputs(name: str, arrays: Sequence[Array], inputs: Sequence[ModelInput]) -> list[Array]:
    """Arrays given from Python, checked like those of a file; `name` says whose they are."""
    if len(arrays) != len(inputs):
        raise BadInput(
            f"{name} has a wrong number of arrays",
            value=len(arrays),
            allowed=f"{len(inputs)} ({', '.join(i.name for i in inputs)})",
        )
    return checked(name, [np.asarray(a) for a in arrays], inputs)


def checked(data: str, arrays: Sequence[Array], inputs: Sequence[ModelInput]) -> list[Array]:
    """One float32 array [N, ...] per input, all of one N of at least 1, all finite.

    Raises BadInput.
    """
    found = [_checked(data, a, i) for a, i in zip(arrays, inputs, strict=True)]
    if len({len(a) for a in found}) > 1:
        raise BadInput(
            f"the arrays in '{data}' have different numbers of samples",
            value=", ".join(f"{len(a)} of {i.name}" for a, i in zip(found, inputs, strict=True)),
            allowed="the same number for every input: sample k of all inputs goes in together",
        )
    return found


def reordered(arrays: Sequence[Array], inputs: Sequence[ModelInput]) -> tuple[str, ...]:
    """A warning for each array that `checked` takes in another order than the model's."""
    return tuple(
        f"the data of '{i.name}' is taken as channel last, {list(a.shape)}: "
        f"the model's own order is {i.batched}"
        for a, i in zip(arrays, inputs, strict=True)
        if i.in_order(a) is not a
    )


def _checked(data: str, array: Array, model_input: ModelInput) -> Array:
    """The array as float32 in the model's order, if it can be data for this input."""
    array = model_input.in_order(array)
    found = f"{array.dtype.name} {list(array.shape)}"
    allowed = f"float32 {model_input.batched}"
    name = model_input.name
    if array.dtype.kind != "f":
        raise BadInput(
            f"the data in '{data}' for the input '{name}' is not floating point",
            value=found,
            allowed=allowed,
            next_step="scale it as in training and save it as float32: x.astype('float32')",
        )
    if array.ndim == 0 or array.shape[1:] != model_input.shape:
        raise BadInput(
            f"the data in '{data}' has the wrong shape for the input '{name}'",
            value=found,
            allowed=allowed,
            next_step=_reshape_hint(array, model_input),
        )
    if len(array) == 0:
        raise BadInput(
            f"the data in '{data}' for the input '{name}' is empty",
            value=found,
            allowed=f"{allowed}, N at least 1; 100 to {MOST_SAMPLES} is usual",
        )
    return _finite(data, array, model_input)


def _finite(data: str, array: Array, model_input: ModelInput) -> Array:
    with np.errstate(over="ignore"):  # what float32 cannot hold is told below
        array = array.astype(np.float32)
    broken = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if broken.any():
        raise BadInput(
            f"the data in '{data}' for the input '{model_input.name}' has NaN or infinite values",
            value=f"in {int(broken.sum())} of {len(array)} samples, first in sample "
            f"{int(np.argmax(broken))}",
            allowed="finite numbers",
            next_step="drop or repair these samples",
        )
    return array


def _permuted(array: Array, axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(array.shape[1 + axis] for axis in axes)


def _reshape_hint(array: Array, model_input: ModelInput) -> str:
    size = int(np.prod(model_input.shape))
    shape = model_input.shape
    if array.ndim == len(shape) + 1 > 2 and sorted(array.shape[1:]) == sorted(shape):
        axes = next(p for p in permutations(range(len(shape))) if _permuted(array, p) == shape)
        order = ", ".join(str(axis + 1) for axis in axes)
        return f"bring its axes into the model's order: x.transpose(0, {order})"
    if array.ndim and len(array) and array[0].size == size:
        return f"reshape it: x.reshape(-1, {', '.join(map(str, model_input.shape))})"
    if array.size == size:
        return "add the dimension of samples: x[numpy.newaxis]"
    return "use data made by the preprocessing that the model was trained with"
