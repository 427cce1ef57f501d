"""SOFTMAX with Helium: four exponentials are loaded at a time."""

from __future__ import annotations

from exporter.ops.candidate import Candidate, Constant, MicroKernel, Rows, Tiling
from exporter.ops.layers import SoftmaxLayer

ROW = 180
"""Instructions of a row beside its entries: its reciprocal, and two calls."""

FEWEST = 32
"""With fewer entries in all, what is saved is not worth another 60 bytes of code."""

MICRO_KERNELS = ("exponential_sum", "exponential_shares")


def candidates(layer: SoftmaxLayer) -> tuple[Candidate, ...]:
    """Runs in place: an entry is not read again once its output is written."""
    if layer.rows * layer.depth < FEWEST:
        return ()
    rows = Rows(1, layer.rows * layer.depth)
    entries = -(-layer.depth // 16) * 3 + -(-layer.depth // 4) * 15
    candidate = Candidate(
        kernel="mve/softmax",
        name=f"softmax_{layer.depth}",
        inputs=(rows,),
        output=rows,
        params={"rows": layer.rows, "depth": layer.depth},
        constants=(Constant("exponential", layer.exponentials, layer.layout),),
        micro_kernels=tuple(MicroKernel(f"mve/micro/{name}", name) for name in MICRO_KERNELS),
        tiling=Tiling(rows.bytes),
        instructions=layer.rows * (ROW + entries),
        choice="four at a time",
    )
    return (candidate,)
