"""The detection rate, in words, in the document, and as an exit code."""

from __future__ import annotations

import pytest

from exporter.errors import CheckFailed
from exporter.hil.controls.base import Outcome, Verdict
from exporter.hil.controls.report import ControlReport, SeededFault


def fault(verdict: Verdict, kind: str = "flipped weight bit", redrawn: int = 0) -> SeededFault:
    reasons = {"changes no output": redrawn} if redrawn else {}
    return SeededFault(kind, 0, Outcome(verdict, "bit 3", "why", reasons))


def test_all_caught() -> None:
    report = ControlReport(7, (fault("caught"), fault("caught", redrawn=2)))
    assert report.rate == 1 and report.redrawn == 2
    assert report.lines() == ["2 of 2 seeded faults caught (100 %), 2 redrawn"]
    report.check("board")
    document = report.as_dict()
    assert (document["run"], document["seed"], document["detection_rate"]) == (True, 7, 1)


def test_one_missed_fails_the_run() -> None:
    report = ControlReport(0, (fault("caught"),) * 199 + (fault("missed", "wrong board"),))
    assert report.lines() == [
        "199 of 200 seeded faults caught (99.5 %)", "missed: wrong board (bit 3): why",
    ]  # fmt: skip
    with pytest.raises(CheckFailed, match="does not notice") as raised:
        report.check("board")
    assert raised.value.exit_code == 1 and "wrong board" in str(raised.value.value)


def test_what_does_not_apply_counts_for_nothing() -> None:
    report = ControlReport(0, (fault("caught"), *[fault("not applicable", "permuted outputs")] * 3))
    assert (report.seeded, len(report.not_applicable), report.rate) == (1, 3, 1)
    assert report.lines()[1:] == ["does not apply: permuted outputs: why"]
    report.check("board")


def test_a_run_without_any_fault_proves_nothing() -> None:
    report = ControlReport(0, (fault("not applicable"),))
    assert report.rate is None
    with pytest.raises(CheckFailed, match="does not notice"):
        report.check("board")


def test_no_controls_are_recorded() -> None:
    report = ControlReport(not_run="by --no-controls")
    assert report.lines() == ["none, by --no-controls"]
    report.check("board")
    document = report.as_dict()
    assert document["run"] is False and document["not_run"] == "by --no-controls"
    assert document["detection_rate"] is None and document["faults"] == []
