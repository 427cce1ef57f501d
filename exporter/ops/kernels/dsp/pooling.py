"""Pooling with the DSP extension: four channels to a word."""

from __future__ import annotations

from dataclasses import replace

from exporter.ops.candidate import Candidate, MicroKernel
from exporter.ops.layers import PoolLayer

LANE_POSITIONS = 255
"""The sum of as many int8 fits an int16 lane."""

SMALL_WINDOW = 4
"""Positions of a window whose loops a compiler unrolls, for which it needs registers."""


def candidates(layer: PoolLayer) -> tuple[Candidate, ...]:
    """The generic loops over words, where every position is whole words of channels."""
    is_average = layer.operation == "average"
    if layer.depth % 4 or (is_average and layer.positions > LANE_POSITIONS):
        return ()
    if not is_average and layer.high < 127:
        return ()  # clamped from above byte by byte
    generic, name = layer.generic, "add_bytes" if is_average else "max_bytes"
    block = 8 if is_average or layer.positions <= SMALL_WINDOW else 16
    return (
        replace(
            generic,
            kernel=generic.kernel.replace("generic/", "dsp/"),
            params={**generic.params, "words": True, "block_channels": min(block, layer.depth)},
            micro_kernels=(MicroKernel(f"dsp/micro/{name}", name),),
            instructions=layer.outputs * _per_output(is_average, layer) // 8 + 60,
            choice="four channels to a word",
        ),
    )


def _per_output(is_average: bool, layer: PoolLayer) -> int:
    """Eighths of an instruction for one output, as measured on the Cortex-M4."""
    if layer.is_global:
        return (48 if is_average else 8) + 9 * layer.positions
    return (32 if is_average else 0) + (14 if is_average else 11) * layer.positions
