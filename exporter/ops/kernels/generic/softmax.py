"""SOFTMAX in C99, one entry after another."""

from __future__ import annotations

from exporter.ops.candidate import Candidate, Constant, Rows, Tiling
from exporter.ops.layers import SoftmaxLayer

DEPTH_OF_FAST_SHIFT = 511
"""With no more terms the final shift is at most 31."""


def candidates(layer: SoftmaxLayer) -> tuple[Candidate, ...]:
    """Runs in place: an entry is not read again once its output is written."""
    rows = Rows(1, layer.rows * layer.depth)
    candidate = Candidate(
        kernel="generic/softmax",
        name=f"softmax_{layer.depth}",
        inputs=(rows,),
        output=rows,
        params={
            "rows": layer.rows,
            "depth": layer.depth,
            "shift_may_exceed_31": layer.depth > DEPTH_OF_FAST_SHIFT,
        },
        constants=(Constant("exponential", layer.exponentials, layer.layout),),
        tiling=Tiling(rows.bytes),
        instructions=layer.rows * (200 + layer.depth * 35),
    )
    return (candidate,)
