"""Layouts that kernels of several operators share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from exporter.ops.candidate import Ring
from exporter.ops.geometry import Axis

WORD_BYTES = 4


def interleave(weights: npt.NDArray[np.int8], block: int) -> npt.NDArray[np.int8]:
    """Weights [O, K] in the order [O / block][K][block], then the rest of the channels as one."""
    channels, depth = weights.shape
    whole = channels - channels % block
    blocks = weights[:whole].reshape(-1, block, depth).transpose(0, 2, 1)
    return np.concatenate([blocks.ravel(), weights[whole:].T.ravel()])


def unroll_factor(length: int, limit: int) -> int:
    """The largest divisor of `length` that is at most `limit`."""
    return max(divisor for divisor in range(1, limit + 1) if length % divisor == 0)


def padding_ring(
    vertical: Axis, horizontal: Axis, depth: int, fill: int, rows_per_call: int = 1
) -> Ring | None:
    """A ring of padded rows where the layer has padding; None where windows stay inside."""
    if not (vertical.is_padded or horizontal.is_padded):
        return None
    columns = horizontal.before + horizontal.input + horizontal.after
    lead = -(horizontal.before * depth) % WORD_BYTES
    return Ring(
        slots=vertical.extent + (rows_per_call - 1) * vertical.stride,
        pitch_bytes=-(-(lead + columns * depth) // WORD_BYTES) * WORD_BYTES,
        margin_bytes=lead + horizontal.before * depth,
        fill=fill,
        lead_bytes=lead,
    )
