"""TRANSPOSE for any core: runs of bytes as they are, single bytes in blocks of straight lines."""

from __future__ import annotations

from math import gcd

from exporter.ops.candidate import Candidate, Rows
from exporter.ops.layers import Matrices, TransposeLayer

BLOCK_ROWS, BLOCK_BYTES = 8, 12
"""Single bytes that are moved between two tests of a loop."""
UNROLLED_BYTES = 32
"""The same for runs, of any length."""
REACH = 2047
"""The largest offset of a load on RISC-V; Thumb-2's is larger."""
WORD_BYTES = 4


def candidates(layer: TransposeLayer) -> tuple[Candidate, ...]:
    matrices = layer.matrices
    return (_runs(layer) if matrices is None else _blocks(layer, matrices),)


def _runs(layer: TransposeLayer) -> Candidate:
    *outer, (run, _) = layer.dimensions
    loops, unroll, unrolled_step = outer, 1, 0
    if outer:
        size, unrolled_step = outer[-1]
        unroll = _largest_divisor(size, max(1, UNROLLED_BYTES // run))
        looped = (size // unroll, unroll * unrolled_step)
        loops = [*outer[:-1], looped] if unroll < size else outer[:-1]
    return Candidate(
        kernel="generic/transpose",
        name=f"transpose_{layer.bytes}",
        inputs=(Rows(1, layer.bytes),),
        output=Rows(1, layer.bytes),
        params={
            "dimensions": layer.dimensions,
            "loops": tuple(loops),
            "run_bytes": run,
            "unroll": unroll,
            "unrolled_step": unrolled_step,
            # Buffers start on words.
            "alignment": gcd(WORD_BYTES, run, *(step for _, step in outer)),
        },
        instructions=layer.bytes + layer.bytes // (run * unroll) * 5,
    )


def _blocks(layer: TransposeLayer, matrices: Matrices) -> Candidate:
    block_rows, block_columns = _block(matrices)
    rows, columns = matrices.rows, matrices.columns
    tests = matrices.count * columns // block_columns * (rows // block_rows + 1)
    return Candidate(
        kernel="generic/transpose_bytes",
        name=f"transpose_{rows}x{columns}",
        inputs=(Rows(1, layer.bytes),),
        output=Rows(1, layer.bytes),
        params={
            "others": matrices.others,
            "rows": rows,
            "columns": columns,
            "input_pitch": matrices.input_pitch,
            "output_pitch": matrices.output_pitch,
            "block_rows": block_rows,
            "block_columns": block_columns,
        },
        instructions=layer.bytes * 2 + tests * 5,
    )


def _block(matrices: Matrices) -> tuple[int, int]:
    """Rows and columns of a block: few rows are left over, no columns, and its places are near."""
    most = min(matrices.rows, BLOCK_ROWS, REACH // matrices.input_pitch + 1)
    rows = min(range(most, most // 2, -1), key=lambda size: matrices.rows % size)
    most = min(BLOCK_BYTES // rows, REACH // matrices.output_pitch + 1)
    return rows, _largest_divisor(matrices.columns, most)


def _largest_divisor(number: int, most: int) -> int:
    return max(size for size in range(1, min(number, most) + 1) if number % size == 0)
