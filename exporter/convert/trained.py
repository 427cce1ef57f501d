"""A trained model, held by a worker process in which TensorFlow runs."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from exporter.convert.measures import Comparison, tensor_measure, weight_measure
from exporter.convert.ranges import Observed
from exporter.convert.settings import ConvertSettings
from exporter.convert.sources import find_source
from exporter.errors import CheckFailed, MissingTool, NanoexportError
from exporter.samples import ModelInput, as_inputs
from exporter.worker import Array, Message, Worker, WorkerDied, WorkerFailed, WorkerTimedOut

Progress = Callable[[str], None]
Overrides = Mapping[str, Mapping[str, Any]]
"""Settings of single tensors, by the tensor's name."""

MOST_MEASURED = 500
"""Samples on which the figures of tensors are measured."""

# Between two messages of the worker. TensorFlow imports in 3 to 5 s on an idle machine.
DEADLINE_S = 300.0

INSTALL = "pip install 'nanoexport[convert]'"

ENVIRONMENT = {
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
        self._worker = Worker("exporter.convert.worker", **ENVIRONMENT)
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

    def observe(
        self, calibration: Sequence[Array], *, histograms: bool = True
    ) -> dict[str, Observed]:
        """What every activation was, by its name; one float32 array [N, ...] per input.

        Without `histograms` only the extremes are measured, in half the time.
        """
        request = Message("observe", {"histograms": histograms}, calibration)
        reply = self._request(request)
        ends, counts = reply.arrays
        return {
            name: Observed(float(low), float(high), bins)
            for name, (low, high), bins in zip(reply.fields["tensors"], ends, counts, strict=True)
        }

    def quantized(self, settings: ConvertSettings, overrides: Overrides | None = None) -> bytes:
        """The model as an integer flatbuffer, with ranges from what `observe` saw last.

        `overrides` are settings of single tensors, such as {"conv/Relu": {"ranges": "mse"}}.
        """
        fields = {"settings": asdict(settings), "overrides": dict(overrides or {})}
        (flatbuffer,) = self._request(Message("quantize", fields)).arrays
        return flatbuffer.tobytes()

    def compare(
        self, flatbuffer: bytes, samples: Sequence[Array], measured: int = MOST_MEASURED
    ) -> Comparison:
        """The float model against an integer `flatbuffer` of it, over float32 [N, ...] samples.

        After `observe`. The figures of tensors are measured on at most `measured` samples.
        """
        arrays = [np.frombuffer(flatbuffer, np.uint8), *samples]
        reply = self._request(Message("compare", {"measured": measured}, arrays))
        outputs, fields = reply.arrays, reply.fields
        return Comparison(
            tensors=tuple(map(tensor_measure, fields["tensors"])),
            weights=tuple(map(weight_measure, fields["weights"])),
            unmatched=tuple(fields["unmatched"]),
            measured=fields["measured"],
            float_bytes=fields["float_bytes"],
            constants=tuple(fields["constants"]),
            float_outputs=tuple(outputs[: len(outputs) // 2]),
            outputs=tuple(outputs[len(outputs) // 2 :]),
        )

    def evaluate(self, flatbuffer: bytes | None, samples: Sequence[Array]) -> list[Array]:
        """What a flatbuffer gives for float32 [N, ...] samples: float32 [N, ...] per output.

        None is the float flatbuffer, which there is after `observe`.
        """
        arrays = [np.frombuffer(flatbuffer or b"", np.uint8), *samples]
        return list(self._request(Message("evaluate", {}, arrays)).arrays)

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


def _input(fields: Mapping[str, Any]) -> ModelInput:
    """JSON has lists where the fields are tuples."""
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    return ModelInput(**given)
