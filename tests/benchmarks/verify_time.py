"""How long `nanoexport verify` takes with an empty firmware cache, and where the time goes.

    python -m tests.benchmarks.verify_time [MODEL] [--board BOARD]

The whole is a process of its own, as a user starts it; the stages are then run one by one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.board import load_board
from exporter.build.firmware import Settings, compile_for, firmware_for
from exporter.hil.controls import run_controls
from exporter.hil.session import open_device
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import verify_device
from exporter.oracle import Oracle
from exporter.render.project import render_project
from tests.benchmarks.measure import REPOSITORY, model_path

BUDGET_SECONDS = 20.0
VECTORS = 20


def whole_seconds(model: Path, board: str) -> float:
    """The time of the command, cache empty, Python's start included."""
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "exporter.cli", "verify", str(model), "--board", board],
            cwd=REPOSITORY,
            env={**os.environ, "NANOEXPORT_CACHE": cache},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return time.perf_counter() - start


def stage_seconds(model: Path, board_name: str) -> dict[str, float]:
    """The time of each stage, in order, in this process."""
    board, settings, seconds = load_board(board_name), Settings(), dict[str, float]()

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        seconds[stage] = time.perf_counter() - start

    with timed("compile"):
        program = compile_for(model, board, settings).program
    with timed("render"):
        render_project(program, board, app="hil", toolchain=board.default_toolchain)
    with tempfile.TemporaryDirectory() as cache, timed("compile, render and build"):
        firmware = firmware_for(model, board, settings, cache=Path(cache))
    with tempfile.TemporaryDirectory() as cache:
        firmware = firmware_for(model, board, settings, cache=Path(cache))
        vectors = make_vectors([port.tensor for port in program.inputs], VECTORS)
        with timed("start the host reference"):
            oracle = Oracle(firmware.compilation.model, settings.dialect)
        with oracle:
            with timed("run the host reference"):
                for vector in vectors:
                    oracle.run(vector)
            with timed("start the board and identify it"):
                opened = open_device(firmware)
                device = opened.__enter__()
            try:
                with timed(f"verify {VECTORS} vectors"):
                    result = verify_device(device, oracle, vectors, macs=program.macs)
            finally:
                opened.__exit__(None, None, None)
        with timed("one seeded fault of each kind"):
            controls = run_controls(firmware, vectors)
    assert result.bit_exact and controls.rate == 1
    return seconds


def main() -> int:
    """Print the times; 1 where the whole is over the budget."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", type=Path, default=model_path("kws_ref_model"))
    parser.add_argument("--board", default="mps2-an386")
    options = parser.parse_args()
    whole = whole_seconds(options.model, options.board)
    print(f"nanoexport verify {options.model.name} --board {options.board}, empty cache")
    print(f"{whole:8.2f} s  whole (budget {BUDGET_SECONDS:g} s on two cores)")
    for stage, seconds in stage_seconds(options.model, options.board).items():
        print(f"{seconds:8.2f} s  {stage}")
    return 0 if whole <= BUDGET_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
