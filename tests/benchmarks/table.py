"""The benchmark table in Markdown: every model of ../shared/models on every emulated board.

    python -m tests.benchmarks.table [--board BOARD ...] > table.md
    python -m tests.benchmarks.table --update       (writes budgets.json anew)

Beside the figures of TensorFlow Lite Micro in `baseline.json`. Instructions are not cycles.
"""

from __future__ import annotations

import argparse
import json

from tests.benchmarks.measure import (
    BASELINE,
    BUDGETS,
    MODELS,
    emulated_boards,
    measure,
    measured_budgets,
    read_json,
)

BASELINE_CORE = {"mps2-an386": "m4", "mps3-an547": "m55", "riscv32-virt": "rv32imac"}
COLUMNS = ("model", "board", "instructions", "baseline", "ratio", "per MAC", "arena", "baseline",
           "code", "baseline", "weights", "static RAM", "stack")  # fmt: skip


def rows(board: str) -> list[list[str]]:
    """One row for each model."""
    baseline = read_json(BASELINE)["models"]
    return [_row(model, board, baseline[model]) for model in MODELS]


def _row(model: str, board: str, baseline: dict[str, dict[str, int]]) -> list[str]:
    firmware, result = measure(model, board)
    footprint, program = firmware.footprint, firmware.program
    core = BASELINE_CORE.get(board)
    theirs = baseline["instructions"][core] if core else None
    ours = result.instructions
    on_arm = firmware.board.platform == "cortex_m"
    return [
        model,
        board,
        _number(ours),
        _number(theirs),
        f"{ours / theirs:.2f}" if ours and theirs else "",
        f"{ours / program.macs:.2f}" if ours else "",
        _number(program.arena_bytes),
        str(baseline["arena_bytes"]),
        _number(footprint.code_bytes),
        _number(baseline["code_bytes"]["speed"]) if on_arm else "",
        _number(footprint.weights_bytes),
        _number(footprint.static_ram_bytes),
        _number(result.stack_bytes),
    ]


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _markdown(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table, or write the budgets."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--board", action="append", choices=emulated_boards())
    parser.add_argument("--update", action="store_true", help="write budgets.json anew")
    options = parser.parse_args()
    if options.update:
        BUDGETS.write_text(json.dumps(measured_budgets(), indent=2) + "\n", encoding="utf-8")
        return
    print(f"Baseline: {read_json(BASELINE)['source']}.\n")
    print(_markdown(list(COLUMNS)))
    print("|---|---|" + "---:|" * (len(COLUMNS) - 2))
    for board in options.board or emulated_boards():
        for cells in rows(board):
            print(_markdown(cells), flush=True)


if __name__ == "__main__":
    main()
