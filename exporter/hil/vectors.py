"""Input vectors for verification: what uniform noise alone would not find.

Noise keeps every sum near its mean; kernels fail at the ends: saturated accumulators, a zero point
used where padding should be, a channel read for its neighbour. So every run starts with one vector
of each kind in `KINDS`, then goes on with kinds drawn at random, for each input by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from exporter.arrays import pick, read_arrays
from exporter.errors import BadInput

Array = NDArray[Any]
Int8Array = NDArray[np.int8]
Rng = np.random.Generator


class Quantized(Protocol):
    """Quantisation of a tensor: real = scale * (stored - zero_point)."""

    @property
    def scale(self) -> float: ...
    @property
    def zero_point(self) -> int: ...


class InputTensor(Quantized, Protocol):
    """What must be known of a model's input; oracle.TensorInfo and graph.ir.Tensor both fit."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...


Kind = Callable[[InputTensor, Rng], Array]


def make_vectors(inputs: Sequence[InputTensor], count: int, seed: int = 0) -> list[list[Int8Array]]:
    """`count` vectors; each holds one int8 array per input, in their order.

    The same arguments always give the same vectors. Raises BadInput for an input that is not int8.
    """
    for tensor in inputs:
        _check_int8(tensor)
    return [_vector(inputs, index, seed) for index in range(count)]


def kind_of(index: int) -> str:
    """The kind of vector `index`, for reports; "mixed" where each input draws its own."""
    return list(KINDS)[index] if index < len(KINDS) else "mixed"


def _vector(inputs: Sequence[InputTensor], index: int, seed: int) -> list[Int8Array]:
    """A generator for each vector: the first N of a longer run are the run of N."""
    rng = np.random.default_rng([seed, index])
    kinds = list(KINDS.values())
    return [
        _as_int8(kinds[index if index < len(kinds) else int(rng.integers(len(kinds)))](t, rng), t)
        for t in inputs
    ]


def _as_int8(values: Array, tensor: InputTensor) -> Int8Array:
    clipped: Int8Array = np.clip(np.rint(values), -128, 127).astype(np.int8)
    return np.array(np.broadcast_to(clipped, tensor.shape), order="C")


def _noise(tensor: InputTensor, rng: Rng) -> Array:
    """Uniform over the whole range."""
    return rng.integers(-128, 128, tensor.shape)


def _smooth(tensor: InputTensor, rng: Rng) -> Array:
    """A low-frequency picture, as photographs and spectrograms are: a few random waves."""
    grids = np.meshgrid(*(np.linspace(0, 1, max(d, 1)) for d in tensor.shape), indexing="ij")
    picture = np.zeros(tensor.shape)
    for _ in range(4):
        waves = rng.uniform(-2, 2, len(grids))
        phase = rng.uniform(0, 2 * np.pi)
        picture += np.cos(2 * np.pi * sum(w * g for w, g in zip(waves, grids, strict=True)) + phase)
    return picture / 4 * rng.uniform(60, 160) + rng.uniform(-60, 60)


def _lowest(tensor: InputTensor, rng: Rng) -> Array:
    return np.full(tensor.shape, -128)


def _highest(tensor: InputTensor, rng: Rng) -> Array:
    return np.full(tensor.shape, 127)


def _zero(tensor: InputTensor, rng: Rng) -> Array:
    """The zero point everywhere: only biases remain."""
    return np.full(tensor.shape, tensor.zero_point)


def _alternating(tensor: InputTensor, rng: Rng) -> Array:
    """-128 and 127 in turn along every dimension, a chessboard."""
    return np.where(np.indices(tensor.shape).sum(axis=0) % 2, 127, -128)


def _alternating_flat(tensor: InputTensor, rng: Rng) -> Array:
    """127 and -128 in turn in memory order, starting with the other one."""
    return np.where(np.arange(_size(tensor)) % 2, -128, 127).reshape(tensor.shape)


def _ramp(tensor: InputTensor, rng: Rng) -> Array:
    """-128 to 127 once over the tensor: shows a transposed or shifted read."""
    return np.linspace(-128, 127, _size(tensor)).reshape(tensor.shape)


def _sawtooth(tensor: InputTensor, rng: Rng) -> Array:
    """127 down to -128, again and again in memory order: neighbours differ by one."""
    return (127 - np.arange(_size(tensor)) % 256).reshape(tensor.shape)


def _planes(tensor: InputTensor, rng: Rng) -> Array:
    """Each channel (last dimension) constant, at a value of its own."""
    return rng.integers(-128, 128, tensor.shape[-1:])


def _rows(tensor: InputTensor, rng: Rng) -> Array:
    """Each row (second dimension) constant: shows rows read from the wrong place in a ring."""
    shape = [d if i == 1 else 1 for i, d in enumerate(tensor.shape)]
    return rng.integers(-128, 128, shape)


