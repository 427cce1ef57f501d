"""TRANSPOSE with Helium: 16 bytes gathered from as many rows, or scattered to as many columns."""

from __future__ import annotations

from typing import Literal

from exporter.ops.candidate import Candidate, MicroKernel
from exporter.ops.kernels.dsp.transpose import by_parts, parts
from exporter.ops.layers import Matrices, TransposeLayer

LANES = 16
BYTE_PITCH, MOST_PITCH = 255 // (LANES - 1), 65535 // (LANES - 1)
"""Bytes apart that 16 places of 8 bits can be, and of 16 bits."""
CALL = 38
COSTS = {"bytes": (4, 5), "halfwords": (6, 5), "pairs": (9, 6)}
"""Instructions of a block, and of each column or row of them; two columns or rows for pairs."""

Way = Literal["gather", "scatter"]


def candidates(layer: TransposeLayer) -> tuple[Candidate, ...]:
    """Rows are gathered where they are many, columns scattered where they are."""
    matrices = layer.matrices
    if matrices is None:
        return ()
    ways: tuple[tuple[Way, int, int, int], ...] = (
        ("gather", matrices.rows, matrices.columns, matrices.input_pitch),
        ("scatter", matrices.columns, matrices.rows, matrices.output_pitch),
    )
    return tuple(
        _candidate(layer, matrices, way, _form(lines, pitch))
        for way, lanes, lines, pitch in ways
        if lanes >= LANES and pitch <= MOST_PITCH
    )


def _form(lines: int, pitch: int) -> str:
    """Pairs are halfwords in memory: where `lines` is even all steps are, which it divides."""
    if pitch <= BYTE_PITCH:
        return "bytes"
    return "pairs" if lines % 2 == 0 else "halfwords"


def _candidate(layer: TransposeLayer, matrices: Matrices, way: Way, form: str) -> Candidate:
    tiles = parts(matrices, *((LANES, 1) if way == "gather" else (1, LANES)))
    block, line = COSTS[form]
    at_once = 2 if form == "pairs" else 1
    instructions = sum(
        CALL + (lines * line + height * width // LANES * block) // at_once
        for _, _, height, width in tiles
        for lines in ((width,) if way == "gather" else (height,))
    )
    micro_kernel = MicroKernel(
        f"mve/micro/transpose_{way}", f"transpose_{way}_{form}", (("form", form),)
    )
    total = matrices.count * instructions
    return by_parts("mve/transpose", layer, matrices, tiles, micro_kernel, total, f"{way} {form}")
