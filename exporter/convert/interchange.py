"""The form in which every source reaches quantisation: a float flatbuffer of batch one.

Also the predictions of the float model, from the model itself where it can be called.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from exporter.convert.interpret import Interpreter, Progress, told
from exporter.convert.normalise import normalised
from exporter.convert.quantize import refused
from exporter.convert.sources import Loaded
from exporter.convert.sources.base import tensorflow
from exporter.worker import Array

PREDICTION_BATCH = 256


def float_flatbuffer(model: Loaded, progress: Progress) -> bytes:
    """The source's own flatbuffer, or what TensorFlow's converter makes of its function.

    Raises BadInput where an operator has no form in a flatbuffer.
    """
    if model.flatbuffer is not None:
        return normalised(model.flatbuffer)
    progress("tracing the model for a batch of one")
    function = _frozen_function(model, batch=1)
    converter = tensorflow().lite.TFLiteConverter.from_concrete_functions([function])
    try:
        return bytes(converter.convert())
    except Exception as error:  # whatever the converter raises: the model is the reason
        raise refused(error) from None


def for_device(model: Loaded, data: Sequence[Array]) -> list[Array]:
    """Arrays [N, ...] in the model's order, one per input, as the flatbuffer takes them."""
    return [i.for_device(a) for i, a in zip(model.inputs, data, strict=True)]


def predictions(model: Loaded, data: Sequence[Array], progress: Progress) -> list[Array]:
    """The float model's outputs, float32 [N, ...] each, for one array [N, ...] per input."""
    if model.predict is not None:
        progress(f"predicting {len(data[0])}")
        return model.predict(data)
    if model.call is None:
        assert model.flatbuffer is not None, "a source brings one of the two"
        return _interpreted(normalised(model.flatbuffer), for_device(model, data), progress)
    tf, function = tensorflow(), _frozen_function(model, batch=None)
    count = len(data[0])
    batches = []
    for start in range(0, count, PREDICTION_BATCH):
        progress(f"predicting {start} of {count}")
        part = [tf.constant(a[start : start + PREDICTION_BATCH]) for a in data]
        batches.append([np.asarray(t) for t in function(*part)])
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def _interpreted(flatbuffer: bytes, data: Sequence[Array], progress: Progress) -> list[Array]:
    interpreter = Interpreter(flatbuffer)
    rows = [
        [interpreter.tensor(o["index"]) for o in interpreter.outputs]
        for _ in told(interpreter.runs(data), len(data[0]), "predicting", progress)
    ]
    return [np.concatenate(parts) for parts in zip(*rows, strict=True)]


def _frozen_function(model: Loaded, batch: int | None) -> Any:
    """The model as a concrete function without variables.

    A fixed batch of one leaves no operator that computes shapes; variables as constants, because
    the quantisers cannot read the variables of Keras 3.
    """
    tf = tensorflow()
    freeze = importlib.import_module("tensorflow.python.framework.convert_to_constants")
    specs = [tf.TensorSpec((batch, *i.shape), i.dtype, name=i.name) for i in model.inputs]
    concrete = tf.function(model.call).get_concrete_function(*specs)
    return freeze.convert_variables_to_constants_v2(concrete)
