"""FULLY_CONNECTED in C99."""

from __future__ import annotations

import numpy as np

from exporter.ops.candidate import Candidate, Constant, Param, Rows
from exporter.ops.kernels.packing import interleave, unroll_factor
from exporter.ops.layers import DenseLayer


def candidates(layer: DenseLayer) -> tuple[Candidate, ...]:
    """Four output channels at a time share every load of the input."""
    source, output, target = layer.source, layer.output, layer.target
    weights, sums, requantization = layer.weights, layer.sums, layer.requantization
    channels, depth = weights.shape
    block = min(4, channels)
    batch = layer.batch
    params: dict[str, Param] = {
        "batch": batch,
        "depth": depth,
        "channels": channels,
        "block_channels": block,
        "unroll": unroll_factor(depth, 2 if target.optimize == "size" else 8),
        "requantize": requantization.form(sums),
        "zero_point": requantization.zero_point,
        "low": requantization.low,
        "high": requantization.high,
    }
    constants = (
        Constant(
            "weights",
            interleave(weights, block),
            f"[{channels} / {block}][{depth}][{block}]: output channels side by side",
        ),
        Constant("bias", sums.bias.astype(np.int32), "input zero point folded in"),
        *requantization.constants(),
    )
    candidate = Candidate(
        kernel="generic/fully_connected",
        name=f"fully_connected_{depth}x{channels}",
        inputs=(Rows(1, source.bytes),),
        output=Rows(1, output.bytes),
        params=params,
        constants=constants,
        instructions=batch * channels * (24 + depth * 13 // 4),
    )
    return (candidate,)
