"""Calibration data: real inputs from which the ranges of all activations are measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exporter.arrays import Array, pick, read_arrays
from exporter.convert.sources import ModelInput
from exporter.errors import BadInput

MOST_SAMPLES = 500
FEW_SAMPLES = 10
SAMPLING_SEED = 0


@dataclass(frozen=True)
class Calibration:
    """One float32 array [N, ...] per input, in the model's order, all of one N.

    `given` is how many samples the file holds; N is at most MOST_SAMPLES of them.
    """

    arrays: tuple[Array, ...]
    given: int
    warnings: tuple[str, ...]


def load_calibration(path: Path, inputs: Sequence[ModelInput]) -> Calibration:
    """Reads and checks calibration data for a model with these inputs.

    Keys are the inputs' names; a model of one input also takes `x` or the only array. More than
    MOST_SAMPLES are sub-sampled, always the same ones. Raises BadInput.
    """
    found = read_arrays(path)
    arrays = [_checked(path, pick(path, found, i.name, only=len(inputs) == 1), i) for i in inputs]
    counts = [len(a) for a in arrays]
    if len(set(counts)) > 1:
        raise BadInput(
            f"the arrays in '{path}' have different numbers of samples",
            value=", ".join(f"{n} of {i.name}" for n, i in zip(counts, inputs, strict=True)),
            allowed="the same number for every input: sample k of all inputs goes in together",
        )
    return Calibration(
        tuple(_subsampled(a) for a in arrays), counts[0], tuple(_warnings(arrays, inputs))
    )


def as_inputs(name: str, arrays: Sequence[Array], inputs: Sequence[ModelInput]) -> list[Array]:
    """Arrays given from Python, checked like those of a file; `name` says whose they are."""
    if len(arrays) != len(inputs):
        raise BadInput(
            f"{name} has a wrong number of arrays",
            value=len(arrays),
            allowed=f"{len(inputs)} ({', '.join(i.name for i in inputs)})",
        )
    return [_checked(Path(name), np.asarray(a), i) for a, i in zip(arrays, inputs, strict=True)]


def _checked(path: Path, array: Array, model_input: ModelInput) -> Array:
    """The array as float32, if it can be data for this input."""
    found = f"{array.dtype.name} {list(array.shape)}"
    allowed = f"float32 {model_input.batched}"
    name = model_input.name
    if array.dtype.kind != "f":
        raise BadInput(
            f"the data in '{path}' for the input '{name}' is not floating point",
            value=found,
            allowed=allowed,
            next_step="scale it as in training and save it as float32: x.astype('float32')",
        )
    if array.ndim == 0 or array.shape[1:] != model_input.shape:
        raise BadInput(
            f"the data in '{path}' has the wrong shape for the input '{name}'",
            value=found,
            allowed=allowed,
            next_step=_reshape_hint(array, model_input),
        )
    if len(array) == 0:
        raise BadInput(
            f"the data in '{path}' for the input '{name}' is empty",
            value=found,
            allowed=f"{allowed}, N at least 1; 100 to {MOST_SAMPLES} is usual",
        )
    array = array.astype(np.float32)
    broken = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if broken.any():
        raise BadInput(
            f"the data in '{path}' for the input '{name}' has NaN or infinite values",
            value=f"in {int(broken.sum())} of {len(array)} samples, first in sample "
            f"{int(np.argmax(broken))}",
            allowed="finite numbers",
            next_step="drop or repair these samples",
        )
    return array


def _reshape_hint(array: Array, model_input: ModelInput) -> str:
    size = int(np.prod(model_input.shape))
    if array.ndim and len(array) and array[0].size == size:
        return f"reshape it: x.reshape(-1, {', '.join(map(str, model_input.shape))})"
    if array.size == size:
        return "add the dimension of samples: x[numpy.newaxis]"
    return "use data made by the preprocessing that the model was trained with"


def _subsampled(array: Array) -> Array:
    """At most MOST_SAMPLES, in their order; the same ones for every input and on every run."""
    if len(array) <= MOST_SAMPLES:
        return array
    chosen = np.random.default_rng(SAMPLING_SEED).permutation(len(array))[:MOST_SAMPLES]
    return array[np.sort(chosen)]


def _warnings(arrays: Sequence[Array], inputs: Sequence[ModelInput]) -> list[str]:
    warnings = []
    if len(arrays[0]) < FEW_SAMPLES:
        warnings.append(
            f"only {len(arrays[0])} calibration samples: ranges measured on fewer than "
            f"{FEW_SAMPLES} are seldom right; 100 to {MOST_SAMPLES} is usual"
        )
    for array, model_input in zip(arrays, inputs, strict=True):
        if array.min() == array.max():
            warnings.append(
                f"the calibration data of '{model_input.name}' is {array.min():g} everywhere"
            )
    return warnings
