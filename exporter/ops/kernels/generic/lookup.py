"""Functions of one int8 in C99: a load, a load from the table, a store."""

from __future__ import annotations

import numpy as np

from exporter.ops.candidate import Candidate, Constant, Rows, Tiling
from exporter.ops.layers import LookupLayer

UNROLL = 8
"""Elements that are looked up in one turn of the loop."""


def candidates(layer: LookupLayer) -> tuple[Candidate, ...]:
    """One element after another; runs in place."""
    rows = Rows(1, layer.elements)
    unroll = 1 if layer.target.optimize == "size" else min(UNROLL, layer.elements)
    table = Constant("table", layer.table.astype(np.int8), "[256]: outputs for -128 to 127")
    candidate = Candidate(
        kernel="generic/lookup",
        name=f"lookup_{layer.elements}",
        inputs=(rows,),
        output=rows,
        params={"elements": layer.elements, "unroll": unroll},
        constants=(table,),
        tiling=Tiling(rows.bytes),
        instructions=12 + layer.elements * 3 + layer.elements // unroll * 3,
    )
    return (candidate,)
