"""Watches every activation of a float flatbuffer while the samples run through it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from exporter.convert import flatbuffer as fb
from exporter.convert.interpret import Interpreter, Progress, told
from exporter.convert.ranges import BINS, Observed
from exporter.errors import BadInput
from exporter.worker import Array

Observations = dict[int, Observed]
"""By the tensor's index in the float flatbuffer."""


def observe(
    flatbuffer: bytes, samples: Sequence[Array], progress: Progress, *, histograms: bool = True
) -> Observations:
    """What every float activation was over the samples: float32 [N, ...], one per input.

    Two passes: the extremes, then the bins between them (left empty without `histograms`). Raises
    BadInput where the model makes NaN or infinite values of them.
    """
    model = fb.parse(flatbuffer)
    watched = activations(model)
    interpreter = Interpreter(flatbuffer)
    lowest, highest = np.full(len(watched), np.inf), np.full(len(watched), -np.inf)
    for number in told(interpreter.runs(samples), len(samples[0]), "calibrating", progress):
        for k, index in enumerate(watched):
            values = interpreter.tensor(index)
            lowest[k] = min(lowest[k], values.min(initial=np.inf))
            highest[k] = max(highest[k], values.max(initial=-np.inf))
            if not np.isfinite(values).all():
                raise _not_finite(fb.name_of(fb.tensors(model)[index]), number)
    counts = np.zeros((len(watched), BINS), np.int64)
    if histograms:
        for _ in told(interpreter.runs(samples), len(samples[0]), "counting", progress):
            for k, index in enumerate(watched):
                counts[k] += binned(interpreter.tensor(index), lowest[k], highest[k])
    return {
        index: Observed(float(lowest[k]), float(highest[k]), counts[k])
        for k, index in enumerate(watched)
    }


def activations(model: fb.Model) -> list[int]:
    """Float tensors whose range has to be measured: the inputs and what operators make.

    Not those on either side of an explicit QUANTIZE and DEQUANTIZE pair: a model trained with
    fake-quant states their ranges itself, and a second opinion would spoil the biases' scales.
    """
    made, stated = [int(i) for i in model.subgraphs[0].inputs], set()
    for kind, operator in fb.operators(model):
        made += [int(i) for i in operator.outputs]
        if kind == "QUANTIZE":
            stated |= {int(i) for i in operator.inputs}
        if kind == "DEQUANTIZE":
            stated |= {int(i) for i in operator.outputs}
    float32 = fb.schema().TensorType.FLOAT32
    return [i for i in made if fb.tensors(model)[i].type == float32 and i not in stated]


def binned(values: Array, lowest: float, highest: float) -> npt.NDArray[np.int64]:
    """How many values are in each of BINS equal bins from `lowest` to `highest`, int64 [BINS]."""
    if lowest == highest:
        places = np.zeros(values.size, np.int64)
    else:
        shares = (values.ravel().astype(np.float64) - lowest) / (highest - lowest)
        places = np.clip(shares * BINS, 0, BINS - 1).astype(np.int64)
    return np.bincount(places, minlength=BINS)


def _not_finite(name: str, number: int) -> BadInput:
    return BadInput(
        "the model computes NaN or infinite values from the calibration data",
        value=f"in the tensor '{name}', first for sample {number}",
        allowed="finite numbers",
        next_step="check the sample and the model: the float model is broken here already",
    )
