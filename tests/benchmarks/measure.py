"""What the benchmarks share: the models, the measurements, the budgets."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exporter.board import load_board
from exporter.build.firmware import ModelFirmware, Settings, compile_for, firmware_for
from exporter.hil.bench import Benchmark, bench_on_board
from exporter.hil.cycles import has_model, model_cycles
from exporter.hil.reference import Baseline, baseline_of

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
SHARED_MODELS = REPOSITORY.parent / "shared" / "models"
MODELS = ("ad01_int8", "kws_ref_model", "pretrainedResnet_quant", "vww_96_int8")
BUDGETS = HERE / "budgets.json"

BOARDS = (
    "mps2-an385",
    "mps2-an386",
    "mps2-an500",
    "mps2-an505",
    "mps3-an547",
    "riscv32-virt",
)
"""One of each core that the kernels know, with memory for every model."""
VARIANTS_BOARD = "mps2-an386"
"""Where other settings than the default are held to a budget, too."""
VARIANTS: dict[str, Settings] = {
    "size": Settings(optimize="size"),
    "fastest": Settings(flash_price=0, ram_for_time=0),
    "no_ram_for_time": Settings(ram_for_time=0),
    "more_ram_for_time": Settings(ram_for_time=15),
    "input_by_rows": Settings(ram_for_time=15, input_by_rows=True),
    "all_channels": Settings(without_passes=("remove_constant_channels",)),
}
WITHOUT_ROWS = ("ad01_int8",)
"""Their input is no image."""
TOLERANCE = 0.01
"""Upward: what a change of compiler or phase of a timer may add to a budget."""

Figures = dict[str, int]


@dataclass(frozen=True, eq=False)
class Measurement:
    """One model on one board."""

    model: str
    firmware: ModelFirmware
    result: Benchmark

    @property
    def cycles(self) -> int | None:
        """Modelled; None where the core has no model."""
        return self.result.cycles.cycles if self.result.cycles else None

    @property
    def baseline(self) -> Baseline:
        """The baseline's figures for the same model."""
        firmware = self.firmware
        found = baseline_of(
            firmware.program.model_sha256, firmware.board, firmware.settings.optimize
        )
        assert found is not None, f"{self.model} is not the model that the baseline was measured on"
        return found

    @property
    def figures(self) -> Figures:
        """What budgets hold."""
        assert self.result.instructions is not None
        cycles = {} if self.cycles is None else {"modelled_cycles": self.cycles}
        return {
            "instructions": self.result.instructions,
            **cycles,
            "arena_bytes": self.firmware.program.arena_bytes,
            "flash_bytes": self.firmware.footprint.flash_bytes,
        }


def models_of(variant: str) -> tuple[str, ...]:
    """The models that can be compiled so."""
    by_rows = VARIANTS[variant].input_by_rows
    return tuple(model for model in MODELS if not by_rows or model not in WITHOUT_ROWS)


def model_path(name: str) -> Path:
    """The flatbuffer of a benchmark model."""
    return SHARED_MODELS / f"{name}.tflite"


def measure(model: str, board: str, settings: Settings | None = None) -> Measurement:
    """One benchmark. Cycles where the core has a model: a missing compiler is an error here."""
    firmware = firmware_for(model_path(model), load_board(board), settings or Settings())
    result = bench_on_board(firmware)
    if has_model(firmware.board):
        result = replace(result, cycles=model_cycles(firmware))
    return Measurement(model, firmware, result)


def arena_bytes(model: str, board: str) -> int:
    """The arena that is planned, without building anything."""
    return compile_for(model_path(model), load_board(board), Settings()).program.arena_bytes


def read_budgets() -> dict[str, Any]:
    """The committed budgets: by board and model, and those of VARIANTS by variant and model."""
    data: dict[str, Any] = json.loads(BUDGETS.read_text(encoding="utf-8"))
    return data


def write_budgets(progress: Callable[[str], None]) -> None:
    """The budgets as this checkout would set them; the file is replaced when all are measured."""

    def figures(model: str, board: str, variant: str = "") -> Figures:
        progress(f"{model} on {board} {variant}")
        return measure(model, board, VARIANTS.get(variant)).figures

    budgets = {
        "update": "python -m tests.benchmarks.table --update",
        "boards": {board: {model: figures(model, board) for model in MODELS} for board in BOARDS},
        "variants": {
            variant: {
                model: figures(model, VARIANTS_BOARD, variant) for model in models_of(variant)
            }
            for variant in VARIANTS
        },
    }
    BUDGETS.write_text(json.dumps(budgets, indent=2) + "\n", encoding="utf-8")
