"""The process in which PyTorch runs: `python -m exporter.foreign.torch_worker`.

Its interpreter may be another than ours, with torch, litert_torch and numpy, and nothing else of
our dependencies. Requests (see exporter/worker.py):

    convert   fields: path of an exported program (.pt2),
              or name and folder of a function      -> fields: inputs [[name, shape]], outputs;
                                                       arrays: [float flatbuffer as uint8],
                                                       probes, one per input, and what the model
                                                       makes of them, one per output

A .pt2 is little less than a program. What its archive may hold is checked before (see
exporter/convert/sources/torch.py), and the pickles in it may hold tensors only.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporter import user_function
from exporter.errors import BadInput, MissingTool
from exporter.foreign.probe import PROBES, probe_samples
from exporter.foreign.processes import complaint, listened
from exporter.process import end_with_parent, without_input
from exporter.worker import Array, Message, Progress, serve

RETURNS = "a torch.nn.Module and a sample of its input (or a tuple of samples), batch of one"
_FIXED = "export it with a batch of one, on samples of the size that the device will see"

_FIRST_RANK_OF_IMAGES = 4


def convert(request: Message, progress: Progress) -> Message:
    """See the module's docstring. Raises BadInput, MissingTool."""
    progress("importing PyTorch")
    torch, litert_torch = _import("torch"), _import("litert_torch")
    with listened() as printed, without_input():
        if "path" in request.fields:
            program = _loaded(torch, request.fields["path"])
        else:
            program = _exported(torch, request.fields["name"], Path(request.fields["folder"]))
        names, shapes = _inputs(torch, program)
        probes = probe_samples([shape[1:] for shape in shapes])
        module = program.module()
        progress("running the model in PyTorch")
        expected = _run(torch, module, probes)
        progress("converting by litert-torch")
        try:
            flatbuffer = _flatbuffer(torch, litert_torch, module, probes, expected)
        except (Exception, SystemExit) as error:
            raise _refused("litert-torch", complaint(error, printed.getvalue())) from None
    forms = [[n, list(s[1:])] for n, s in zip(names, shapes, strict=True)]
    fields = {"inputs": forms, "outputs": _output_names(program, len(expected))}
    return Message("done", fields, [flatbuffer, *probes, *expected])


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingTool(
            f"converting a PyTorch model needs {name}, which this interpreter lacks",
            value=str(error).splitlines()[0],
            allowed="an environment with torch 2.13 and litert-torch 0.10",
            next_step="pip install torch==2.13.0 --index-url "
            "https://download.pytorch.org/whl/cpu && pip install litert-torch==0.10.0",
        ) from None


def _loaded(torch: Any, path: str) -> Any:
    try:
        return torch.export.load(path)
    except Exception as error:  # of the archive, of the deserialiser, of the checks of operators
        raise BadInput(
            "PyTorch cannot load this exported program",
            value=complaint(error, ""),
            allowed="a whole .pt2 file, as this version of torch.export.save writes it "
            f"(torch {torch.__version__.partition('+')[0]})",
            next_step="export the model again: torch.export.save("
            "torch.export.export(model.eval(), (sample,)), 'm.pt2')",
        ) from None


def _exported(torch: Any, name: str, folder: Path) -> Any:
    returned = user_function.called(
        name, folder, f"a function without arguments that returns {RETURNS}"
    )
    if isinstance(returned, (str, Path)):
        return _loaded(torch, str(folder / returned))
    return exported(torch, name, returned)


def exported(torch: Any, name: str, returned: Any) -> Any:
    """The exported program of what the user's `name` gave: (module, sample), or a program."""
    if isinstance(returned, torch.export.ExportedProgram):
        return returned
    pair = isinstance(returned, tuple) and len(returned) == len(("module", "sample"))
    if not pair or not isinstance(returned[0], torch.nn.Module):
        raise BadInput(
            f"{name} is not a PyTorch model with a sample of its input",
            value=type(returned).__name__,
            allowed=RETURNS,
        )
    module, sample = returned
    samples = tuple(sample) if isinstance(sample, (tuple, list)) else (sample,)
    try:
        return torch.export.export(module.eval(), tuple(torch.as_tensor(s) for s in samples))
    except Exception as error:  # whatever the tracing of the user's own code raises
        raise BadInput(
            f"PyTorch cannot export the model of {name}",
            value=complaint(error, ""),
            allowed="a module that torch.export.export takes",
            next_step="see what torch.export.export(model.eval(), (sample,)) says",
        ) from None


