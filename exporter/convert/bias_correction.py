"""Bias correction: what quantisation shifts on average is taken back by the biases.

Rounded weights and clipped activations shift the mean of a layer's outputs, channel by channel, and
the shifts add up from layer to layer (Nagel et al., "Data-free quantization through weight
equalization and bias correction", 2019; here with data). Layer by layer in order, the mean error of
each channel, behind the fused activation, is subtracted from its bias; a correction stays only
where the model's outputs come closer to the float ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporter.convert import flatbuffer as fb
from exporter.convert.interpret import Interpreter, Progress
from exporter.worker import Array

MOST_SAMPLES = 64

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Watched:
    """Means per channel of some tensors, float64 [C] each, and the outputs, [N, ...] each."""

    means: list[_Floats]
    outputs: list[_Floats]


def corrected(
    flatbuffer: bytes, trained: bytes, samples: Sequence[Array], progress: Progress
) -> bytes:
    """An integer flatbuffer with better biases than it came with, or the same.

    `trained` is the float flatbuffer it was made of; `samples` are float arrays [N, ...], one per
    input, of which at most MOST_SAMPLES are used, evenly spread.
    """
    few = _spread(samples)
    model = fb.parse(flatbuffer)
    pairs = [(layer, twin) for layer, twin in fb.paired(model, fb.parse(trained)) if twin]
    outputs = [layer.output for layer, _ in pairs]
    wanted = watched(trained, few, [twin.output for _, twin in pairs])
    got = watched(flatbuffer, few, outputs)
    for number, (layer, _) in enumerate(pairs):
        progress(f"correcting the bias of layer {number + 1} of {len(pairs)}")
        candidate = _shifted(flatbuffer, layer, wanted.means[number] - got.means[number])
        if candidate is None:
            continue
        seen = watched(candidate, few, outputs)
        if output_error(seen.outputs, wanted.outputs) < output_error(got.outputs, wanted.outputs):
            flatbuffer, got = candidate, seen
    return flatbuffer


def _spread(samples: Sequence[Array]) -> list[Array]:
    count = len(samples[0])
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_SAMPLES)).round().astype(int))
    return [array[chosen] for array in samples]


def watched(flatbuffer: bytes, samples: Sequence[Array], indices: Sequence[int]) -> Watched:
    """The means of the tensors `indices` over all samples and positions, and all outputs."""
    interpreter = Interpreter(flatbuffer)
    means: list[_Floats] = [np.zeros(1) for _ in indices]
    rows = []
    for _ in interpreter.runs(samples):
        for k, index in enumerate(indices):
            values = interpreter.real(index)
            means[k] = means[k] + values.reshape(-1, values.shape[-1]).mean(axis=0)
        rows.append([interpreter.real(o["index"]) for o in interpreter.outputs])
    outputs = [np.concatenate(parts) for parts in zip(*rows, strict=True)]
    return Watched([m / len(samples[0]) for m in means], outputs)


def output_error(outputs: Sequence[_Floats], wanted: Sequence[_Floats]) -> float:
    """The mean squared error of the outputs, each in units of its own variance, summed."""
    return sum(
        float(np.mean((got - right) ** 2) / (np.var(right) or 1.0))
        for got, right in zip(outputs, wanted, strict=True)
    )


def _shifted(flatbuffer: bytes, layer: fb.WeightLayer, shift: _Floats) -> bytes | None:
    """The flatbuffer with `shift` [C] added to a layer's bias; None where no integer changes."""
    model = fb.parse(flatbuffer)
    if layer.bias is None:
        return None
    bias = fb.constant(model, layer.bias)
    if bias is None or bias.shape != shift.shape:
        return None
    limits = np.iinfo(bias.dtype)
    steps = np.rint(shift / fb.scales(model, layer.bias)).astype(np.int64)
    better = np.clip(bias + steps, limits.min, limits.max).astype(bias.dtype)
    if np.array_equal(better, bias):
        return None
    fb.set_data(model, layer.bias, better)
    return fb.serialise(model)
