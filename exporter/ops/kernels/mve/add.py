"""ADD and SUB with Helium: eight elements at a time in a form with one shift."""

from __future__ import annotations

from exporter.ops.additive import AdditiveLayer
from exporter.ops.candidate import Candidate, MicroKernel, Rows, Tiling

AT_ONCE = 8


def candidates(layer: AdditiveLayer) -> tuple[Candidate, ...]:
    """Nothing for a few elements."""
    if layer.form is None or layer.elements < AT_ONCE:
        return ()
    low, high = layer.limits
    candidate = Candidate(
        kernel="mve/add",
        name=f"{layer.kind.lower()}_{layer.elements}",
        inputs=(Rows(1, layer.elements), Rows(1, layer.elements)),
        output=Rows(1, layer.elements),
        params={
            "operation": layer.kind,
            "elements": layer.elements,
            "low": low,
            "high": high,
            **layer.form._asdict(),
        },
        micro_kernels=(MicroKernel("mve/micro/add_eights", "add_eights"),),
        tiling=Tiling(layer.elements),
        instructions=60 + layer.elements * 19 // AT_ONCE,
        choice="one shift, all pairs checked",
    )
    return (candidate,)
