"""What looks wrong with samples that can be used: each heuristic is a warning with its values.

They are to be silent on data that is right: an image may have a black corner in all samples, a
sensor may saturate, a few samples may be alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from exporter.arrays import Array
from exporter.samples.base import ModelInput
from exporter.samples.options import MOST_SAMPLES, Range

FEW_SAMPLES = 10
MOST_REPEATED = 0.1
# Of the span that training had: beyond its ends, and as the least that data may use of it.
FAR_OUTSIDE = 0.5
LEAST_USED = 0.05
# Normalised inputs stay below about 10, decibels below 200.
LARGE = 1000.0
# Of more channels, or of images, a constant one may be right: the rim of a digit is always black.
MOST_CHANNELS = 16


def suspicions(
    arrays: Sequence[Array],
    inputs: Sequence[ModelInput],
    trained: Sequence[Range | None],
    channels: Sequence[str] = (),
) -> list[str]:
    """Warnings about one float32 array [N, ...] per input, and what each spanned in training."""
    warnings = [*_few(len(arrays[0])), *_repeated(arrays)]
    for array, model_input, ends in zip(arrays, inputs, trained, strict=True):
        low, high = float(array.min()), float(array.max())
        if low == high:
            warnings.append(f"the data of '{model_input.name}' is {low:g} everywhere")
            continue
        warnings += _constant_channels(array, model_input, channels)
        name = model_input.name
        warnings += _against_training(name, low, high, ends) if ends else _unscaled(array, name)
    return warnings


def _few(count: int) -> Iterator[str]:
    if count < FEW_SAMPLES:
        yield (
            f"only {count} samples: what is measured on fewer than {FEW_SAMPLES} is seldom right; "
            f"100 to {MOST_SAMPLES} is usual"
        )


def _repeated(arrays: Sequence[Array]) -> Iterator[str]:
    """Samples that are another one over again, in all inputs together."""
    count = len(arrays[0])
    times = Counter(hash(tuple(a[k].tobytes() for a in arrays)) for k in range(count))
    repeated = count - len(times)
    if repeated > MOST_REPEATED * count and any(a.min() != a.max() for a in arrays):
        yield (
            f"{repeated} of {count} samples repeat another one (one of them is there "
            f"{max(times.values())} times): they add nothing"
        )


def _constant_channels(
    array: Array, model_input: ModelInput, names: Sequence[str]
) -> Iterator[str]:
    axis = _channel_axis(model_input.shape)
    if axis is None:
        return
    by_channel = np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis])
    low, high = by_channel.min(axis=0), by_channel.max(axis=0)
    for channel in np.flatnonzero(low == high):
        name = f" ({names[channel]})" if len(names) == array.shape[axis] else ""
        yield (
            f"channel {channel}{name} of '{model_input.name}' is {low[channel]:g} in all "
            f"{len(array)} samples"
        )


def _channel_axis(shape: Sequence[int]) -> int | None:
    """The dimension of an array [N, *shape] that is channels; None where there is no telling."""
    if len(shape) >= 3 and shape[0] == 3 and shape[-1] > MOST_CHANNELS:
        return 1  # an image [C, H, W]
    last = shape[-1] if shape else 0
    of_time = len(shape) == 2 and shape[0] > last
    if 1 < last <= MOST_CHANNELS and (len(shape) != 2 or of_time):
        return len(shape)
    return None


def _against_training(name: str, low: float, high: float, trained: Range) -> Iterator[str]:
    bottom, top = trained
    span = top - bottom
    spans = (
        f"the data of '{name}' spans {low:g}..{high:g}, although {bottom:g}..{top:g} is expected"
    )
    if low < bottom - FAR_OUTSIDE * span or high > top + FAR_OUTSIDE * span:
        yield f"{spans}: it is not scaled as in training{_factor(high, top)}"
    elif high - low < LEAST_USED * span:
        yield f"{spans}: it may be scaled twice{_factor(high, top)}"
    elif bottom < 0 < top and low >= (bottom + top) / 2 and bottom == -top:
        yield f"{spans}: nothing is below {low:g}, as if it were scaled to {0:g}..{top:g}"


def _factor(high: float, top: float) -> str:
    """How to mend pixels that were scaled too little or too much."""
    if top > 0 and high > 0 and 0.8 < high / top / 255 <= 1.001:
        return "; dividing it by 255 would do"
    if top > 0 and high > 0 and 0.8 < top / high / 255 <= 1.25:
        return "; multiplying it by 255 would do"
    return ""


def _unscaled(array: Array, name: str) -> Iterator[str]:
    """Where nothing says what training had: pixels or counts that were left as they are."""
    low, high = float(array.min()), float(array.max())
    span = f"the data of '{name}' spans {low:g}..{high:g}"
    if low >= 0 and 127 < high <= 255 and bool((array == np.rint(array)).all()):
        yield f"{span} in whole numbers, as raw pixels do: right only if the model was trained so"
    elif max(-low, high) > LARGE:
        yield f"{span}: inputs as large as this are seldom what a model was trained on"
