"""The process in which a host reference runs: `python -m exporter.oracle.worker MODULE`.

MODULE is an interpreter's module from `backends.py`. Requests (see exporter/worker.py):

    load     arrays: [model as uint8]             -> fields: inputs, outputs (lists of tensors)
    run      arrays: one per input                -> arrays: one per output
    run_all  arrays: one per input                -> fields: indices; arrays: one per index
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np

from exporter.worker import Message, Progress, serve


class Reference:
    """One loaded model in one runtime's reference kernels."""

    def __init__(self, module_name: str) -> None:
        self._module = importlib.import_module(module_name)
        self._model = b""
        self._interpreter: Any = None
        self._preserving: Any = None

    def load(self, request: Message, progress: Progress) -> Message:
        self._model = request.arrays[0].tobytes()
        self._interpreter, self._preserving = self._new_interpreter(preserve=False), None
        return Message(
            "done",
            {
                "inputs": [_described(d) for d in self._interpreter.get_input_details()],
                "outputs": [_described(d) for d in self._interpreter.get_output_details()],
            },
        )

    def run(self, request: Message, progress: Progress) -> Message:
        _invoke(self._interpreter, request.arrays)
        outputs = self._interpreter.get_output_details()
        return Message("done", {}, [self._interpreter.get_tensor(d["index"]) for d in outputs])

    def run_all(self, request: Message, progress: Progress) -> Message:
        if self._preserving is None:
            self._preserving = self._new_interpreter(preserve=True)
        _invoke(self._preserving, request.arrays)
        indices = _computed_tensors(self._preserving)
        arrays = [self._preserving.get_tensor(i) for i in indices]
        return Message("done", {"indices": indices}, arrays)

    def _new_interpreter(self, preserve: bool) -> Any:
        interpreter = self._module.Interpreter(
            model_content=self._model,
            experimental_op_resolver_type=self._module.OpResolverType.BUILTIN_REF,
            experimental_preserve_all_tensors=preserve,
            num_threads=1,
        )
        interpreter.allocate_tensors()
        return interpreter


def _invoke(interpreter: Any, inputs: Any) -> None:
    interpreter.reset_all_variables()
    # get_input_details lists the inputs in the order of the subgraph (InputIndices).
    for details, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(details["index"], array)
    interpreter.invoke()


def _computed_tensors(interpreter: Any) -> list[int]:
    """Inputs of the model and outputs of its operators: everything but the constants."""
    computed = {int(d["index"]) for d in interpreter.get_input_details()}
    for op in interpreter._get_ops_details():
        computed.update(int(i) for i in op["outputs"] if i >= 0)
    return sorted(computed)


def _described(details: dict[str, Any]) -> dict[str, Any]:
    scale, zero_point = details["quantization"]
    return {
        "index": int(details["index"]),
        "name": str(details["name"]),
        "shape": [int(d) for d in details["shape"]],
        "dtype": np.dtype(details["dtype"]).name,
        "scale": float(scale),
        "zero_point": int(zero_point),
    }


def main() -> None:
    """Serves until the host closes the pipe."""
    reference = Reference(sys.argv[1])
    serve({"load": reference.load, "run": reference.run, "run_all": reference.run_all})


if __name__ == "__main__":
    main()
