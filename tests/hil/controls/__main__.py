"""Many seeded faults on several boards, and how many of them were caught.

    python -m tests.hil.controls --faults 200 --boards host,mps2-an386,riscv32-virt

Each board runs kws, ad and ResNet-8 of ../shared/models, and digits, converted anew. Every kind of
fault is seeded equally often; each pair of board and model has a seed of its own. Exit code 1 where
a fault was missed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from exporter.board import load_board
from exporter.build.firmware import Settings, firmware_for
from exporter.console import Output
from exporter.hil.controls import CONTROLS, ControlReport, run_controls
from tests.hil.support import DIGITS, SHARED_MODELS, nanoexport

BOARDS = "host,mps2-an386,riscv32-virt"
MODELS = ("kws_ref_model", "ad01_int8", "pretrainedResnet_quant")


@dataclass(frozen=True)
class Swept:
    """The controls of one model on one board."""

    board: str
    model: str
    report: ControlReport


def digits_model(folder: Path) -> Path:
    """The flatbuffer of the example, converted into `folder`."""
    target = folder / "digits.tflite"
    data = DIGITS / "calibration.npz"
    run = nanoexport("convert", DIGITS / "digits.keras", "--data", data, "-o", target)
    assert run.code == 0, run.err
    return target


def shares(faults: int, pairs: int) -> list[int]:
    """How often each pair of board and model seeds each kind, so that `faults` or more result."""
    rounds = -(-faults // len(CONTROLS))
    return [rounds // pairs + (index < rounds % pairs) for index in range(pairs)]


def sweep(models: Sequence[Path], boards: Sequence[str], faults: int, seed: int) -> Iterator[Swept]:
    """Seed the faults, model after model."""
    pairs = list(itertools.product(models, boards))
    counts = shares(faults, len(pairs))
    for index, ((model, board), count) in enumerate(zip(pairs, counts, strict=True)):
        if count:
            firmware = firmware_for(model, load_board(board), Settings())
            report = run_controls(firmware, count=count, seed=seed + index)
            yield Swept(board, model.stem, report)


def table(tested: Sequence[Swept], boards: Sequence[str]) -> list[tuple[object, ...]]:
    """A row for each kind of fault, with caught of seeded on each board."""
    faults = [(one.board, fault) for one in tested for fault in one.report.faults]
    rows = []
    for kind in (*(control.name for control in CONTROLS), None):
        chosen = [(b, f.outcome) for b, f in faults if kind in (None, f.kind)]
        seeded = Counter(b for b, outcome in chosen if outcome.verdict != "not applicable")
        caught = Counter(b for b, outcome in chosen if outcome.verdict == "caught")
        cells = [f"{caught[b]} of {seeded[b]}" for b in boards]
        redrawn = sum(sum(outcome.redrawn.values()) for _, outcome in chosen)
        rest = len(chosen) - seeded.total()
        whole = f"{caught.total()} of {seeded.total()}"
        rows.append((kind or "all", *cells, whole, redrawn, rest))
    return rows


def main() -> int:
    """Print the table; with --json, write every fault to a file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--boards", default=BOARDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    boards, start, tested = options.boards.split(","), time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        models = [SHARED_MODELS / f"{name}.tflite" for name in MODELS]
        models.append(digits_model(Path(folder)))
        for one in sweep(models, boards, options.faults, options.seed):
            print(f"{one.board}, {one.model}: {'; '.join(one.report.lines())}", flush=True)
            tested.append(one)
    columns = ("fault", *boards, "all", "redrawn", "does not apply")
    Output().table("caught of seeded", columns, table(tested, boards))
    reasons = sum((Counter(f.outcome.redrawn) for t in tested for f in t.report.faults), Counter())
    print(f"redrawn: {dict(reasons)}; {time.monotonic() - start:.0f} s")
    if options.json:
        entries = [{"board": t.board, "model": t.model, **t.report.as_dict()} for t in tested]
        options.json.write_text(json.dumps(entries, indent=1), encoding="utf-8")
    return 1 if any(one.report.missed for one in tested) else 0


if __name__ == "__main__":
    sys.exit(main())
