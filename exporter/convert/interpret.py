"""Runs flatbuffers on TensorFlow's interpreter, in the worker, with every tensor to be seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from exporter.convert.sources.base import tensorflow
from exporter.worker import Array

Progress = Callable[[str], None]

_PROGRESS_SECONDS = 1.0


class Interpreter:
    """One flatbuffer of batch one. `exact`: on the reference kernels, whose bits boards reproduce.

    Otherwise on the optimised ones, some of whose bits differ.
    """

    def __init__(self, flatbuffer: bytes, *, exact: bool = False) -> None:
        lite = tensorflow().lite
        resolvers = lite.experimental.OpResolverType
        self._interpreter: Any = lite.Interpreter(
            model_content=flatbuffer,
            # Without XNNPACK, which keeps no tensors; on one thread, for the same sums every time.
            experimental_op_resolver_type=resolvers.BUILTIN_REF
            if exact
            else resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
            num_threads=1,
        )
        self._interpreter.allocate_tensors()
        self.inputs: list[dict[str, Any]] = self._interpreter.get_input_details()
        self.outputs: list[dict[str, Any]] = self._interpreter.get_output_details()
        details = self._interpreter.get_tensor_details()
        self._scales = {d["index"]: d["quantization"] for d in details}

    def runs(self, samples: Sequence[Array]) -> Iterator[int]:
        """Runs every sample of float arrays [N, ...], one per input; yields its number after it."""
        for number in range(len(samples[0])):
            for details, array in zip(self.inputs, samples, strict=True):
                self._interpreter.set_tensor(
                    details["index"], as_input(array[number : number + 1], details)
                )
            self._interpreter.invoke()
            yield number

    def tensor(self, index: int) -> Array:
        """The tensor's values after the last run, as they are stored."""
        return np.asarray(self._interpreter.get_tensor(index))

    def real(self, index: int) -> Array:
        """The tensor's values after the last run as real numbers, float64."""
        scale, zero_point = self._scales[index]
        values: Array = self.tensor(index).astype(np.float64)
        return values if scale == 0 else (values - zero_point) * scale


def told(runs: Iterator[int], count: int, doing: str, progress: Progress) -> Iterator[int]:
    """The numbers of `runs`, with a line of progress once a second, however slow a sample is."""
    last = -_PROGRESS_SECONDS
    for number in runs:
        if time.monotonic() - last > _PROGRESS_SECONDS:
            progress(f"{doing} {number + 1} of {count} samples")
            last = time.monotonic()
        yield number


def as_input(array: Array, details: dict[str, Any]) -> Array:
    """Real numbers as the input's type."""
    dtype, (scale, zero_point) = details["dtype"], details["quantization"]
    if scale == 0:
        return array.astype(dtype)
    limits = np.iinfo(dtype)
    steps: Array = np.rint(array / scale) + zero_point
    return np.clip(steps, limits.min, limits.max).astype(dtype)
