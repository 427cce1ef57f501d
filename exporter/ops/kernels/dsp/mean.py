"""MEAN with the DSP extension: four neighbouring outputs to a word."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from exporter.ops.candidate import Candidate, MicroKernel
from exporter.ops.kernels.dsp.pooling import LANE_POSITIONS
from exporter.ops.layers import MeanLayer

WORD_BLOCK = 8
"""Outputs that are summed side by side."""


def candidates(layer: MeanLayer) -> tuple[Candidate, ...]:
    """The generic loops over words, where all that they step over is whole words."""
    (size, step), generic = layer.kept[-1], layer.generic
    outer = (*layer.kept[:-1], *layer.reduced)
    positions = prod(count for count, _ in layer.reduced)
    if step != 1 or size % 4 or any(at % 4 for _, at in outer) or positions > LANE_POSITIONS:
        return ()
    outputs = generic.output.bytes
    return (
        replace(
            generic,
            kernel="dsp/mean",
            params={**generic.params, "words": True, "block": min(WORD_BLOCK, size)},
            micro_kernels=(MicroKernel("dsp/micro/add_bytes", "add_bytes"),),
            instructions=outputs * (12 + positions * 9 // 8) + 60,
            choice="four channels to a word",
        ),
    )
