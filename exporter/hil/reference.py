"""Figures of others for the models that have some: what our own are shown beside.

`baseline.json` holds them with their provenance. A model is known by the SHA-256 of its flatbuffer,
never by its name: a model that was trained anew, or renamed, is another model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from exporter.board import Board

DATA = Path(__file__).with_name("baseline.json")


@dataclass(frozen=True)
class Baseline:
    """TensorFlow Lite Micro with CMSIS-NN. None: not measured for this core."""

    engine: str
    instructions: int | None
    arena_bytes: int
    static_ram_bytes: int
    code_bytes: int | None
    """Without the model."""


@dataclass(frozen=True)
class Silicon:
    """Published cycles of one inference, of another engine, on a real chip."""

    core: str
    board: str
    clock_hz: int
    engine: str
    cycles: int

    def describe(self) -> str:
        """Where and by whom: "Cortex-M4 NUCLEO-L4R5ZI at 120 MHz, ..."."""
        core = self.core.title().replace("Plus", "+")
        return f"{core} {self.board} at {self.clock_hz / 1e6:g} MHz, {self.engine}"


@cache
def read_data() -> dict[str, Any]:
    """The whole file."""
    data: dict[str, Any] = json.loads(DATA.read_text(encoding="utf-8"))
    return data


def baseline_of(model_sha256: str, board: Board, optimize: str) -> Baseline | None:
    """The baseline's figures of a model, those for the core of `board`; None: it is not known."""
    model = read_data()["models"].get(model_sha256)
    if model is None:
        return None
    codes = model["code_bytes"] if board.platform == "cortex_m" else {}
    return Baseline(
        engine=read_data()["baseline"]["engine"],
        instructions=model["instructions"].get(board.core),
        arena_bytes=model["arena_bytes"],
        static_ram_bytes=model["static_ram_bytes"],
        code_bytes=codes.get(optimize),
    )


def silicon_of(model_sha256: str, core: str) -> tuple[Silicon, ...]:
    """Published figures of a model on chips with this core."""
    model = read_data()["models"].get(model_sha256)
    return tuple(
        Silicon(
            core=figure["core"],
            board=figure["board"],
            clock_hz=figure["clock_hz"],
            engine=figure["engine"],
            cycles=figure["cycles"][model["task"]],
        )
        for figure in read_data()["silicon"]["figures"]
        if model is not None and figure["core"] == core
    )
