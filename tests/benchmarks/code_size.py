"""Fits the estimate of code to what is built: python -m tests.benchmarks.code_size.

Prints the table `COSTS` of `exporter/render/code_estimate.py`, and how far off it is.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from exporter import process
from exporter.board import Board, load_board
from exporter.build.compile import BUILD_SECONDS
from exporter.build.firmware import Settings, compile_for
from exporter.build.size import measure_footprint
from exporter.plan.program import Program
from exporter.render.code_estimate import Costs, Counts, count, estimate
from exporter.render.project import render_project, write_project
from tests.benchmarks import networks
from tests.benchmarks.measure import MODELS, model_path
from tests.plan.random_graphs import random_graph, random_stack

BOARDS = ("mps2-an386", "mps3-an547", "mps2-an385", "riscv32-virt")
NETWORKS = ("mobilenet_v2", "temporal", "five_by_five", "widths", "first_layers")
RANDOM = {"graph": random_graph, "stack": random_stack}
RANDOM_SEEDS = range(4)

WEIGHT_OF_NETWORKS, WEIGHT_OF_RANDOM = 1.0, 0.5
SMALLEST_BYTES = 800
"""Errors of smaller models count as if these had so many bytes."""
ROUNDS = 40

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """A model as it was built: what was counted, and the bytes of its code."""

    name: str
    counts: Counts
    code_bytes: int

    @property
    def is_random(self) -> bool:
        return self.name.startswith(tuple(RANDOM))


def models(folder: Path, seeds: Sequence[int] = RANDOM_SEEDS) -> Iterator[tuple[str, Path]]:
    """The four benchmark models, the other networks, and random graphs, as files."""
    for name in MODELS:
        yield name, model_path(name)
    makers = {name: getattr(networks, name) for name in NETWORKS}
    for stem, make in RANDOM.items():
        makers |= {f"{stem}{seed}": (lambda m=make, s=seed: m(s)) for seed in seeds}
    for name, make in makers.items():
        path = folder / f"{name}.tflite"
        path.write_bytes(make())
        yield name, path


def sample(name: str, program: Program, board: Board, settings: Settings, folder: Path) -> Sample:
    """Builds the model alone, as it is measured: of the firmware around it nothing is needed."""
    toolchain = settings.toolchain or board.default_toolchain
    project = render_project(program, board, app="hil", toolchain=toolchain)
    source = project.files["model/model.c"]
    home = folder / f"{name}-{board.name}-{toolchain}-{settings.optimize}"
    write_project(project, home)
    for argv in (
        ["cmake", "-G", "Ninja", "-S", ".", "-B", "build"],
        ["cmake", "--build", "build", "--target", "footprint"],
    ):
        process.run(argv, cwd=home, timeout_seconds=BUILD_SECONDS)
    counts = count(source, board.platform, board.instruction_set)
    return Sample(name, counts, measure_footprint(home / "build" / "footprint.elf").code_bytes)


def fit(samples: Sequence[Sample]) -> Costs:
    """Costs, none below zero, whose largest error over the networks is small."""
    counts = np.array([astuple(s.counts) for s in samples], float)
    features, tables = counts[:, :-1], counts[:, -1]
    code = np.array([s.code_bytes for s in samples], float)
    scale = 1 / np.maximum(code, SMALLEST_BYTES)
    random = np.array([s.is_random for s in samples])
    weight = np.where(random, WEIGHT_OF_RANDOM, WEIGHT_OF_NETWORKS)
    best, least = np.zeros(features.shape[1]), np.inf
    for _ in range(ROUNDS):
        factor = weight * scale
        costs = _least_squares(features * factor[:, None], (code - tables) * factor)
        error = np.abs(features @ costs + tables - code) * scale
        if error[~random].max() < least:
            best, least = costs, error[~random].max()
        weight = np.where(random, weight, weight * (0.5 + error / error[~random].max() / 2))
    return Costs(*(round(float(cost), 2) for cost in best))


def _least_squares(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Least squares with no part below zero: the best over all choices of parts that are zero."""
    best, least = np.zeros(a.shape[1]), np.inf
    for kept in itertools.product((True, False), repeat=a.shape[1]):
        solution = np.zeros(a.shape[1])
        solution[list(kept)] = np.linalg.lstsq(a[:, list(kept)], b, rcond=None)[0]
        residual = float(np.sum((a @ solution - b) ** 2))
        if (solution >= 0).all() and residual < least:
            best, least = solution, residual
    return best


def _fit_board(board: Board, toolchain: str, optimize: str, folder: Path) -> None:
    settings = Settings(toolchain=toolchain, optimize=optimize)
    samples = [
        sample(name, compile_for(path, board, settings).program, board, settings, folder)
        for name, path in models(folder)
    ]
    costs = fit(samples)
    key = (board.platform, board.instruction_set, toolchain, optimize)
    print(f"    {key}: Costs{astuple(costs)},".replace("'", '"'))
    errors = [(100 * (estimate(costs, s.counts) / s.code_bytes - 1), s.name) for s in samples]
    print("    # " + ", ".join(f"{name} {error:+.0f}%" for error, name in errors))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for toolchain, optimize in itertools.product(("gcc", "clang"), ("speed", "size")):
            for name in BOARDS:
                _fit_board(load_board(name), toolchain, optimize, Path(folder))


if __name__ == "__main__":
    main()
