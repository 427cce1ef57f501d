"""A foreign converter's flatbuffer, matched with its model: names, order, layout, values.

Converters move the channels of images last, name tensors as they like, and now and then translate
an operator wrongly without a word. Which axis is which, and which output, is found by running both:
what does not compute the same is refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from exporter.convert import flatbuffer as fb
from exporter.convert.interpret import Interpreter
from exporter.errors import BadInput
from exporter.samples import ModelInput
from exporter.worker import Array

TOLERANCE = 1e-3
"""Of the largest value of an output. Sums in another order differ by about 1e-6 of it."""

Axes = tuple[int, ...] | None


@dataclass(frozen=True, eq=False)
class Original:
    """The model as it was, and what it computes of `samples`: one array [N, ...] per input.

    `inputs` are without `device_axes`, and `expected` is in the model's order, one per output.
    """

    path: Path
    converter: str
    inputs: tuple[ModelInput, ...]
    outputs: tuple[str, ...]
    samples: Sequence[Array]
    expected: Sequence[Array]


@dataclass(frozen=True)
class Matched:
    """The flatbuffer with the model's names and order, and the axes that it takes and gives."""

    flatbuffer: bytes
    inputs: tuple[ModelInput, ...]
    output_axes: tuple[Axes, ...]


def matched(flatbuffer: bytes, original: Original) -> Matched:
    """See the module's docstring. Raises BadInput where the two do not match."""
    model = fb.parse(flatbuffer)
    _check_operators(model, original)
    _check_counts(model, original)
    graph = model.subgraphs[0]
    graph.inputs = _in_order(model, [int(i) for i in graph.inputs])
    worst = _Difference()
    for inputs in _layouts(model, original):
        got = _outputs(fb.serialise(model), inputs, original.samples)
        places = _places(original, got, worst)
        if places is not None:
            graph.outputs = [int(graph.outputs[number]) for number, _ in places]
            _name(model, original)
            return Matched(fb.serialise(model), inputs, tuple(axes for _, axes in places))
    raise _refused(
        original,
        f"{original.converter} made something else of it",
        f"an output differs by {worst.relative:.2g} of its largest value"
        if worst.relative < np.inf
        else "no output has the model's shape",
        f"at most {TOLERANCE:g}, on the same random inputs",
    )


def _check_operators(model: fb.Model, original: Original) -> None:
    """Operators of TensorFlow proper run here, by a delegate, and on no microcontroller."""
    codes = [bytes(code.customCode or b"") for code in model.operatorCodes]
    names = [code.decode("utf-8", "replace").removeprefix("Flex") for code in codes if code]
    if names:
        raise _refused(
            original,
            "it has operators without a form in TensorFlow Lite",
            ", ".join(names),
            "operators of TensorFlow Lite",
        )


def _check_counts(model: fb.Model, original: Original) -> None:
    graph = model.subgraphs[0]
    found = (len(graph.inputs), len(graph.outputs), len(model.subgraphs))
    wanted = (len(original.inputs), len(original.outputs), 1)
    if found != wanted:
        raise _refused(
            original,
            f"{original.converter} changed its inputs, outputs or control flow",
            "{} inputs, {} outputs, {} subgraphs".format(*found),
            "{} inputs, {} outputs, {} subgraph; every input is used".format(*wanted),
        )


def _in_order(model: fb.Model, inputs: list[int]) -> list[int]:
    """Converters number the inputs in their names, and sort them as text: 10 before 2."""
    names = {i: fb.name_of(fb.tensors(model)[i]) for i in inputs}
    numbers = {i: name.partition("args_")[2].partition(":")[0] for i, name in names.items()}
    if not all(number.isdecimal() for number in numbers.values()):
        return inputs
    return sorted(inputs, key=lambda i: int(numbers[i]))


