"""`make bench`: the models of ../shared/models against TensorFlow Lite Micro, as Markdown.

    python -m tests.benchmark [BOARD ...]

Instructions come from an emulator and repeat on any machine; they are not cycles. The seconds at
the end are this machine's: `nanoexport verify` from nothing, with an empty firmware cache.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

from tests.conftest import MODELS

COMMAND = (sys.executable, "-m", "exporter.cli")
BOARDS = ("mps2-an386", "mps3-an547", "riscv32-virt")
VERIFIED = ("kws_ref_model", "mps2-an386")
VERIFY_LIMIT_SECONDS = 20.0
DEADLINE_SECONDS = 600


@dataclass(frozen=True)
class Baseline:
    """TensorFlow Lite Micro 90b983c2 with CMSIS-NN 99f736a6, GCC 12.2, counted the same way.

    `instructions` by board, the better of -O2 and -O3. The rest was measured on mps2-an386 alone:
    the arena, and the code without the model at -O3.
    """

    instructions: dict[str, int]
    arena_bytes: int
    code_bytes: int


BASELINES = {
    "ad01_int8": Baseline(
        dict(zip(BOARDS, (582_240, 149_906, 2_480_990), strict=True)), 2_580, 31_384
    ),
    "kws_ref_model": Baseline(
        dict(zip(BOARDS, (7_697_280, 1_784_625, 53_025_555), strict=True)), 22_820, 59_425
    ),
    "pretrainedResnet_quant": Baseline(
        dict(zip(BOARDS, (29_863_480, 4_810_906, 170_256_907), strict=True)), 54_996, 58_701
    ),
    "vww_96_int8": Baseline(
        dict(zip(BOARDS, (24_101_480, 6_433_125, 138_020_159), strict=True)), 100_708, 59_425
    ),
}


def main(boards: tuple[str, ...]) -> None:
    """Print the table row by row, then the seconds."""
    if not MODELS.is_dir():
        sys.exit("benchmark: needs the models in ../shared/models")
    print("| model | board | instructions | TFLM | ratio | arena B | TFLM | code B | TFLM |")
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|")
    for model, baseline in BASELINES.items():
        for board in boards:
            print(row(model, board, baseline), flush=True)
    seconds = verify_seconds()
    print(
        f"\n`nanoexport verify {VERIFIED[0]}.tflite --board {VERIFIED[1]}` with an empty firmware "
        f"cache: {seconds:.1f} s (limit {VERIFY_LIMIT_SECONDS:.0f} s)"
    )
    if seconds > VERIFY_LIMIT_SECONDS:
        sys.exit("benchmark: verify took too long")


def row(model: str, board: str, baseline: Baseline) -> str:
    """One line of the table."""
    found = nanoexport("bench", model, board)
    theirs = baseline.instructions.get(board)
    code = baseline.code_bytes if board == "mps2-an386" else None
    ours = found["instructions"]
    ratio = f"{ours / theirs:.2f}" if ours and theirs else "-"
    cells = (
        model,
        board,
        number(ours),
        number(theirs),
        ratio,
        number(found["arena_bytes"]),
        number(baseline.arena_bytes),
        number(found["code_bytes"]),
        number(code),
    )
    return f"| {' | '.join(cells)} |"


def number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def nanoexport(
    command: str, model: str, board: str, environment: dict[str, str] | None = None
) -> dict[str, Any]:
    """The JSON document of one command. Ends the benchmark where the command fails."""
    argv = [*COMMAND, command, str(MODELS / f"{model}.tflite"), "--board", board, "--json"]
    completed = subprocess.run(
        argv,
        capture_output=True,
        env={**os.environ, **(environment or {})},
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    if completed.returncode != 0:
        sys.exit(f"benchmark: {command} {model} on {board}:\n{completed.stderr.decode()}")
    document: dict[str, Any] = json.loads(completed.stdout)
    return document


def verify_seconds() -> float:
    """Wall time of one whole `nanoexport verify`, import and build included."""
    with tempfile.TemporaryDirectory() as cache:
        start = time.monotonic()
        result = nanoexport("verify", *VERIFIED, {"NANOEXPORT_CACHE": cache})
        seconds = time.monotonic() - start
    if not result["bit_exact"]:
        sys.exit("benchmark: the board is not bit-exact")
    return seconds


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or BOARDS)
