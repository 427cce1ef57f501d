"""What a person should notice in the figures, in words, with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.convert.measures import GIVEN_RANGES, MOVES, TensorMeasure, WeightMeasure, worst_first
from exporter.convert.report.judgement import Judgement
from exporter.graph.ir import short_name

LOW_DB = 15.0
"""Below it, the error is more than a sixth of the signal."""
FALL_DB = 10.0
"""Between what a tensor has and what its own rounding would leave it."""
MUCH_CLIPPED = 0.001
WASTED = 4.0
"""How much wider than what was seen a range may be."""
WIDE_SCALES = 100.0
_SHOWN = 3


def findings(judgement: Judgement) -> list[str]:
    """Sentences, the most telling ones first; empty where all is well."""
    comparison = judgement.comparison
    return [
        *_noisy(comparison.tensors),
        *_clipped(comparison.tensors),
        *_wasted(comparison.tensors),
        *_wide(comparison.weights),
        *_unmatched(comparison.unmatched),
    ]


def _noisy(tensors: tuple[TensorMeasure, ...]) -> Iterator[str]:
    causes = [t for t in worst_first(tensors) if t.op not in MOVES]
    for tensor in causes[:_SHOWN]:
        if tensor.sqnr_db is None or tensor.sqnr_db >= LOW_DB:
            return
        own = tensor.own_sqnr_db
        if own is not None and own < tensor.sqnr_db + FALL_DB:
            why = "its own range is the reason: try --ranges percentile or mse"
        else:
            why = "the error comes from its weights or from the layers before it"
        yield f"{_name(tensor)} has {tensor.sqnr_db:.1f} dB of signal over noise; {why}."


def _clipped(tensors: tuple[TensorMeasure, ...]) -> Iterator[str]:
    much = sorted(tensors, key=lambda t: -t.saturation)[:_SHOWN]
    for tensor in much:
        if tensor.saturation > MUCH_CLIPPED and tensor.op not in GIVEN_RANGES:
            yield (
                f"{_name(tensor)} is clipped in {100 * tensor.saturation:.2f}% of its values: the "
                f"range {_range(tensor.chosen)} is narrower than {_range(tensor.observed)}, which "
                "was seen."
            )


def _wasted(tensors: tuple[TensorMeasure, ...]) -> Iterator[str]:
    for tensor in tensors:
        low, high = min(0.0, tensor.observed[0]), max(0.0, tensor.observed[1])
        chosen = tensor.chosen[1] - tensor.chosen[0]
        if tensor.op not in GIVEN_RANGES and chosen > WASTED * (high - low):
            yield (
                f"{_name(tensor)} uses {_range(tensor.observed)} of its range "
                f"{_range(tensor.chosen)}: the calibration data reaches further than the "
                "evaluation data."
            )


def _wide(weights: tuple[WeightMeasure, ...]) -> Iterator[str]:
    for layer in weights:
        lowest, _, highest = layer.scales
        if lowest > 0 and highest / lowest > WIDE_SCALES:
            yield (
                f"The weights of {short_name(layer.name)} have scales from {lowest:.3g} to "
                f"{highest:.3g}: a channel {highest / lowest:,.0f} times as strong as another one "
                "leaves that one few steps of the output."
            )


def _unmatched(names: tuple[str, ...]) -> Iterator[str]:
    if names:
        shown = ", ".join(short_name(n) for n in names[:_SHOWN])
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield f"Not compared, for the converted model has them not: {shown}{more}."


def _name(tensor: TensorMeasure) -> str:
    return f"{short_name(tensor.name)} ({tensor.op})"


def _range(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.4g} to {ends[1]:.4g}".replace("-", "\N{MINUS SIGN}")
