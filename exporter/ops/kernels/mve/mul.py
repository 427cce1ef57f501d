"""MUL with Helium: eight products at a time, requantised as the reference does."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from exporter.ops.candidate import Candidate, MicroKernel
from exporter.ops.layers import MulLayer

AT_ONCE = 8
CALL = 27
"""Instructions of a call of the micro-kernel, its registers and its form among them."""

FEWEST = 64
"""With fewer elements, what is saved is not worth another 200 bytes of code."""


def candidates(layer: MulLayer) -> tuple[Candidate, ...]:
    """Where the innermost loop steps through eight of both operands, and products shift right."""
    generic, (size, *steps) = layer.generic, layer.dimensions[-1]
    if steps != [1, 1] or size < AT_ONCE or generic.output.bytes < FEWEST:
        return ()
    if layer.multiplier.shift >= 0:
        return ()
    left, right, zero_point = layer.zero_points
    mantissa, shift = layer.multiplier
    constants = ("left_is_constant", "right_is_constant")
    calls = prod(count for count, *_ in layer.dimensions[:-1])
    return (
        replace(
            generic,
            kernel="mve/mul",
            params={name: generic.params[name] for name in constants}
            | {
                "dimensions": layer.dimensions,
                "form": (-left, -right, mantissa, shift, zero_point, *layer.limits),
            },
            micro_kernels=(MicroKernel("mve/micro/multiply", "multiply"),),
            instructions=20 + calls * (CALL + -(-size // AT_ONCE) * 21),
            choice="as the reference, eight at a time",
        ),
    )
