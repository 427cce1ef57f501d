"""What the benchmarks share: the models, the measurements, the baseline and the budgets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from exporter.board import all_boards, load_board
from exporter.build.firmware import ModelFirmware, Settings, compile_for, firmware_for
from exporter.hil.bench import Benchmark, bench_on_board

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
SHARED_MODELS = REPOSITORY.parent / "shared" / "models"
MODELS = ("ad01_int8", "kws_ref_model", "pretrainedResnet_quant", "vww_96_int8")
BUDGETS = HERE / "budgets.json"
BASELINE = HERE / "baseline.json"

BUDGETED_BOARDS = ("mps2-an386", "riscv32-virt")
INSTRUCTION_TOLERANCE = 0.01
"""Upward: what a change of compiler or phase of a timer may add to a budget."""


def model_path(name: str) -> Path:
    """The flatbuffer of a benchmark model."""
    return SHARED_MODELS / f"{name}.tflite"


def emulated_boards() -> list[str]:
    """Names of the boards that count instructions."""
    return [board.name for board in all_boards() if board.evidence == "emulated"]


def measure(model: str, board: str) -> tuple[ModelFirmware, Benchmark]:
    """One benchmark with the default settings."""
    firmware = firmware_for(model_path(model), load_board(board), Settings())
    return firmware, bench_on_board(firmware)


def arena_bytes(model: str, board: str) -> int:
    """The arena that is planned, without building anything."""
    return compile_for(model_path(model), load_board(board), Settings()).program.arena_bytes


def read_json(path: Path) -> dict[str, Any]:
    """A data file of this folder."""
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def measured_budgets() -> dict[str, Any]:
    """The budgets as this checkout would set them."""
    return {
        "update": "python -m tests.benchmarks.table --update",
        "arena_bytes": {
            board: {model: arena_bytes(model, board) for model in MODELS}
            for board in BUDGETED_BOARDS
        },
        "instructions": {
            board: {model: measure(model, board)[1].instructions for model in MODELS}
            for board in BUDGETED_BOARDS
        },
    }
