"""MEAN with Helium: sixteen neighbouring outputs at a time."""

from __future__ import annotations

from dataclasses import replace

from exporter.ops.candidate import Candidate
from exporter.ops.kernels.mve import windows
from exporter.ops.kernels.mve.pooling import CALL
from exporter.ops.layers import MeanLayer


def candidates(layer: MeanLayer) -> tuple[Candidate, ...]:
    """Where what is summed lies as far apart as there are outputs side by side."""
    (depth, step), outer, generic = layer.kept[-1], layer.kept[:-1], layer.generic
    positions, apart = layer.reduced[0]
    if len(layer.reduced) > 1 or positions > windows.MOST_POSITIONS or (step, apart) != (1, depth):
        return ()
    if outer not in ((), ((generic.output.bytes // depth, positions * depth),)):
        return ()
    if generic.params["requantize"] != "right":
        return ()
    batch = generic.output.bytes // depth
    names = ("start", "multiplier", "shift", "zero_point")
    return (
        replace(
            generic,
            kernel="mve/mean",
            params={name: generic.params[name] for name in names}
            | {"batch": batch, "positions": positions, "depth": depth},
            micro_kernels=(windows.micro_kernel("mean", depth),),
            instructions=CALL + windows.instructions("mean", depth, [1] * batch, [positions]),
            choice="sixteen outputs at a time",
        ),
    )
