"""What the tile micro-kernels share: their names, and the stream of words they read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from exporter.ops.candidate import MicroKernel
from exporter.ops.kernels.dsp.requantize import Form
from exporter.ops.linear import Requantization


def tile_kernel(stem: str, form: Form, last: Requantization) -> MicroKernel:
    """`dsp/micro/<stem>` for a form of requantisation; layers alike in it share the function."""
    name = f"{form.name}{form.shift or ''}"
    if (last.low, last.high) != (-128, 127):
        name += f"_{last.low}_to_{last.high}".replace("-", "m")
    params = (("form", form.name), ("shift", form.shift), ("low", last.low), ("high", last.high))
    return MicroKernel(f"dsp/micro/{stem}", f"nano_dsp_{stem}_{name}", params)


def stream(parts: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int32]:
    """One array of 32-bit words, each taken modulo 2^32."""
    return (np.concatenate(parts).astype(np.int64) & 0xFFFFFFFF).astype(np.uint32).view(np.int32)
