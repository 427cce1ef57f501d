"""Models that a Python function returns: `module:function`, looked for in the current folder.

The function takes no arguments and returns one of

- a Keras model;
- a function of TensorFlow that states its input: a concrete function, or a tf.function with an
  input_signature;
- a PyTorch module and a sample of its input (or a tuple of samples), or an exported program;
- the path of a model of any other format.

It runs in the worker, beside TensorFlow; where it imports torch and only another environment has
that, it runs there.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exporter import user_function
from exporter.convert.sources.base import Loaded, Source, model_input, tensorflow
from exporter.convert.sources.keras import flatten, from_keras
from exporter.convert.sources.torch import PYTHON_VARIABLE, TorchSource, from_torch, torch_missing
from exporter.errors import BadInput, MissingTool
from exporter.foreign import torch_worker
from exporter.worker import Message

RETURNS = (
    "a Keras model, a tf.function with an input signature, a PyTorch module with a sample, "
    "or a path"
)
FORM = f"a function without arguments that returns {RETURNS}"
_FORM = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_TORCH = ("torch", "litert_torch")


class PythonSource(Source):
    """See the module's docstring."""

    kind = "python"
    form = "module:function (Python)"

    def __init__(self, others: Sequence[Source]) -> None:
        self._others = others

    def matches(self, path: Path) -> bool:
        """By its name: there is no file of it."""
        return bool(_FORM.fullmatch(path.name)) and not path.exists()

    def load(self, path: Path) -> Loaded:
        folder = path.parent.resolve()
        try:
            returned = user_function.called(path.name, folder, FORM)
        except ModuleNotFoundError as error:
            if error.name in _TORCH and os.environ.get(PYTHON_VARIABLE):
                fields = {"name": path.name, "folder": str(folder)}
                return from_torch(Message("convert", fields), path)
            raise _missing(path.name, error, folder) from None
        if isinstance(returned, (str, Path)):
            return self._from_path(path, folder / returned)
        return from_object(returned, path)

    def _from_path(self, path: Path, returned: Path) -> Loaded:
        for source in self._others:
            if returned.exists() and source.matches(returned):
                return source.load(returned)
        raise BadInput(
            f"the function {path.name} returns a path where there is no model",
            value=returned,
            allowed=[source.form for source in self._others],
        )


def from_object(model: Any, path: Path) -> Loaded:
    """A model as an object of its framework; `path` is what messages call it. Raises BadInput."""
    if _is_torch(model):
        return _from_torch_object(model, path)
    tf = tensorflow()
    if hasattr(model, "get_concrete_function"):
        model = _concrete(model, path)
    if isinstance(model, tf.types.experimental.ConcreteFunction):
        return _from_concrete(model, path)
    if _is_keras(model):
        return from_keras(model, path)
    raise BadInput(
        f"{path.name} does not return a model", value=type(model).__name__, allowed=RETURNS
    )


def _is_keras(model: Any) -> bool:
    modules = [kind.__module__.partition(".")[0] for kind in type(model).__mro__]
    return callable(model) and any(m in ("keras", "tf_keras") for m in modules)


def _is_torch(model: Any) -> bool:
    """Whether it is, or holds, an object of PyTorch; asked without importing it."""
    parts = model if isinstance(model, (tuple, list)) else (model,)
    kinds = [kind for part in parts[:1] for kind in type(part).__mro__]
    return any(kind.__module__.partition(".")[0] == "torch" for kind in kinds)


def _from_torch_object(model: Any, path: Path) -> Loaded:
    """By way of a file: litert-torch does not go with TensorFlow in one process."""
    torch: Any = sys.modules["torch"]
    with tempfile.TemporaryDirectory(prefix="nanoexport-") as folder:
        file = Path(folder) / "model.pt2"
        torch.export.save(torch_worker.exported(torch, path.name, model), file)
        return TorchSource().load(file)


def _concrete(function: Any, path: Path) -> Any:
    try:
        return function.get_concrete_function()
    except (TypeError, ValueError) as error:
        raise BadInput(
            f"the tf.function of {path.name} does not state its input",
            value=str(error).splitlines()[0][:200],
            allowed="@tf.function(input_signature=[tf.TensorSpec([None, ...], tf.float32)])",
        ) from None


def _from_concrete(function: Any, path: Path) -> Loaded:
    specs, keywords = function.structured_input_signature
    named = [*flatten(list(specs)), *keywords.values()]
    tf = tensorflow()
    if not named or not all(isinstance(s, tf.TensorSpec) and s.shape.rank for s in named):
        raise BadInput(
            f"the inputs of the function of {path.name} are not tensors of known shape",
            value=", ".join(map(str, named)) or "(none)",
            allowed="tf.TensorSpec([None, ...], tf.float32) for each",
        )
    inputs = tuple(
        model_input(s.name or f"input_{k}", s.shape.as_list(), s.dtype.name)
        for k, s in enumerate(named)
    )
    count = len(flatten(list(specs)))

    def call(*tensors: Any) -> list[Any]:
        rest = dict(zip(keywords, tensors[count:], strict=True))
        return flatten(function(*tensors[:count], **rest))

    return Loaded(inputs, call)


def _missing(name: str, error: ModuleNotFoundError, folder: Path) -> BadInput | MissingTool:
    if error.name in _TORCH:
        return torch_missing(f"the function {name}", error.name)
    return user_function.failed(f"the function {name}", error, folder, FORM)
