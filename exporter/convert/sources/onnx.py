"""ONNX models, through onnx2tf (extra `onnx`); onnxruntime says what they compute.

What onnx2tf takes without a word and then gets wrong, or answers at length, is refused before: open
sizes, operators of other domains, quantised models, control flow.
"""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporter.convert.sources.base import Loaded, Source, first_line, model_input
from exporter.convert.sources.matched import Axes, Original, matched
from exporter.errors import BadInput, MissingTool
from exporter.foreign import foreign
from exporter.foreign.client import Converter
from exporter.foreign.probe import probe_samples
from exporter.samples import ModelInput
from exporter.worker import Array, Message

INSTALL = "pip install 'nanoexport[onnx]'"

ONNX2TF = Converter(
    "onnx2tf",
    "exporter.foreign.onnx_worker",
    {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": "-1"},
)

_OWN_DOMAINS = ("", "ai.onnx")
_CONTROL_FLOW = frozenset({"If", "Loop", "Scan", "SequenceMap"})
_QUANTISED = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}) | frozenset(
    {"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"}
)


class OnnxSource(Source):
    """A `.onnx` file, with its weights in it or in files beside it."""

    kind = "onnx"
    form = "an ONNX model (.onnx)"

    def matches(self, path: Path) -> bool:
        return path.suffix == ".onnx"

    def load(self, path: Path) -> Loaded:
        for package in ("onnx", "onnxruntime", "onnx2tf"):
            if importlib.util.find_spec(package) is None:
                raise MissingTool(
                    f"converting an ONNX model needs {package}, which is not installed",
                    allowed="the extra `onnx`",
                    next_step=INSTALL,
                )
        model = _read(path)
        _check_operators(path, model)
        inputs = tuple(_inputs(model))
        names = tuple(output.name for output in model.graph.output)
        session = _session(path)
        samples = probe_samples([i.shape for i in inputs])
        original = Original(path, "onnx2tf", inputs, names, samples, _run(path, session, samples))
        found = matched(_converted(path, model), original)
        return Loaded(
            found.inputs,
            flatbuffer=found.flatbuffer,
            predict=lambda data: _moved(_run(path, session, data), found.output_axes),
        )


def _read(path: Path) -> Any:
    """The model, with the weights that are in files beside it. Raises BadInput."""
    onnx = importlib.import_module("onnx")
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:  # of protobuf, of the checker, of the operating system
        raise BadInput(
            f"'{path}' is not an ONNX model, or is damaged",
            value=first_line(error),
            allowed="a whole model as its framework exports it, with the weights that it refers to",
            next_step='export it again, and check it: python -c "import onnx; '
            f"onnx.checker.check_model('{path}')\"",
        ) from None
    if not model.graph.node or not model.graph.output:
        raise BadInput(
            f"the model '{path}' is empty",
            value=f"{len(model.graph.node)} operators, {len(model.graph.output)} outputs",
            allowed="a model with operators and outputs",
        )
    return model


def _check_operators(path: Path, model: Any) -> None:
    for what, found, allowed, next_step in (
        (
            "has operators that are not ONNX's own",
            [f"{n.domain}.{n.op_type}" for n in model.graph.node if n.domain not in _OWN_DOMAINS],
            "operators of the domain ai.onnx",
            "export the model without custom operators and runtime optimisations",
        ),
        (
            "has control flow",
            [n.op_type for n in model.graph.node if n.op_type in _CONTROL_FLOW],
            "straight-line operators",
            "export the model without loops and conditions (unroll it)",
        ),
        (
            "is quantised already",
            [n.op_type for n in model.graph.node if n.op_type in _QUANTISED],
            "a float model: its ranges are measured on your data",
            "export it before it is quantised",
        ),
    ):
        if found:
            value = ", ".join(dict.fromkeys(found))
            raise BadInput(
                f"the model '{path}' {what}", value=value, allowed=allowed, next_step=next_step
            )


def _inputs(model: Any) -> Iterator[ModelInput]:
    """Inputs proper: older files list the weights among them. Raises BadInput."""
    weights = {initializer.name for initializer in model.graph.initializer}
    types = importlib.import_module("onnx").helper
    for value in model.graph.input:
        if value.name in weights:
            continue
        if not value.type.tensor_type.HasField("shape"):
            raise BadInput(
                f"the input '{value.name}' has a dynamic shape",
                value="no shape at all",
                allowed="fixed sizes, except for the batch",
                next_step="export the model with a fixed input size",
            )
        tensor = value.type.tensor_type
        shape = [d.dim_value if d.dim_value > 0 else None for d in tensor.shape.dim]
        dtype = types.tensor_dtype_to_np_dtype(tensor.elem_type).name
        yield model_input(value.name, shape, dtype)


def _session(path: Path) -> Any:
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1  # the same sums every time
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes
        raise _cannot_run(path, error) from None


def _run(path: Path, session: Any, data: Sequence[Array]) -> list[Array]:
    """The outputs [N, ...] for arrays [N, ...]; one by one, since the batch may be fixed."""
    names = [i.name for i in session.get_inputs()]
    try:
        rows = [
            session.run(None, {n: a[k : k + 1] for n, a in zip(names, data, strict=True)})
            for k in range(len(data[0]))
        ]
    except Exception as error:  # onnxruntime's own classes
        raise _cannot_run(path, error) from None
    return [np.concatenate([np.atleast_1d(a) for a in c]) for c in zip(*rows, strict=True)]


def _cannot_run(path: Path, error: Exception) -> BadInput:
    return BadInput(
        f"onnxruntime cannot run the model '{path}'",
        value=first_line(error),
        allowed="a model that runs on a batch of one",
        next_step="export it again from its framework, and run it with onnxruntime",
    )


def _converted(path: Path, model: Any) -> bytes:
    _number(model)
    with tempfile.TemporaryDirectory(prefix="nanoexport-") as folder:
        copy = Path(folder) / "model.onnx"
        importlib.import_module("onnx").save(model, str(copy))
        request = Message("convert", {"path": str(copy)})
        step = "export the model with an older opset, or as a SavedModel"
        (flatbuffer,) = foreign(ONNX2TF, request, path, step).arrays
    return flatbuffer.tobytes()


def _number(model: Any) -> None:
    """Inputs by names that onnx2tf leaves alone, in whose numbers `matched` finds their order."""
    graph = model.graph
    weights = {initializer.name for initializer in graph.initializer}
    for value in [v for v in graph.input if v.name in weights]:
        graph.input.remove(value)
    new = {value.name: f"args_{k}" for k, value in enumerate(graph.input)}
    for value in graph.input:
        value.name = new[value.name]
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]


def _moved(outputs: Sequence[Array], axes: Sequence[Axes]) -> list[Array]:
    """Outputs in the flatbuffer's order of axes."""
    return [
        a if axis is None else a.transpose(0, *(k + 1 for k in axis))
        for a, axis in zip(outputs, axes, strict=True)
    ]
