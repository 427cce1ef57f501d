"""The options of the pytest plugin, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.build.firmware import Settings
from exporter.errors import BadInput
from exporter.hil.pool import Place, read_pool
from exporter.hil.session import EMULATOR

WAIT_SECONDS = 600.0


@dataclass(frozen=True)
class RunOptions:
    """One run: its boards in order, the places where they are, the models, the settings."""

    boards: tuple[str, ...]
    places: tuple[Place, ...]
    models: tuple[Path, ...]
    settings: Settings
    bundles: Path
    json: Path | None
    seed: int
    wait_seconds: float
    controls: bool


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("nanoexport", "hardware in the loop")
    group.addoption(
        "--nano-board", metavar="NAME[=PORT]", action="append", default=[],
        help="board to run on, as 'nanoexport boards' lists; it is started unless PORT says where "
        "one is that carries the firmware. Repeatable.",
    )  # fmt: skip
    group.addoption(
        "--nano-model", metavar="FILE", action="append", default=[],
        help="flatbuffer to build the firmware from; repeatable",
    )  # fmt: skip
    group.addoption(
        "--nano-pool", metavar="FILE", help="places with boards: docs/testing.md shows the form"
    )
    group.addoption(
        "--nano-wait", metavar="SECONDS", type=float, default=WAIT_SECONDS,
        help="how long a test waits for a free place (default: %(default)g)",
    )  # fmt: skip
    group.addoption(
        "--nano-toolchain", choices=("gcc", "clang"), help="compiler; by default the board's"
    )
    group.addoption(
        "--nano-dialect",
        choices=("tflite", "litert"),
        default=Settings().dialect,
        help="numeric dialect: whose bits the board must reproduce (default: %(default)s)",
    )
    group.addoption(
        "--nano-seed",
        metavar="N",
        type=int,
        default=0,
        help="seed of the vectors of nano_verify and of the seeded faults (default: 0)",
    )
    group.addoption(
        "--nano-bundles", metavar="DIR", default="nano-bundles",
        help="folder for what failed tests leave (default: %(default)s)",
    )  # fmt: skip
    group.addoption(
        "--nano-no-controls", action="store_true",
        help="seed no faults to prove that the run would notice them; the reports say so",
    )  # fmt: skip
    group.addoption("--nano-json", metavar="FILE", help="write a report of the run as JSON")


def read_options(config: pytest.Config) -> RunOptions:
    """Raises BadInput: an unknown board, a port without a name, a wrong pool file, a number."""
    folder = config.invocation_params.dir
    named = [_named(text) for text in config.getoption("--nano-board")]
    pool = config.getoption("--nano-pool")
    listed = read_pool(folder / pool) if pool else []
    boards = tuple(dict.fromkeys(place.board for place in named or listed))
    report = config.getoption("--nano-json")
    seed, wait_seconds = config.getoption("--nano-seed"), config.getoption("--nano-wait")
    if seed < 0:
        raise BadInput("the seed is negative", value=f"--nano-seed {seed}", allowed="0 or more")
    if not wait_seconds >= 0:  # nor is it not a number, for which a test would wait for ever
        raise BadInput("no time to wait", value=f"--nano-wait {wait_seconds}", allowed="0 or more")
    return RunOptions(
        boards=boards,
        places=_places(named, listed),
        models=tuple(folder / model for model in config.getoption("--nano-model")),
        settings=Settings(
            dialect=config.getoption("--nano-dialect"),
            toolchain=config.getoption("--nano-toolchain"),
        ),
        bundles=folder / config.getoption("--nano-bundles"),
        json=folder / report if report else None,
        seed=seed,
        wait_seconds=wait_seconds,
        controls=not config.getoption("--nano-no-controls"),
    )


def _named(text: str) -> Place:
    """NAME or NAME=PORT."""
    board, equals, port = text.partition("=")
    name = load_board(board).name
    if equals and not port:
        raise BadInput("the port is missing", value=f"--nano-board {text}", allowed="NAME[=PORT]")
    return Place.named(name, None if port in ("", EMULATOR) else port)


def _places(named: Sequence[Place], listed: Sequence[Place]) -> tuple[Place, ...]:
    """A board named without a port is where the pool has it, and is started where it has none."""
    in_pool = {place.board for place in listed}
    kept = [p for p in named if p.port is not None or p.board not in in_pool]
    return tuple(dict.fromkeys([*kept, *listed]))
