"""The interface of a source: one format in which trained models come.

To add one:

1. Write `exporter/convert/sources/<format>.py` with a subclass of `Source`.
2. `matches` looks at the path only, without TensorFlow: it runs in the user's process.
3. `load` runs in the worker, where TensorFlow may be imported (through `tensorflow()` below, so
   that the command line starts fast). It raises BadInput for a file that cannot be loaded.
4. Add an instance to SOURCES in `exporter/convert/sources/__init__.py`.
5. Test it in `tests/convert/test_sources.py` with a real file, a broken one and a foreign one.

    class Pickled(Source):
        kind = "pickle"
        form = "a pickled model (.pkl)"

        def matches(self, path: Path) -> bool:
            return path.suffix == ".pkl"

        def load(self, path: Path) -> Loaded:
            model = ...
            return Loaded(inputs=..., call=lambda *tensors: [model(tensors[0])])

A format that another program turns into a float flatbuffer returns that one instead:
`Loaded(inputs=flatbuffer_inputs(data), flatbuffer=data)` (see `sources/tflite.py`).
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from exporter.errors import BadInput
from exporter.samples import ModelInput
from exporter.worker import Array


@dataclass(frozen=True)
class Loaded:
    """A float model as a function of TensorFlow, as a flatbuffer, or as both.

    `call` maps one batched tensor per input to a list of outputs, and is what predictions come
    from. `flatbuffer` is a float one, of batch one, with the same inputs in the same order; without
    it TensorFlow's converter makes it from `call`. `predict`, for models that another framework
    runs, maps one array [N, ...] per input, in the model's order, to the outputs [N, ...] in the
    flatbuffer's order.
    """

    inputs: tuple[ModelInput, ...]
    call: Callable[..., Sequence[Any]] | None = None
    flatbuffer: bytes | None = None
    predict: Callable[[Sequence[Array]], list[Array]] | None = None


class Source(ABC):
    """One format. See the module's docstring for how to add one."""

    kind: ClassVar[str]
    form: ClassVar[str]
    """What error messages call it, suffix included."""

    @abstractmethod
    def matches(self, path: Path) -> bool:
        """Whether the file or folder at `path`, which exists, is meant to be of this format."""

    @abstractmethod
    def load(self, path: Path) -> Loaded:
        """The model at `path`. Raises BadInput."""


def tensorflow() -> Any:
    """The TensorFlow module; as Any, since it has no usable types."""
    return importlib.import_module("tensorflow")


def model_input(name: str, shape: Sequence[int | None], dtype: str) -> ModelInput:
    """An input from its full shape, None where a size is open.

    Raises BadInput for what a microcontroller cannot have: an open size besides the batch's, a
    batch of more than one, an input that is not float32 (calibration has to see real numbers).
    """
    form = f"{dtype} [{', '.join('?' if d is None else str(d) for d in shape)}]"
    if not shape or shape[0] not in (None, 1):
        raise BadInput(
            f"the input '{name}' has no batch dimension of one",
            value=form,
            allowed="[?, ...] or [1, ...]",
            next_step="export the model with a batch size of None or 1",
        )
    sizes = [d for d in shape[1:] if d is not None]
    if len(sizes) != len(shape) - 1:
        raise BadInput(
            f"the input '{name}' has a dynamic shape",
            value=form,
            allowed="fixed sizes, except for the batch",
            next_step="export the model with a fixed input size",
        )
    if dtype != "float32":
        raise BadInput(
            f"the input '{name}' is not float32",
            value=form,
            allowed="float32",
            next_step="move the cast out of the model and feed it real numbers",
        )
    return ModelInput(name, tuple(sizes), dtype)


def first_line(error: BaseException) -> str:
    """An exception in one line, for the value of an error message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:240]}" if lines else type(error).__name__
