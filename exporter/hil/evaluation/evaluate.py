"""One evaluation, from a test set and a firmware to all of its figures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exporter.arrays import Array
from exporter.build.firmware import ModelFirmware, cache_folder
from exporter.errors import CheckFailed
from exporter.hil.evaluation.data import TestSet
from exporter.hil.evaluation.devices import Seat
from exporter.hil.evaluation.figures import (
    ClassFigures,
    Confusion,
    Mismatch,
    Score,
    class_figures,
    confusions,
    mismatches,
    real_outputs,
    score,
)
from exporter.hil.evaluation.record import Kept, Output, Record
from exporter.hil.evaluation.run import Job, Progress, Tally, Told, run
from exporter.metrics import METRICS, Metric
from exporter.oracle.oracle import Oracle

MOST_CONFUSIONS = 10
RESAMPLES = 1000


@dataclass(frozen=True)
class Request:
    """What to evaluate, on what, by what. `record` is the file that can be resumed.

    `vectors` are the samples of `test_set` quantised for the model; `resamples` those of the
    bootstrap; `oracle` False leaves the host reference out.
    """

    firmware: ModelFirmware
    test_set: TestSet
    vectors: Sequence[Sequence[Array]]
    metric: Metric
    seats: Sequence[Seat]
    record: Path
    fresh: bool = False
    oracle: bool = True
    resamples: int = RESAMPLES


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All figures of a test set on boards. `mismatches` is None where the oracle was left out."""

    request: Request
    tally: Tally
    score: Score
    classes: list[ClassFigures]
    confusions: list[Confusion]
    mismatches: list[Mismatch] | None
    stack_bytes: int

    def check(self) -> None:
        """Raises CheckFailed where a board's outputs are not the oracle's."""
        if not self.mismatches:
            return
        firmware = self.request.firmware
        raise CheckFailed(
            f"{firmware.board.name} does not compute what the flatbuffer says: "
            f"{len(self.mismatches)} of {len(self.request.test_set)} samples differ",
            value="; ".join(mismatch.describe() for mismatch in self.mismatches[:3]),
            allowed=f"equal outputs in the dialect '{firmware.settings.dialect}'",
            next_step="try --board host: if it differs too, report the model; if not, the "
            "compiler or the board. --fresh runs all samples anew",
        )


def identity(firmware: ModelFirmware, vectors: Sequence[Sequence[Array]]) -> dict[str, object]:
    """What a record's results are of: the model, its build, and the quantised inputs.

    Labels and metric are not in it, since outputs do not depend on them.
    """
    digest = hashlib.sha256()
    for vector in vectors:
        for values in vector:
            digest.update(np.ascontiguousarray(values).tobytes())
    return {
        "model_sha256": firmware.program.model_sha256,
        "build_id": firmware.build_id,
        "board": firmware.board.name,
        "dialect": firmware.settings.dialect,
        "samples": len(vectors),
        "inputs_sha256": digest.hexdigest(),
    }


def default_record(of: dict[str, object], model: Path) -> Path:
    """In the cache, a file of its own for everything that results depend on."""
    key = hashlib.sha256(repr(sorted(of.items())).encode()).hexdigest()
    return cache_folder() / "evaluations" / f"{model.stem}-{of['board']}-{key[:16]}.jsonl"


def evaluate_on_boards(
    request: Request,
    *,
    progress: Progress,
    told: Told,
    opened: Callable[[Record], None] = lambda record: None,
) -> Evaluation:
    """Run what the record lacks, and compute the figures of all of it.

    `opened` gets the record before the first sample runs. What a failure interrupts is kept there.

    Raises:
        LinkFailed, MissingTool, CheckFailed: as `run`. BadInput: a record that cannot be used.
    """
    firmware = request.firmware
    program = firmware.program
    outputs = [Output(port.tensor.shape) for port in program.outputs]
    with ExitStack() as stack:
        oracle = None
        if request.oracle:
            model = firmware.compilation.model
            oracle = Oracle(model, firmware.settings.dialect, name=program.name)
            stack.enter_context(oracle)
        of = identity(firmware, request.vectors)
        record = stack.enter_context(Record(request.record, of, outputs, fresh=request.fresh))
        opened(record)
        job = Job(firmware, request.vectors, request.test_set.numbers)
        tally = run(job, request.seats, oracle, record, progress=progress, told=told)
        return _figures(request, record.kept, tally)


def _figures(request: Request, kept: Kept, tally: Tally) -> Evaluation:
    tensors = [port.tensor for port in request.firmware.program.outputs]
    test_set, metric = request.test_set, request.metric
    outputs = real_outputs(kept.board, tensors[0])
    references = real_outputs(kept.oracle, tensors[0]) if request.oracle else None
    by_class = metric is METRICS["top1"]
    return Evaluation(
        request=request,
        tally=tally,
        score=score(metric, outputs, references, test_set.y, request.resamples),
        classes=class_figures(outputs, test_set) if by_class else [],
        confusions=confusions(outputs, test_set, MOST_CONFUSIONS) if by_class else [],
        mismatches=mismatches(kept.board, kept.oracle, tensors, test_set.numbers)
        if request.oracle
        else None,
        stack_bytes=max(result.stack_bytes for result in kept.board.values()),
    )
