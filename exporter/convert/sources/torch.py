"""PyTorch's exported programs (.pt2), through litert-torch (extra `torch`).

torch takes gigabytes and other versions of numpy and protobuf than TensorFlow, so it may live in an
environment of its own, whose interpreter NANOEXPORT_TORCH_PYTHON names. Nothing here imports it.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporter.convert.sources.base import Loaded, Source, first_line
from exporter.convert.sources.matched import Original, matched
from exporter.errors import BadInput, MissingTool
from exporter.foreign import foreign, torch_worker
from exporter.foreign.client import Converter
from exporter.samples import ModelInput
from exporter.worker import Array, Message

PYTHON_VARIABLE = "NANOEXPORT_TORCH_PYTHON"
EXPORT = "torch.export.save(torch.export.export(model.eval(), (sample,)), 'm.pt2')"
MAKE_ENVIRONMENT = (
    "python3.11 -m venv torch-env && "
    "torch-env/bin/pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu && "
    "torch-env/bin/pip install litert-torch==0.10.0 && "
    f"export {PYTHON_VARIABLE}=$PWD/torch-env/bin/python"
)

# Everything that torch.export.save writes for a model of tensors. Archives can also hold compiled
# libraries and pickled objects, which run when they are loaded.
_MEMBERS = re.compile(
    r"(?P<root>[^/]+)/("
    r"archive_format|archive_version|byteorder|version|\.data/(version|serialization_id)|"
    r"models/model\.json|data/sample_inputs/model\.pt|"
    r"data/weights/(weight_\d+|model_weights_config\.json)|"
    r"data/constants/(tensor_\d+|model_constants_config\.json)|extra/.*)"
)
# What reading an archive raises: for damaged structure and data, for an unknown compression
# (NotImplementedError) and for encryption (RuntimeError).
_DAMAGED = (
    *(OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error),
    *(NotImplementedError, RuntimeError),
)
_ENVIRONMENT = {
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",  # pickles may hold tensors, and nothing that runs
    "CUDA_VISIBLE_DEVICES": "-1",
    "JAX_PLATFORMS": "cpu",
}


class TorchSource(Source):
    """A `.pt2` file, as `torch.export.save` writes it. Pickled modules are refused."""

    kind = "torch"
    form = "a PyTorch exported program (.pt2)"

    def matches(self, path: Path) -> bool:
        return path.suffix in (".pt2", ".pt", ".pth")

    def load(self, path: Path) -> Loaded:
        if path.suffix != ".pt2":
            raise _pickled(path)
        _check_archive(path)
        return from_torch(Message("convert", {"path": str(path)}), path)


def from_torch(request: Message, path: Path) -> Loaded:
    """What the PyTorch worker makes of a request; `path` is what messages call the model."""
    next_step = "export the model to ONNX instead: torch.onnx.export(model, (sample,), 'm.onnx')"
    reply = foreign(_converter(), request, path, next_step)
    inputs = tuple(
        ModelInput(name, tuple(shape), "float32") for name, shape in reply.fields["inputs"]
    )
    flatbuffer, *arrays = reply.arrays
    probes, expected = arrays[: len(inputs)], arrays[len(inputs) :]
    names = tuple(reply.fields["outputs"])
    original = Original(path, "litert-torch", inputs, names, probes, expected)
    found = matched(flatbuffer.tobytes(), original)
    return Loaded(found.inputs, flatbuffer=found.flatbuffer)


def save_module(model: Any, samples: Sequence[Array], path: Path) -> None:
    """Writes a module, or an exported program, to `path` (.pt2).

    `samples`: float32 [N, ...] each, one per argument of the module. Raises BadInput.
    """
    torch = importlib.import_module("torch")
    training = getattr(model, "training", False)
    example = tuple(torch.from_numpy(np.asarray(a[:1], np.float32)) for a in samples)
    given = (model, example) if isinstance(model, torch.nn.Module) else model
    try:
        torch.export.save(torch_worker.exported(torch, type(model).__name__, given), path)
    finally:
        if isinstance(model, torch.nn.Module):
            model.train(training)


def _converter() -> Converter:
    """PyTorch in the interpreter that is named, else in ours. Raises MissingTool."""
    python = os.environ.get(PYTHON_VARIABLE)
    if not python:
        for package in ("torch", "litert_torch"):
            if importlib.util.find_spec(package) is None:
                raise torch_missing("converting a PyTorch model", package)
    return Converter("litert-torch", "exporter.foreign.torch_worker", _ENVIRONMENT, python or None)


def torch_missing(who: str, package: str) -> MissingTool:
    """The error that says how to make an environment with PyTorch."""
    return MissingTool(
        f"{who} needs {package}, which is not installed",
        value=f"nor does {PYTHON_VARIABLE} name an environment that has it",
        allowed="torch 2.13 and litert-torch 0.10, in an environment of their own",
        next_step=MAKE_ENVIRONMENT,
    )


def _pickled(path: Path) -> BadInput:
    return BadInput(
        f"'{path}' is a pickled or TorchScript model, which runs code when it is loaded",
        value=path.suffix,
        allowed="an exported program (.pt2), which has the graph as well as the weights",
        next_step=f"load it where it was trained, and export it: {EXPORT}",
    )


def _check_archive(path: Path) -> None:
    """Refuses what is no archive of an exported program, and what could run code."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            damaged = archive.testzip()
    except _DAMAGED as error:
        raise _not_exported(path, first_line(error)) from None
    if damaged is not None:
        raise _not_exported(path, f"its part {damaged} is damaged")
    foreign_members = [name for name in names if not _MEMBERS.fullmatch(name)]
    if not any(name.endswith("/models/model.json") for name in names):
        raise _not_exported(path, "it has no models/model.json")
    if foreign_members:
        raise BadInput(
            f"'{path}' holds more than a model of tensors, and is not loaded",
            value=", ".join(foreign_members[:3]),
            allowed="what torch.export.save writes: a graph, weights, constants, sample inputs",
            next_step=f"export the model without custom objects and compiled code: {EXPORT}",
        )


def _not_exported(path: Path, value: str) -> BadInput:
    return BadInput(
        f"'{path}' is not an exported program of PyTorch, or is damaged",
        value=value,
        allowed="a .pt2 file of torch 2.8 or later",
        next_step=f"export the model again: {EXPORT}",
    )