def _inputs(torch: Any, program: Any) -> tuple[list[str], list[list[int]]]:
    """Names and shapes of the inputs, the batch as one. Raises BadInput."""
    names = [str(name) for name in program.graph_signature.user_inputs]
    if not names or (program.example_inputs and program.example_inputs[1]):
        raise _refused("nanoexport", "inputs by keyword, or none", "positional inputs, tensors")
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    return names, [_shape(torch, name, values.get(name)) for name in names]


def _shape(torch: Any, name: str, value: Any) -> list[int]:
    if not isinstance(value, torch.Tensor) or value.dtype != torch.float32 or value.ndim == 0:
        found = f"{value.dtype} {list(value.shape)}" if hasattr(value, "dtype") else repr(value)
        raise _refused("nanoexport", f"the input '{name}': {found}", "float32 tensors")
    sizes = [None if isinstance(size, torch.SymInt) else int(size) for size in value.shape]
    form = f"float32 [{', '.join('?' if s is None else str(s) for s in sizes)}]"
    fixed = [size for size in sizes[1:] if size is not None]
    if sizes[0] not in (None, 1):
        raise _refused("nanoexport", f"the input '{name}': {form}", "[?, ...] or [1, ...]", _FIXED)
    if len(fixed) != len(sizes) - 1:
        allowed = "fixed sizes, except for the batch"
        raise _refused("nanoexport", f"the input '{name}': {form}", allowed, _FIXED)
    return [1, *fixed]


def _run(torch: Any, module: Any, probes: Sequence[Array]) -> list[Array]:
    """What the model makes of the probes, [PROBES, ...] for each output."""
    rows = []
    try:
        with torch.no_grad():
            for k in range(PROBES):
                result = module(*(torch.from_numpy(p[k : k + 1]) for p in probes))
                rows.append([np.atleast_1d(t.numpy()) for t in _flat(torch, result)])
    except BadInput:
        raise
    except Exception as error:  # the model's own
        raise _refused("PyTorch", complaint(error, ""), "a model that runs", _FIXED) from None
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def _flat(torch: Any, result: Any) -> list[Any]:
    outputs = list(result) if isinstance(result, (tuple, list)) else [result]
    if not outputs or not all(isinstance(t, torch.Tensor) for t in outputs):
        allowed = "a tensor, or a tuple of tensors"
        raise _refused("nanoexport", f"an output of type {type(result).__name__}", allowed)
    return outputs


def _flatbuffer(
    torch: Any, litert_torch: Any, module: Any, probes: Sequence[Array], outputs: Sequence[Array]
) -> Array:
    """The channels of images last, where the device has them; else each would be transposed."""
    images, maps = (
        [k for k, a in enumerate(arrays) if a.ndim == _FIRST_RANK_OF_IMAGES]
        for arrays in (probes, outputs)
    )
    moved = litert_torch.to_channel_last_io(module, args=images, outputs=maps)
    samples = [torch.from_numpy(p[:1]) for p in probes]
    for k in images:
        samples[k] = samples[k].permute(0, 2, 3, 1).contiguous()
    with tempfile.TemporaryDirectory(prefix="nanoexport-") as folder:
        path = Path(folder) / "model.tflite"
        litert_torch.convert(moved, tuple(samples)).export(str(path))
        return np.fromfile(path, np.uint8)


def _output_names(program: Any, count: int) -> list[str]:
    names = [str(name) for name in program.graph_signature.user_outputs]
    return names if len(names) == count else [f"output_{k}" for k in range(count)]


def _refused(who: str, value: str, allowed: str = "", next_step: str = "") -> BadInput:
    return BadInput(
        f"{who} cannot convert this PyTorch model",
        value=value,
        allowed=allowed or "operators of the core ATen set, fixed sizes, no control flow on data",
        next_step=next_step or "replace the layer that it names, or export the model to ONNX",
    )


if __name__ == "__main__":
    end_with_parent()
    serve({"convert": convert})
