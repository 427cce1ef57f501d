"""report.json: every figure of a conversion, for programs.

The keys are documented in docs/convert-report.md; REPORT_VERSION grows when one changes its
meaning or goes away.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from exporter.convert.convert import ConvertReport
from exporter.convert.measures import as_fields, worst_first
from exporter.convert.report.findings import findings
from exporter.convert.report.judgement import Judgement
from exporter.convert.search import Found, described

REPORT_VERSION = 1


def report_document(conversion: ConvertReport, judgement: Judgement) -> dict[str, Any]:
    """The document; but for `seconds`, the same files give the same one."""
    comparison, candidate = judgement.comparison, judgement.candidate
    told = conversion.as_dict()
    del told["seconds"]
    return {
        "report_version": REPORT_VERSION,
        "conversion": told,
        "settings": asdict(candidate.settings),
        "overrides": {name: dict(way) for name, way in candidate.overrides.items()},
        "sizes": {
            "float_flatbuffer_bytes": comparison.float_bytes,
            "float_constants_bytes": comparison.constants[0],
            "flatbuffer_bytes": conversion.bytes,
            "constants_bytes": comparison.constants[1],
        },
        **judgement.summary(),
        "findings": findings(judgement),
        "tensors": [as_fields(t) for t in comparison.tensors],
        "worst_tensors": [t.name for t in worst_first(comparison.tensors)],
        "weights": [as_fields(w) for w in comparison.weights],
        "unmatched": list(comparison.unmatched),
        "confusion": _confusion(judgement),
        "search": None if judgement.found is None else search_document(judgement.found),
        "seconds": dict(judgement.seconds),
    }


def search_document(found: Found) -> dict[str, Any]:
    """The table of a search, and what it chose."""
    return {
        "limit_percent": found.limit,
        "passed": found.passed,
        "chosen": described(found.candidate),
        "settings": asdict(found.candidate.settings),
        "overrides": {name: dict(way) for name, way in found.candidate.overrides.items()},
        "tries": [asdict(t) for t in found.tries],
    }


def _confusion(judgement: Judgement) -> dict[str, Any] | None:
    if judgement.confusions is None:
        return None
    names = judgement.evaluation.class_names
    before, after = judgement.confusions
    return {
        "class_names": None if names is None else list(names),
        "float": before.tolist(),
        "converted": after.tolist(),
    }
