"""The host reference of a model: what its flatbuffer computes in one numeric dialect, exactly.

    with Oracle(model_bytes, "tflite", name="kws.tflite") as oracle:
        outputs = oracle.run([x])          # int8, equal to what a correct board returns
        tensors = oracle.run_all([x])      # {tensor index: value} of every activation

The runtime works in a process of its own, kept from call to call: runtimes are known to crash on
valid models, and a crash must end as an error that names the model.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exporter.errors import BadInput, CheckFailed
from exporter.oracle.backends import DIALECTS, Backend, find_backends
from exporter.worker import Array, Message, Worker, WorkerDied, WorkerFailed, WorkerTimedOut

DEADLINE_S = 120.0


@dataclass(frozen=True)
class TensorInfo:
    """An input or output as the reference sees it. `index` is the flatbuffer's tensor index.

    `scale` is 0 where the tensor is not quantised.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int


class Oracle:
    """One model loaded in the reference of `dialect` ("tflite" or "litert").

    Raises MissingTool where no reference is installed, BadInput where every one that is refuses the
    model, CheckFailed where it crashes or exceeds `deadline_s` seconds in one call. After a crash
    the next call starts a new process.
    """

    def __init__(
        self,
        model: bytes,
        dialect: str = "tflite",
        *,
        name: str = "the model",
        deadline_s: float = DEADLINE_S,
        worker_module: str = "exporter.oracle.worker",
    ) -> None:
        self.dialect = dialect
        self.name = name
        self.inputs: list[TensorInfo] = []
        self.outputs: list[TensorInfo] = []
        self._model = np.frombuffer(model, np.uint8)
        self._deadline_s = deadline_s
        self._worker_module = worker_module
        self._worker: Worker | None = None
        first, *others = find_backends(dialect)
        self.backend = first
        try:
            self._load_first_that_takes_it(others)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Oracle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """The outputs for one set of inputs; both in the order of the flatbuffer's subgraph.

        Raises BadInput where number, shape or dtype of the inputs do not fit the model.
        """
        return list(self._call("run", inputs).arrays)

    def run_all(self, inputs: Sequence[Array]) -> dict[int, Array]:
        """Every input, intermediate and output by its tensor index in the flatbuffer.

        Of intermediates only those that no ADD, SUB or MUL reads are to be trusted: tflite-runtime
        2.14 lets these operators write over an input even when it is told to keep all tensors.
        """
        reply = self._call("run_all", inputs)
        return dict(zip(reply.fields["indices"], reply.arrays, strict=True))

    def load(self, model: bytes) -> None:
        """Take another model in the same process; raises as the constructor does.

        After a refusal it has no model, until the next `load`.
        """
        self._model = np.frombuffer(model, np.uint8)
        if self._worker is not None and self._worker.alive:
            self._load(self._worker)

    def close(self) -> None:
        """Ends the process. The oracle starts another one if it is used again."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _call(self, kind: str, inputs: Sequence[Array]) -> Message:
        worker = self._loaded_worker()
        check_inputs(self.inputs, inputs)
        return self._request(worker, Message(kind, {}, inputs))

    def _load_first_that_takes_it(self, others: Sequence[Backend]) -> None:
        """Backends of one dialect give the same bits, and differ in what they implement."""
        try:
            self._loaded_worker()
        except BadInput as refusal:
            for backend in others:
                self.close()
                self.backend = backend
                with contextlib.suppress(BadInput):
                    self._loaded_worker()
                    return
            raise refusal

    def _loaded_worker(self) -> Worker:
        if self._worker is not None and self._worker.alive:
            return self._worker
        self.close()
        self._worker = Worker(self._worker_module, [self.backend.module], TF_CPP_MIN_LOG_LEVEL="3")
        self._load(self._worker)
        return self._worker

    def _load(self, worker: Worker) -> None:
        reply = self._request(worker, Message("load", {}, [self._model]))
        self.inputs = [_info(t) for t in reply.fields["inputs"]]
        self.outputs = [_info(t) for t in reply.fields["outputs"]]

    def _request(self, worker: Worker, message: Message) -> Message:
        """A request whose failures are told in terms of the model."""
        reference = f"{self.backend.distribution} {self.backend.version}"
        try:
            return worker.request(message, self._deadline_s)
        except WorkerDied as death:
            raise CheckFailed(
                f"the host reference {reference} crashed on {self.name}",
                value=_with_last_line(death.how, death.log),
                next_step="the model cannot be verified in this dialect: try another --dialect, "
                "or convert the model anew",
            ) from None
        except WorkerTimedOut:
            raise CheckFailed(
                f"the host reference {reference} did not finish on {self.name}",
                value=f"no answer in {self._deadline_s:g} s",
                next_step="try again on an idle machine; the model may be too large for this tool",
            ) from None
        except WorkerFailed as failure:
            raise BadInput(
                f"the host reference {reference} refuses {self.name}",
                value=str(failure),
                allowed="a valid TFLite flatbuffer of operators that the reference implements",
                next_step=_other_dialects(self.dialect),
            ) from None


def check_inputs(expected: Sequence[TensorInfo], inputs: Sequence[Array]) -> None:
    """Raises BadInput unless `inputs` are what a model with inputs `expected` takes."""
    if len(inputs) != len(expected):
        raise BadInput(
            "wrong number of input tensors",
            value=len(inputs),
            allowed=f"{len(expected)} ({', '.join(t.name for t in expected)})",
        )
    for tensor, array in zip(expected, inputs, strict=True):
        if array.shape != tensor.shape or array.dtype.name != tensor.dtype:
            raise BadInput(
                f"an array does not fit the input '{tensor.name}'",
                value=f"{array.dtype.name} {list(array.shape)}",
                allowed=f"{tensor.dtype} {list(tensor.shape)}",
            )


def _other_dialects(dialect: str) -> str:
    others = " or ".join(f"--dialect {other}" for other in DIALECTS if other != dialect)
    return f"the reference of another dialect may implement it: {others}"


def _info(fields: dict[str, Any]) -> TensorInfo:
    return TensorInfo(**{**fields, "shape": tuple(fields["shape"])})


def _with_last_line(how: str, log: str) -> str:
    lines = log.splitlines()
    return f"{how}: {lines[-1]}" if lines else how
