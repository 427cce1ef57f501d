"""Runs a float and an integer flatbuffer side by side and sums up how far apart they are.

In the worker. Memory does not grow with the number of samples, but for the models' outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exporter.convert import flatbuffer as fb
from exporter.convert.interpret import Interpreter, Progress, told
from exporter.convert.measures import (
    HISTOGRAM_BINS,
    Comparison,
    Ends,
    Spread,
    TensorMeasure,
    WeightMeasure,
    decibels,
)
from exporter.worker import Array

_INT4_SIGN = 8


@dataclass(frozen=True)
class Pair:
    """A tensor of both flatbuffers: its index in each, and how the integers are read."""

    name: str
    op: str
    shape: tuple[int, ...]
    dtype: str
    float_index: int
    int_index: int
    scale: float
    zero_point: int

    @property
    def rails(self) -> tuple[int, int]:
        limits = np.iinfo(self.dtype)
        return int(limits.min), int(limits.max)

    @property
    def chosen(self) -> Ends:
        low, high = self.rails
        return (low - self.zero_point) * self.scale, (high - self.zero_point) * self.scale


@dataclass
class Sums:
    """What is added up for one pair; `bins` are the ends of its histograms."""

    pair: Pair
    bins: Ends
    signal: Array = field(default_factory=lambda: np.zeros(1))
    noise: Array = field(default_factory=lambda: np.zeros(1))
    own_noise: float = 0.0
    error: float = 0.0
    max_error: float = 0.0
    clipped: int = 0
    count: int = 0
    lowest: float = np.inf
    highest: float = -np.inf
    float_counts: Array = field(default_factory=lambda: np.zeros(HISTOGRAM_BINS, np.int64))
    int_counts: Array = field(default_factory=lambda: np.zeros(HISTOGRAM_BINS, np.int64))

    def add(self, values: Array, stored: Array) -> None:
        """One sample: the float tensor, and the integer one as it is stored."""
        pair = self.pair
        channels = values.shape[-1] if values.ndim > 1 else 1
        wanted = values.astype(np.float64).reshape(-1, channels)
        steps = stored.reshape(wanted.shape)
        got = (steps.astype(np.float64) - pair.zero_point) * pair.scale
        errors = got - wanted
        self.signal = self.signal + (wanted**2).sum(axis=0)
        self.noise = self.noise + (errors**2).sum(axis=0)
        self.own_noise += float(((self._rounded(wanted) - wanted) ** 2).sum())
        self.error += float(errors.sum())
        self.max_error = max(self.max_error, float(np.abs(errors).max(initial=0.0)))
        self.clipped += self._clipped(wanted, steps)
        self.count += wanted.size
        self.lowest = min(self.lowest, float(wanted.min(initial=np.inf)))
        self.highest = max(self.highest, float(wanted.max(initial=-np.inf)))
        self.float_counts += histogram(wanted, self.bins)
        self.int_counts += histogram(got, self.bins)

    def _rounded(self, wanted: Array) -> Array:
        pair = self.pair
        steps = np.clip(np.rint(wanted / pair.scale) + pair.zero_point, *pair.rails)
        result: Array = (steps - pair.zero_point) * pair.scale
        return result

    def _clipped(self, wanted: Array, steps: Array) -> int:
        """Values at a rail that the float model has beyond it by more than rounding."""
        (low, high), (bottom, top) = self.pair.chosen, self.pair.rails
        half = self.pair.scale / 2
        at_low = (steps == bottom) & (wanted < low - half)
        at_high = (steps == top) & (wanted > high + half)
        return int((at_low | at_high).sum())

    def measure(self) -> TensorMeasure:
        pair, count = self.pair, max(1, self.count)
        decibels_of = [decibels(s, n) for s, n in zip(self.signal, self.noise, strict=True)]
        of_channels = [np.inf if d is None else d for d in decibels_of]
        worst = int(np.argmin(of_channels))
        return TensorMeasure(
            name=pair.name,
            op=pair.op,
            shape=pair.shape,
            dtype=pair.dtype,
            scale=pair.scale,
            zero_point=pair.zero_point,
            sqnr_db=decibels(float(self.signal.sum()), float(self.noise.sum())),
            own_sqnr_db=decibels(float(self.signal.sum()), self.own_noise),
            channel_sqnr_db=decibels_of[worst],
            channel=worst,
            mean_error=self.error / count,
            max_error=self.max_error,
            saturation=self.clipped / count,
            chosen=pair.chosen,
            observed=(self.lowest, self.highest),
            spread=spread(self.bins, self.float_counts, self.int_counts),
        )


def compare(
    float_flatbuffer: bytes,
    int_flatbuffer: bytes,
    samples: Sequence[Array],
    calibrated: Mapping[int, Ends],
    most_measured: int,
    progress: Progress,
) -> Comparison:
    """Runs all `samples`, float32 [N, ...] per input, and measures on at most `most_measured`.

    Those are spread evenly over the samples. `calibrated` is what each tensor of the float
    flatbuffer spanned in calibration: with the chosen range, what the histograms show.
    """
    float_model, int_model = fb.parse(float_flatbuffer), fb.parse(int_flatbuffer)
    pairs, unmatched = matched(float_model, int_model)
    sums = [Sums(p, shown_range(p, calibrated.get(p.float_index))) for p in pairs]
    floats, integers = Interpreter(float_flatbuffer), Interpreter(int_flatbuffer, exact=True)
    measured = evenly(len(samples[0]), most_measured)
    rows: list[list[Array]] = []
    both = (n for n, _ in zip(floats.runs(samples), integers.runs(samples), strict=True))
    for number in told(both, len(samples[0]), "comparing", progress):
        rows.append([*_outputs(floats), *_outputs(integers)])
        for s in sums if number in measured else ():
            s.add(floats.tensor(s.pair.float_index), integers.tensor(s.pair.int_index))
    outputs = [np.concatenate(parts) for parts in zip(*rows, strict=True)]
    half = len(outputs) // 2
    return Comparison(
        tensors=tuple(s.measure() for s in sums),
        weights=tuple(weight_measures(float_model, int_model)),
        unmatched=tuple(unmatched),
        measured=len(measured),
        float_bytes=len(float_flatbuffer),
        constants=(constant_bytes(float_model), constant_bytes(int_model)),
        float_outputs=tuple(outputs[:half]),
        outputs=tuple(outputs[half:]),
    )


def outputs_of(flatbuffer: bytes, samples: Sequence[Array], progress: Progress) -> list[Array]:
    """What a flatbuffer, float or integer, gives for the samples: float32 [N, ...] per output."""
    interpreter = Interpreter(flatbuffer, exact=True)
    runs = told(interpreter.runs(samples), len(samples[0]), "evaluating", progress)
    rows = [_outputs(interpreter) for _ in runs]
    return [np.concatenate(parts) for parts in zip(*rows, strict=True)]


def matched(float_model: fb.Model, int_model: fb.Model) -> tuple[list[Pair], list[str]]:
    """Inputs and operators' outputs by name, in the order of the float model; names without one.

    Where the integer model has float inputs or outputs, those are neither.
    """
    schema = fb.schema()
    dtypes = {getattr(schema.TensorType, name.upper()): name for name in ("int8", "uint8", "int16")}
    candidates = {fb.name_of(t): i for i, t in enumerate(fb.tensors(int_model))}
    pairs, unmatched = [], []
    for op, index in _produced(float_model):
        tensor = fb.tensors(float_model)[index]
        name = fb.name_of(tensor)
        other = candidates.get(name)
        if tensor.type != schema.TensorType.FLOAT32:
            continue
        twin = None if other is None else fb.tensors(int_model)[other]
        if twin is not None and twin.type == schema.TensorType.FLOAT32:
            continue  # a float edge, which nothing was done to
        if twin is None or twin.type not in dtypes or not _has_scale(twin):
            unmatched.append(name)
            continue
        scale, zero_point = twin.quantization.scale[0], twin.quantization.zeroPoint[0]
        shape = tuple(int(d) for d in tensor.shape)
        pairs.append(
            Pair(name, op, shape, dtypes[twin.type], index, int(other or 0),
                 float(scale), int(zero_point))
        )  # fmt: skip
    return pairs, unmatched


def _produced(model: fb.Model) -> Iterator[tuple[str, int]]:
    for index in model.subgraphs[0].inputs:
        yield "INPUT", int(index)
    for kind, operator in fb.operators(model):
        for index in operator.outputs:
            yield kind, int(index)


def _has_scale(tensor: Any) -> bool:
    quantization = tensor.quantization
    return quantization is not None and quantization.scale is not None


def shown_range(pair: Pair, calibrated: Ends | None) -> Ends:
    """What a histogram spans: the chosen range, whole steps to a bin; more where more was seen."""
    half = pair.scale / 2
    low, high = pair.chosen[0] - half, pair.chosen[1] + half
    if calibrated is None:
        return low, high
    return min(low, calibrated[0]), max(high, calibrated[1])


def weight_measures(float_model: fb.Model, int_model: fb.Model) -> Iterator[WeightMeasure]:
    """Layers of both models with constant weights, matched by their output's name."""
    twins = {
        fb.name_of(fb.tensors(int_model)[layer.output]): layer
        for layer in fb.weight_layers(int_model)
    }
    for layer in fb.weight_layers(float_model):
        name = fb.name_of(fb.tensors(float_model)[layer.output])
        values = fb.constant(float_model, layer.weights)
        found = real_weights(int_model, twins[name]) if name in twins else None
        if values is not None and values.dtype == np.float32 and found is not None:
            yield _weight_measure(name, layer.kind, values.astype(np.float64), *found)


