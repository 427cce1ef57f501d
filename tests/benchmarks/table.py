"""The benchmark tables in Markdown: every model of ../shared/models on every emulated board.

    python -m tests.benchmarks.table [--board BOARD ...] > table.md
    python -m tests.benchmarks.table --update       (writes budgets.json anew)

Beside the figures of others in exporter/hil/baseline.json. Instructions are counted, cycles are
modelled at zero wait states, and neither is the other.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence

from exporter.hil.bench import ratio
from exporter.hil.reference import read_data
from tests.benchmarks.measure import (
    BOARDS,
    MODELS,
    VARIANTS,
    VARIANTS_BOARD,
    Measurement,
    measure,
    models_of,
    write_budgets,
)

COLUMNS = ("model", "board", "instructions", "TFLM", "ratio", "per MAC", "modelled cycles",
           "arena", "TFLM", "code", "TFLM", "weights", "flash", "static RAM", "stack")  # fmt: skip
VARIANT_COLUMNS = ("model", "settings", "instructions", "modelled cycles", "flash", "arena")
VARIANT_NAMES = {
    "size": "`--optimize size`",
    "fastest": "`--flash-price 0 --ram-for-time 0`",
    "no_ram_for_time": "`--ram-for-time 0`",
    "more_ram_for_time": "`--ram-for-time 15%`",
    "input_by_rows": "`--ram-for-time 15% --input-by-rows`",
    "all_channels": "`--without remove_constant_channels`",
}
SILICON_COLUMNS = ("core", "board", "MHz", "engine", "ic", "kws", "vww", "ad")


def row(measured: Measurement) -> list[str]:
    """A model on a board."""
    footprint, program = measured.firmware.footprint, measured.firmware.program
    ours, baseline = measured.result.instructions, measured.baseline
    return [
        measured.model,
        measured.firmware.board.name,
        number(ours),
        number(baseline.instructions),
        number(ratio(ours, baseline.instructions)),
        number(ratio(ours, program.macs)),
        number(measured.cycles),
        number(program.arena_bytes),
        number(baseline.arena_bytes),
        number(footprint.code_bytes),
        number(baseline.code_bytes),
        number(footprint.weights_bytes),
        number(footprint.flash_bytes),
        number(footprint.static_ram_bytes),
        number(measured.result.stack_bytes),
    ]


def variant_row(model: str, variant: str) -> list[str]:
    """A model with other settings than the default."""
    figures = measure(model, VARIANTS_BOARD, VARIANTS[variant]).figures
    columns = ("instructions", "modelled_cycles", "flash_bytes", "arena_bytes")
    return [model, VARIANT_NAMES[variant], *(number(figures[column]) for column in columns)]


def silicon_rows() -> list[list[str]]:
    """Published cycles of other engines on real chips."""
    return [
        [
            figure["core"],
            figure["board"],
            f"{figure['clock_hz'] / 1e6:g}",
            figure["engine"],
            *(number(figure["cycles"][task]) for task in SILICON_COLUMNS[4:]),
        ]
        for figure in read_data()["silicon"]["figures"]
    ]


def number(value: float | None) -> str:
    """A cell: integers grouped by thousands, ratios with two digits."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], texts: int) -> None:
    """A table, row by row as they are measured; the first `texts` columns are aligned left."""
    print(f"\n{title}\n")
    print(f"| {' | '.join(columns)} |")
    print("|" + "---|" * texts + "---:|" * (len(columns) - texts))
    for cells in rows:
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print the tables, or write the budgets."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--board", action="append", choices=BOARDS)
    parser.add_argument("--update", action="store_true", help="write budgets.json anew")
    options = parser.parse_args()
    if options.update:
        write_budgets(lambda what: print(what, file=sys.stderr))
        return
    boards = options.board or BOARDS
    show(
        f"Whole inference, --optimize speed. TFLM: {read_data()['baseline']['source']}.",
        COLUMNS,
        (row(measure(model, board)) for board in boards for model in MODELS),
        texts=2,
    )
    if VARIANTS_BOARD in boards:
        title = f"Other settings on {VARIANTS_BOARD}; flash is code and packed weights."
        rows = (variant_row(model, variant) for variant in VARIANTS for model in models_of(variant))
        show(title, VARIANT_COLUMNS, rows, texts=2)
    silicon = read_data()["silicon"]
    title = f"Silicon, cycles of other engines, for scale. {silicon['source']}."
    show(title, SILICON_COLUMNS, silicon_rows(), texts=4)


if __name__ == "__main__":
    main()
