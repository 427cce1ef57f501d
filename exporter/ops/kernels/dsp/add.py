"""ADD and SUB with the DSP extension: the generic loops over a table, sums doubled for SMMLAR."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from exporter.ops.additive import AdditiveLayer
from exporter.ops.candidate import Candidate, Constant, MicroKernel

SAVED = 6
"""Instructions for an element."""


def candidates(layer: AdditiveLayer) -> tuple[Candidate, ...]:
    """All sums stay below 2^28, doubled ones below 2^29; what is added to them must fit too."""
    table = layer.table
    if table is None or table.params["requantize"] != "right":
        return ()
    shift, zero_point, step = (table.params[name] for name in ("shift", "zero_point", "step"))
    assert isinstance(shift, int)
    assert isinstance(zero_point, int)
    assert isinstance(step, int)
    half = (zero_point << shift) + (1 << (shift - 1))
    if abs(half) >= 2**30:
        return ()
    *operands, terms = table.constants
    values, layout = 2 * terms.values.astype(np.int32), f"{terms.layout}, doubled"
    name = f"quantize_doubled_{shift}"
    doubled = replace(
        table,
        kernel="dsp/add_table",
        params={**table.params, "step": 2 * step, "half": half},
        constants=(*operands, Constant(terms.role, values, layout)),
        micro_kernels=(MicroKernel("dsp/micro/quantize_doubled", name, (("shift", shift),)),),
        instructions=table.instructions - SAVED * layer.elements,
    )
    return (doubled,)
