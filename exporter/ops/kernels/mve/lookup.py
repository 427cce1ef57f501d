"""Functions of one int8 with Helium: sixteen bytes are loaded from the table at a time."""

from __future__ import annotations

import numpy as np

from exporter.ops.candidate import Candidate, Constant, MicroKernel, Rows, Tiling
from exporter.ops.layers import LookupLayer

AT_ONCE = 16


def candidates(layer: LookupLayer) -> tuple[Candidate, ...]:
    """The table lies in the order of unsigned bytes: the input is an entry's place."""
    rows = Rows(1, layer.elements)
    table = np.roll(layer.table.astype(np.int8), len(layer.table) // 2)
    candidate = Candidate(
        kernel="mve/lookup",
        name=f"lookup_{layer.elements}",
        inputs=(rows,),
        output=rows,
        params={"elements": layer.elements},
        constants=(Constant("table", table, "[256]: outputs for 0 to 127, then -128 to -1"),),
        micro_kernels=(MicroKernel("mve/micro/look_up", "look_up"),),
        tiling=Tiling(rows.bytes),
        instructions=16 + -(-layer.elements // AT_ONCE) * 4,
        choice="sixteen at a time",
    )
    return (candidate,)
