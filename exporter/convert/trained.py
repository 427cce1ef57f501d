"""A trained model, held by a worker process in which TensorFlow runs."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporter.convert.calibration import as_inputs
from exporter.convert.sources import ModelInput, find_source
from exporter.errors import CheckFailed, MissingTool, NanoexportError
from exporter.worker import Array, Message, Worker, WorkerDied, WorkerFailed, WorkerTimedOut

Progress = Callable[[str], None]

# Between two messages of the worker. TensorFlow imports in 3 to 5 s on an idle machine.
DEADLINE_S = 300.0

INSTALL = "pip install 'nanoexport[convert]'"

_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # its sums depend on the machine; ours must not
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_BACKEND": "tensorflow",
}


class TrainedModel:
    """A float model loaded for conversion and prediction. A context manager.

    Raises MissingTool without TensorFlow, BadInput for a model that cannot be loaded, CheckFailed
    where TensorFlow crashes or does not answer. `progress` is called with a line now and then.
    """

    def __init__(self, path: Path, progress: Progress | None = None) -> None:
        self.path = path
        self.inputs: tuple[ModelInput, ...] = ()
        self.kind = find_source(path).kind
        self._progress = progress
        require_tensorflow()
        self._worker = Worker("exporter.convert.worker", **_ENVIRONMENT)
        try:
            reply = self._request(Message("load", {"path": str(path.resolve())}))
        except BaseException:
            self.close()
            raise
        self.inputs = tuple(_input(fields) for fields in reply.fields["inputs"])

    def __enter__(self) -> TrainedModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def quantized(self, calibration: Sequence[Array]) -> bytes:
        """The model as an int8 flatbuffer; one float32 array [N, ...] per input."""
        (flatbuffer,) = self._request(Message("quantize", {}, calibration)).arrays
        return flatbuffer.tobytes()

    def predict(self, *arrays: Array) -> list[Array]:
        """The float model's outputs, float32 [N, ...] each, for one array [N, ...] per input."""
        data = as_inputs("the data to predict", arrays, self.inputs)
        return list(self._request(Message("predict", {}, data)).arrays)

    def close(self) -> None:
        """Ends the worker."""
        self._worker.close()

    def _request(self, message: Message) -> Message:
        try:
            return self._worker.request(message, DEADLINE_S, self._progress)
        except WorkerDied as death:
            raise self._failed("crashed", f"{death.how}\n{death.log}".strip()) from None
        except WorkerTimedOut:
            raise self._failed("did not answer", f"nothing for {DEADLINE_S:g} s") from None
        except WorkerFailed as failure:
            raise self._failed("failed", str(failure)) from None

    def _failed(self, how: str, value: str) -> NanoexportError:
        return CheckFailed(
            f"TensorFlow {how} on '{self.path}'",
            value=value,
            next_step="check that TensorFlow works: python -c 'import tensorflow'",
        )


def require_tensorflow() -> None:
    """Raises MissingTool unless TensorFlow is installed. Does not import it."""
    if importlib.util.find_spec("tensorflow") is None:
        raise MissingTool(
            "converting a trained model needs TensorFlow, which is not installed",
            allowed="tensorflow 2.19 (the extra `convert`)",
            next_step=INSTALL,
        )


def float_predictions(
    model: Path, x: Array | Sequence[Array], progress: Progress | None = None
) -> Array:
    """The first output of the float model for the samples `x`, float32 [N, ...].

    `x` is one array [N, ...], or one per input. Raises what TrainedModel raises.
    """
    arrays = [x] if isinstance(x, np.ndarray) else list(x)
    with TrainedModel(model, progress) as trained:
        return trained.predict(*arrays)[0]


def _input(fields: dict[str, Any]) -> ModelInput:
    return ModelInput(fields["name"], tuple(fields["shape"]), fields["dtype"])
