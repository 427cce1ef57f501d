"""Models that are objects of a running Python program: saved to a temporary folder, then converted.

This module imports TensorFlow and PyTorch only where the caller has done so already.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from exporter.convert.convert import DEFAULTS, ConvertReport, convert
from exporter.convert.settings import ConvertSettings
from exporter.convert.sources.torch import save_module
from exporter.convert.trained import Progress, require_tensorflow
from exporter.errors import BadInput
from exporter.worker import Array


def convert_model(
    model: Any,
    samples: Array | Mapping[str, Array],
    output: Path,
    settings: ConvertSettings = DEFAULTS,
    *,
    progress: Progress | None = None,
) -> ConvertReport:
    """Converts a model of Python and writes `output`.

    `model`: of Keras 3 or tf_keras, a concrete function, a PyTorch module or exported program.
    `samples`: float32 [N, ...] for a model of one input, or one such array per input by its name;
    for a PyTorch module in the order of its arguments. Raises what `convert` raises, and BadInput
    for any other object.
    """
    require_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        arrays = samples if isinstance(samples, Mapping) else {"x": samples}
        path = _saved(model, list(arrays.values()), Path(folder))
        data = Path(folder) / "samples.npz"
        np.savez(data, **arrays)
        report = convert(path, data, output, settings, progress=progress)
    return replace(report, model=getattr(model, "name", None) or type(model).__name__)


def _saved(model: Any, samples: Sequence[Array], folder: Path) -> Path:
    """The model in the form that needs none of the caller's classes to be loaded."""
    path = folder / "model"
    origins = {cls.__module__.split(".")[0] for cls in type(model).__mro__}
    if "keras" in origins:
        model.export(str(path), verbose=False)
    elif "tf_keras" in origins:
        importlib.import_module("tensorflow").saved_model.save(model, str(path))
    elif "torch" in origins:
        path = path.with_suffix(".pt2")
        save_module(model, samples, path)
    elif hasattr(model, "structured_input_signature"):
        _save_function(model, path)
    else:
        raise BadInput(
            "this object is no model that can be converted",
            value=type(model).__name__,
            allowed="a Keras model, a concrete function of TensorFlow, or a PyTorch module",
            next_step="of a tf.function: function.get_concrete_function(tf.TensorSpec(...))",
        )
    return path


def _save_function(function: Any, path: Path) -> None:
    """With its variables as constants: a SavedModel demands that someone owns variables."""
    tf = importlib.import_module("tensorflow")
    freeze = importlib.import_module("tensorflow.python.framework.convert_to_constants")
    frozen = freeze.convert_variables_to_constants_v2(function)
    module = tf.Module()
    tf.saved_model.save(module, str(path), signatures=_with_named_outputs(tf, frozen))


def _with_named_outputs(tf: Any, frozen: Any) -> Any:
    """A signature has a dictionary of outputs; in the order of its keys they are the function's."""
    # What the function captured, variables and tensors, is no input of the frozen one any more.
    specs = [tf.TensorSpec(t.shape, t.dtype, name=t.op.name) for t in frozen.inputs]

    def call(*tensors: Any) -> dict[str, Any]:
        outputs = tf.nest.flatten(frozen(*tensors))
        return {f"output_{k:03}": tensor for k, tensor in enumerate(outputs)}

    return tf.function(call).get_concrete_function(*specs)