def _weight_measure(
    name: str, op: str, values: Array, real: Array, scales: Array, dtype: str
) -> WeightMeasure:
    errors = real - values
    ends = float(min(values.min(), real.min())), float(max(values.max(), real.max()))
    return WeightMeasure(
        name=name,
        op=op,
        shape=tuple(values.shape),
        dtype=dtype,
        channels=len(scales),
        scales=(float(scales.min()), float(np.median(scales)), float(scales.max())),
        sqnr_db=decibels(float((values**2).sum()), float((errors**2).sum())),
        max_error=float(np.abs(errors).max()),
        observed=(float(values.min()), float(values.max())),
        spread=spread(ends, histogram(values, ends), histogram(real, ends)),
    )


def real_weights(model: fb.Model, layer: fb.WeightLayer) -> tuple[Array, Array, str] | None:
    """The weights of an integer layer as real numbers, their scales, and their type."""
    tensor = fb.tensors(model)[layer.weights]
    if not _has_scale(tensor):
        return None
    stored, dtype = fb.constant(model, layer.weights), "int8"
    if tensor.type == fb.schema().TensorType.INT4:
        stored, dtype = _unpacked(model, tensor), "int4"
    if stored is None:
        return None
    scales = np.asarray(tensor.quantization.scale, np.float64)
    shape = [1] * stored.ndim
    shape[int(tensor.quantization.quantizedDimension)] = len(scales)
    real: Array = stored * scales.reshape(shape if len(scales) > 1 else [1])
    return real, scales, dtype


