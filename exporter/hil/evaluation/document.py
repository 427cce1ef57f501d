"""An evaluation as a document: what `nanoexport evaluate --json` prints and `-o` writes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from exporter.hil.evaluation.evaluate import Evaluation
from exporter.hil.evaluation.intervals import LEVEL, Interval

MOST_MISMATCHES = 100
"""So many are listed; all are counted, and the record has them all."""


def as_document(evaluation: Evaluation) -> dict[str, Any]:
    """All figures, as JSON-able values; samples are numbered as in the data, from 0."""
    request = evaluation.request
    firmware, test_set = request.firmware, request.test_set
    return {
        "model": firmware.program.name,
        "model_sha256": firmware.program.model_sha256,
        "build_id": firmware.build_id,
        "board": firmware.board.name,
        "dialect": firmware.settings.dialect,
        "samples": len(test_set),
        "data": test_set.how,
        "warnings": list(test_set.warnings),
        "metric": _metric(evaluation),
        "agreement": _agreement(evaluation),
        "classes": [
            asdict(c) | {"share": c.right / c.samples, "interval": _interval(c.interval)}
            for c in evaluation.classes
        ],
        "confusions": [asdict(c) for c in evaluation.confusions],
        "stack_bytes": evaluation.stack_bytes,
        "record": str(request.record),
        "run": _run(evaluation),
    }


def _metric(evaluation: Evaluation) -> dict[str, Any]:
    score = evaluation.score
    return {
        "name": score.name,
        "value": score.value,
        "interval": _interval(score.interval),
        "no_interval": score.no_interval,
        "oracle": score.oracle,
    }


def _interval(interval: Interval | None) -> dict[str, Any] | None:
    return None if interval is None else {**asdict(interval), "level": LEVEL}


def _agreement(evaluation: Evaluation) -> dict[str, Any] | None:
    """None where the oracle was left out."""
    mismatches = evaluation.mismatches
    if mismatches is None:
        return None
    samples = len(evaluation.request.test_set)
    return {
        "samples": samples,
        "bit_exact_samples": samples - len(mismatches),
        "bit_exact": not mismatches,
        "mismatches": [asdict(m) for m in mismatches[:MOST_MISMATCHES]],
    }


def _run(evaluation: Evaluation) -> dict[str, Any]:
    tally = evaluation.tally
    return {
        "samples_run": tally.run,
        "samples_reused": tally.reused,
        "seconds": round(tally.seconds, 3),
        "devices": dict(sorted(tally.by_device.items())),
        "lost": tally.lost,
    }
