"""The process in which TensorFlow runs: `python -m exporter.convert.worker`.

Requests (see exporter/worker.py):

    load      fields: path                          -> fields: kind, inputs
    quantize  arrays: calibration, one per input    -> arrays: [flatbuffer as uint8]
    predict   arrays: data, one per input           -> arrays: one per output, float32
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from exporter.convert.sources import Loaded, find_source
from exporter.convert.sources.base import first_line, tensorflow
from exporter.errors import BadInput
from exporter.worker import Array, Message, Progress, serve

PREDICTION_BATCH = 256
_PROGRESS_SECONDS = 1.0


class TrainedModelServer:
    """One loaded model."""

    def __init__(self) -> None:
        self._model: Loaded | None = None

    def load(self, request: Message, progress: Progress) -> Message:
        path = Path(request.fields["path"])
        progress("importing TensorFlow")
        tensorflow()
        progress(f"loading {path.name}")
        source = find_source(path)
        self._model = source.load(path)
        inputs = [asdict(i) for i in self._model.inputs]
        return Message("done", {"kind": source.kind, "inputs": inputs})

    def quantize(self, request: Message, progress: Progress) -> Message:
        model = self._loaded()
        progress("tracing the model for a batch of one")
        function = _frozen_function(model, batch=1)
        try:
            flatbuffer = _converted(function, request.arrays, progress)
        except Exception as error:  # whatever the converter raises: the model is the reason
            raise _refused(error) from None
        return Message("done", {}, [np.frombuffer(flatbuffer, np.uint8)])

    def predict(self, request: Message, progress: Progress) -> Message:
        model, tf = self._loaded(), tensorflow()
        function = _frozen_function(model, batch=None)
        count = len(request.arrays[0])
        batches = []
        for start in range(0, count, PREDICTION_BATCH):
            progress(f"predicting {start} of {count}")
            part = [tf.constant(a[start : start + PREDICTION_BATCH]) for a in request.arrays]
            batches.append([np.asarray(t) for t in function(*part)])
        return Message("done", {}, [np.concatenate(parts) for parts in zip(*batches, strict=True)])

    def _loaded(self) -> Loaded:
        assert self._model is not None, "load comes first"
        return self._model


def _frozen_function(model: Loaded, batch: int | None) -> Any:
    """The model as a concrete function without variables.

    A fixed batch of one leaves no operator that computes shapes; variables as constants, because
    the calibrator cannot read the variables of Keras 3.
    """
    tf = tensorflow()
    freeze = importlib.import_module("tensorflow.python.framework.convert_to_constants")
    specs = [tf.TensorSpec((batch, *i.shape), i.dtype, name=i.name) for i in model.inputs]
    concrete = tf.function(model.call).get_concrete_function(*specs)
    return freeze.convert_variables_to_constants_v2(concrete)


def _converted(function: Any, calibration: Sequence[Array], progress: Progress) -> bytes:
    """Full int8: weights per channel, activations, inputs, outputs; no float operator allowed."""
    tf = tensorflow()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: _samples(calibration, progress)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def _samples(calibration: Sequence[Array], progress: Progress) -> Iterator[list[Array]]:
    count, last = len(calibration[0]), 0.0
    for index in range(count):
        if time.monotonic() - last > _PROGRESS_SECONDS:
            progress(f"calibrating {index + 1} of {count} samples")
            last = time.monotonic()
        yield [array[index : index + 1] for array in calibration]
    progress("quantising")


def _refused(error: Exception) -> BadInput:
    """The converter's long complaint, reduced to the line that names the operator."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [
        line
        for line in lines
        if "not supported" in line.lower() or "not yet supported" in line or line.startswith("tf.")
    ]
    return BadInput(
        "TensorFlow cannot make an int8 flatbuffer of this model",
        value="; ".join(telling[:3])[:500] or first_line(error),
        allowed="operators that have an int8 form",
        next_step="replace the layer that this operator comes from",
    )


def main() -> None:
    """Serves until the host closes the pipe."""
    server = TrainedModelServer()
    serve({"load": server.load, "quantize": server.quantize, "predict": server.predict})


if __name__ == "__main__":
    main()