def _unpacked(model: fb.Model, tensor: Any) -> Array:
    """int4 values, two to a byte, the first one in the low bits."""
    data = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    nibbles = np.stack([data & 15, data >> 4], axis=1).reshape(-1).astype(np.int64)
    values = (nibbles ^ _INT4_SIGN) - _INT4_SIGN
    shape = [int(d) for d in tensor.shape]
    unpacked: Array = values[: int(np.prod(shape))].reshape(shape)
    return unpacked


def constant_bytes(model: fb.Model) -> int:
    """Bytes of all constants; tensors that share a buffer count once."""
    buffers = {int(t.buffer) for t in fb.tensors(model)}
    datas = [model.buffers[b].data for b in buffers]
    return sum(len(d) for d in datas if d is not None)


def histogram(values: Array, ends: Ends) -> Array:
    """How many values are in each bin, int64 [HISTOGRAM_BINS]; those beyond count at the ends."""
    low, high = ends if ends[0] < ends[1] else (ends[0] - 0.5, ends[0] + 0.5)
    counts: Array = np.histogram(np.clip(values, low, high), HISTOGRAM_BINS, (low, high))[0]
    return counts


def spread(ends: Ends, float_counts: Array, int_counts: Array) -> Spread:
    return Spread(*ends, tuple(float_counts.tolist()), tuple(int_counts.tolist()))


def evenly(count: int, most: int) -> frozenset[int]:
    """At most `most` of the numbers below `count`, the same distance apart."""
    return frozenset(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist())


def _outputs(interpreter: Interpreter) -> list[Array]:
    """float32 [1, ...] each, copied: the interpreter's memory is written over by the next run."""
    return [interpreter.real(o["index"]).astype(np.float32) for o in interpreter.outputs]
