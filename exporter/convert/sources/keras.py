"""Keras 3 models: `.keras` files, and what all Keras models have in common."""

from __future__ import annotations

import importlib
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from exporter.convert.sources.base import Loaded, Source, first_line, model_input
from exporter.errors import BadInput
from exporter.samples import Range, range_before_normalization, range_before_rescaling

# As Keras 3 (serialization_lib) and tf_keras word it.
_UNKNOWN_CLASS = re.compile(r"(?:Could not locate class|Unknown layer:?) '(\w+)'")


class KerasSource(Source):
    """A `.keras` file, as Keras 3's `model.save` writes it."""

    kind = "keras"
    form = "a Keras 3 model (.keras)"

    def matches(self, path: Path) -> bool:
        return path.suffix == ".keras" and path.is_file()

    def load(self, path: Path) -> Loaded:
        try:
            return from_keras(load_with_keras_3(path), path)
        except (ValueError, TypeError, KeyError, OSError, AttributeError) as error:
            raise cannot_load(path, error) from None


def load_with_keras_3(path: Path) -> Any:
    """The model at `path`. Raises BadInput for no archive, and whatever Keras raises."""
    # Keras would say that there is no such file.
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise BadInput(
            f"'{path}' is not a Keras 3 model, or is cut short",
            value=f"{path.stat().st_size:,} bytes that are no zip archive",
            allowed="a whole file that Keras 3's model.save wrote",
            next_step="copy it again and compare its size, or save the model again",
        )
    keras = importlib.import_module("keras")
    return keras.saving.load_model(str(path), compile=False)


def from_keras(model: Any, path: Path) -> Loaded:
    """A Keras model (of Keras 3 or tf_keras) as inputs and a function in inference mode."""
    if not getattr(model, "inputs", None):
        raise BadInput(
            f"the model '{path}' does not state its inputs",
            value=type(model).__name__,
            allowed="a Sequential or functional model, or one that was called before saving",
            next_step="call the model once on data before saving it, or export a SavedModel",
        )
    inputs = tuple(
        model_input(_plain_name(i.name), list(i.shape), _dtype_name(i.dtype)) for i in model.inputs
    )
    if len(inputs) == 1:
        inputs = (replace(inputs[0], trained_range=_trained_range(model)),)

    def call(*tensors: Any) -> list[Any]:
        outputs = model(list(tensors) if len(tensors) > 1 else tensors[0], training=False)
        return flatten(outputs)

    return Loaded(inputs, call)


def _trained_range(model: Any) -> Range | None:
    """What the data spanned in training, where the first layer tells; None where it does not."""
    layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    first: Any = layers[0] if layers else None
    try:
        if type(first).__name__ == "Rescaling":
            return range_before_rescaling(float(first.scale), float(first.offset))
        if type(first).__name__ == "Normalization" and not first.invert:
            mean, variance = (np.ravel(values) for values in (first.mean, first.variance))
            return range_before_normalization(mean.tolist(), variance.tolist())
    except (AttributeError, TypeError, ValueError):  # numbers by channel, or not yet adapted
        return None
    return None


def flatten(outputs: Any) -> list[Any]:
    """The output tensors of a model in one list; dictionaries in the order of their keys."""
    if isinstance(outputs, dict):
        return [t for key in sorted(outputs) for t in flatten(outputs[key])]
    if isinstance(outputs, list | tuple):
        return [t for part in outputs for t in flatten(part)]
    return [outputs]


def cannot_load(path: Path, error: BaseException) -> BadInput:
    """The error for a file that Keras refuses."""
    custom = _UNKNOWN_CLASS.search(str(error))
    return BadInput(
        f"Keras cannot load the model '{path}'",
        value=f"its class '{custom[1]}' is not one of Keras's" if custom else first_line(error),
        allowed="a whole model of Keras's own layers, saved with model.save",
        next_step="export it as a SavedModel folder (model.export), which needs no class"
        if custom
        else "load it with keras.models.load_model to see what is wrong, and save it again",
    )


def _plain_name(name: str) -> str:
    """tf_keras names tensors `image:0`."""
    return name.partition(":")[0]


def _dtype_name(dtype: Any) -> str:
    """Keras 3 states dtypes as text, tf_keras as objects."""
    return dtype if isinstance(dtype, str) else str(dtype.name)
