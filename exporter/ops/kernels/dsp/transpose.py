"""TRANSPOSE with the DSP extension: bytes in blocks of 4 x 4, words loaded and stored."""

from __future__ import annotations

from exporter.ops.candidate import Candidate, MicroKernel, Rows
from exporter.ops.layers import Matrices, TransposeLayer

SIDE = 4
"""Of a block."""
CALL, STRIP, BLOCK = 36, 10, 23
"""Instructions of a call, of each of its strips of four columns, of a block."""

Part = tuple[int, int, int, int]
"""First row and column, rows, columns."""


def candidates(layer: TransposeLayer) -> tuple[Candidate, ...]:
    matrices = layer.matrices
    if matrices is None or min(matrices.rows, matrices.columns) < SIDE:
        return ()
    tiles = parts(matrices, SIDE, SIDE)
    strips = sum(columns // SIDE for *_, columns in tiles)
    blocks = sum(rows * columns // SIDE**2 for *_, rows, columns in tiles)
    instructions = len(tiles) * CALL + strips * STRIP + blocks * BLOCK
    return (
        by_parts(
            "dsp/transpose",
            layer,
            matrices,
            tiles,
            MicroKernel("dsp/micro/transpose_words", "transpose_words"),
            matrices.count * instructions,
            "blocks of 4 x 4",
        ),
    )


def parts(matrices: Matrices, rows: int, columns: int) -> tuple[Part, ...]:
    """What covers a matrix in multiples of `rows` x `columns`, which are no more than it has.

    The last ones reach back over what is done already: bytes are moved there twice.
    """
    return tuple(
        (top, left, height, width)
        for top, height in _spans(matrices.rows, rows)
        for left, width in _spans(matrices.columns, columns)
    )


def _spans(size: int, step: int) -> list[tuple[int, int]]:
    whole = [(0, size - size % step)]
    return whole if size % step == 0 else [*whole, (size - step, step)]


def by_parts(
    kernel: str,
    layer: TransposeLayer,
    matrices: Matrices,
    tiles: tuple[Part, ...],
    micro_kernel: MicroKernel,
    instructions: int,
    choice: str,
) -> Candidate:
    """One call of the micro-kernel for each part of each matrix."""
    return Candidate(
        kernel=kernel,
        name=f"transpose_{matrices.rows}x{matrices.columns}",
        inputs=(Rows(1, layer.bytes),),
        output=Rows(1, layer.bytes),
        params={
            "others": matrices.others,
            "rows": matrices.rows,
            "columns": matrices.columns,
            "input_pitch": matrices.input_pitch,
            "output_pitch": matrices.output_pitch,
            "parts": tiles,
        },
        micro_kernels=(micro_kernel,),
        instructions=20 + instructions,
        choice=choice,
    )