def _spikes(tensor: InputTensor, rng: Rng) -> Array:
    """The zero point with a few extremes: a spike reaches few outputs, so errors have a place."""
    chosen = rng.random(tensor.shape) < max(0.02, 1.5 / max(_size(tensor), 1))
    return np.where(chosen, rng.choice([-128, 127], tensor.shape), tensor.zero_point)


def _extremes(tensor: InputTensor, rng: Rng) -> Array:
    """-128 or 127 at random: the widest sums that noise can give."""
    return rng.choice([-128, 127], tensor.shape)


# In the order in which a run uses them: a short run still gets noise, both ends and a picture.
KINDS: dict[str, Kind] = {
    "noise": _noise,
    "lowest": _lowest,
    "highest": _highest,
    "smooth": _smooth,
    "zero": _zero,
    "alternating": _alternating,
    "ramp": _ramp,
    "planes": _planes,
    "spikes": _spikes,
    "alternating_flat": _alternating_flat,
    "sawtooth": _sawtooth,
    "rows": _rows,
    "extremes": _extremes,
}


def _size(tensor: InputTensor) -> int:
    return int(np.prod(tensor.shape))


# --- vectors from a file -------------------------------------------------------------------------


def load_vectors(path: Path, inputs: Sequence[InputTensor]) -> list[list[Int8Array]]:
    """The vectors in a `.npz` (or, for one input, `.npy`) file.

    Each input's array is int8 [N, *shape without the batch of 1], or float32 of the same shape,
    which is quantised with the input's scale and zero point. Keys are the inputs' names; a model of
    one input also takes `x`, or whatever the only key of that shape is. Raises BadInput.
    """
    arrays = read_arrays(path)
    columns = [_column(path, arrays, t, only=len(inputs) == 1) for t in inputs]
    counts = [len(c) for c in columns]
    if len(set(counts)) != 1 or counts[0] == 0:
        raise BadInput(
            f"the arrays in '{path}' do not give whole vectors",
            value=", ".join(f"{n} of {t.name}" for n, t in zip(counts, inputs, strict=True)),
            allowed="the same number, at least 1, for every input",
        )
    return [list(vector) for vector in zip(*columns, strict=True)]


def quantize(values: Array, tensor: Quantized) -> Int8Array:
    """Real numbers in the tensor's int8: round(x / scale) + zero point, saturated.

    Halves round away from zero, as the QUANTIZE operator does (kernels AffineQuantize).
    """
    scaled = values.astype(np.float32) / np.float32(tensor.scale)
    rounded = np.trunc(scaled + np.copysign(np.float32(0.5), scaled)) + tensor.zero_point
    saturated: Int8Array = np.clip(rounded, -128, 127).astype(np.int8)
    return saturated


def dequantize(values: Int8Array, tensor: Quantized) -> NDArray[np.float32]:
    """The real numbers that int8 `values` of the tensor stand for."""
    shifted = values.astype(np.int32) - tensor.zero_point
    return (shifted * np.float32(tensor.scale)).astype(np.float32)


def _column(
    path: Path, arrays: dict[str, Array], tensor: InputTensor, only: bool
) -> list[Int8Array]:
    """All the values of one input, each of the tensor's full shape."""
    array = pick(path, arrays, tensor.name, only=only)
    per_vector = tensor.shape[1:] if tensor.shape[:1] == (1,) else tensor.shape
    if array.ndim and array.shape[1:] == tensor.shape:
        per_vector = tensor.shape
    if array.ndim == 0 or array.shape[1:] != per_vector or array.dtype.name not in _DTYPES:
        raise BadInput(
            f"an array in '{path}' does not fit the input '{tensor.name}'",
            value=f"{array.dtype.name} {list(array.shape)}",
            allowed=f"int8 or float32 [N, {', '.join(map(str, per_vector))}]",
        )
    if array.dtype != np.int8:
        array = quantize(_finite(path, array, tensor), tensor)
    return [np.ascontiguousarray(row.reshape(tensor.shape)) for row in array]


_DTYPES = ("int8", "float32", "float64")


def _finite(path: Path, array: Array, tensor: InputTensor) -> Array:
    if not np.isfinite(array).all():
        raise BadInput(
            f"an array in '{path}' has values that are not numbers",
            value=f"{int((~np.isfinite(array)).sum())} of {array.size} in '{tensor.name}'",
            allowed="finite numbers",
        )
    return array


def _check_int8(tensor: InputTensor) -> None:
    if tensor.dtype != "int8":
        raise BadInput(f"the input '{tensor.name}' is not int8", value=tensor.dtype, allowed="int8")