def _layouts(model: fb.Model, original: Original) -> Iterator[tuple[ModelInput, ...]]:
    """Every way to read the flatbuffer's inputs as the model's; the usual one first.

    There is more than one where height, width and channels are the same number.
    """
    graph, tensors = model.subgraphs[0], fb.tensors(model)
    ways = []
    for model_input, index in zip(original.inputs, graph.inputs, strict=True):
        shape = tuple(int(s) for s in tensors[index].shape[1:])
        candidates = (_channel_last(len(shape)), None)
        moved = [replace(model_input, device_axes=axes) for axes in dict.fromkeys(candidates)]
        fitting = [m for m in moved if len(shape) == len(m.shape) and m.device_shape == shape]
        if not fitting:
            raise _refused(
                original,
                f"{original.converter} gave the input '{model_input.name}' another shape",
                f"{[1, *shape]}",
                f"{[1, *model_input.shape]}, or with its channels last",
            )
        ways.append(fitting)
    yield from itertools.product(*ways)


def _channel_last(rank: int) -> Axes:
    """From [C, H, W] to [H, W, C], by the rank of a sample; None where there is nothing to move."""
    return (*range(1, rank), 0) if rank > 1 else None


def _outputs(
    flatbuffer: bytes, inputs: Sequence[ModelInput], samples: Sequence[Array]
) -> list[Array]:
    interpreter = Interpreter(flatbuffer)
    moved = [i.for_device(a) for i, a in zip(inputs, samples, strict=True)]
    rows = [
        [interpreter.tensor(o["index"]).copy() for o in interpreter.outputs]
        for _ in interpreter.runs(moved)
    ]
    return [
        np.concatenate([np.atleast_1d(a) for a in column]) for column in zip(*rows, strict=True)
    ]


class _Difference:
    """The best that any output came to, as a share of the largest value."""

    relative = float("inf")

    def between(self, expected: Array, got: Array) -> float:
        """How far apart two arrays are, by the largest value; NaN and infinity equal themselves."""
        a, b = expected.astype(np.float64), got.astype(np.float64)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        finite = np.abs(a[np.isfinite(a)]).max(initial=0)
        gaps = np.where(same, 0, np.abs(a - b)) / max(finite, np.finfo(np.float32).tiny)
        found = float(np.where(np.isnan(gaps), np.inf, gaps).max(initial=0))
        self.relative = min(self.relative, found) if found > TOLERANCE else self.relative
        return found


def _places(
    original: Original, got: Sequence[Array], worst: _Difference
) -> list[tuple[int, Axes]] | None:
    """Which of the flatbuffer's outputs each of the model's is, and its axes; None if one is none.

    Each of them once: two outputs may be the same on these samples, and not on others.
    """
    free, places = dict(enumerate(got)), []
    for expected in original.expected:
        found = _found(expected, free, worst)
        if found is None:
            return None
        places.append(found)
        del free[found[0]]
    return places


def _found(
    expected: Array, got: Mapping[int, Array], worst: _Difference
) -> tuple[int, Axes] | None:
    """Which of the flatbuffer's outputs this is, and the axes in which it comes."""
    for axes in dict.fromkeys((_channel_last(expected.ndim - 1), None)):
        moved = expected if axes is None else expected.transpose(0, *(a + 1 for a in axes))
        for number, array in got.items():
            if array.shape == moved.shape and worst.between(moved, array) <= TOLERANCE:
                return number, axes
    return None


def _name(model: fb.Model, original: Original) -> None:
    """The model's own names, and nothing that still speaks of the converter's."""
    graph, tensors = model.subgraphs[0], fb.tensors(model)
    for index, model_input in zip(graph.inputs, original.inputs, strict=True):
        tensors[index].name = model_input.name.encode()
    for index, name in zip(graph.outputs, original.outputs, strict=True):
        tensors[index].name = name.encode()
    model.signatureDefs = []


def _refused(original: Original, what: str, value: str, allowed: str) -> BadInput:
    return BadInput(
        f"the model '{original.path}' cannot be converted: {what}",
        value=value,
        allowed=allowed,
        next_step="replace the operators that are not in common use, "
        "or export the model in another format",
    )
