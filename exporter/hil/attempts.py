"""A test on a device is run to its end: again at another place where its device was lost.

A device is lost when its connection breaks: the cable was pulled, the emulator was killed. That
says nothing about the test, which runs once more, from the beginning, wherever there is a place. A
second loss is an error, and so is a test that passes although it lost its device.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

from exporter.errors import NanoexportError
from exporter.hil.bundle import write_bundle
from exporter.hil.recording import Recording

RECORDING = pytest.StashKey[Recording]()
"""On a test: its present attempt."""
INTERRUPTED = pytest.StashKey[dict[str, Path]]()
"""On the configuration: bundles of tests that did not come to their end, by test."""

MARKER = "nano"


def run_test(item: pytest.Item, nextitem: pytest.Item | None, bundles: Path) -> None:
    """Run `item`, twice at most, and report the last attempt."""
    first: Recording | None = None
    properties = list(item.user_properties)
    try:
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        if _recording(item, lost=True) and _may_be_repeated(item):
            first = _recording(item)
            item.user_properties[:] = properties
            reports = runtestprotocol(item, log=False, nextitem=nextitem)
    except BaseException:  # Ctrl-C, pytest.exit: there will be no report
        _keep_interrupted(item, bundles)
        raise
    for report in _completed(item, reports, _repetition(first, _recording(item)), bundles):
        item.ihook.pytest_runtest_logreport(report=report)


def _recording(item: pytest.Item, *, lost: bool = False) -> Recording | None:
    """Of the last attempt that had a place; with `lost`, only where it lost its device."""
    recording = item.stash.get(RECORDING, None)
    return recording if recording is None or recording.lost or not lost else None


def _may_be_repeated(item: pytest.Item) -> bool:
    marker = item.get_closest_marker(MARKER)
    return bool(marker.kwargs.get("repeat", True)) if marker else True


def _repetition(first: Recording | None, last: Recording | None) -> str | None:
    """What became of the second attempt, None where there was none."""
    if first is None or last is None:
        return None
    done = f"ran again on {last.place.name}" if last is not first else "could not run again"
    return f"{done} after {first.place.name} was lost: {first.lost}"


def _completed(
    item: pytest.Item, reports: list[pytest.TestReport], repetition: str | None, bundles: Path
) -> list[pytest.TestReport]:
    """The reports to log: with the loss, the repetition, and the bundle of a failure."""
    recording = _recording(item, lost=True)
    if recording is not None:
        reports = _as_errors(reports, str(recording.lost))
    notes = [repetition] if repetition else []
    if repetition:
        reports[-1].user_properties.append(("nano_repeated", repetition))
    failed = [report for report in reports if report.failed]
    if failed:
        notes += _bundle_notes(item, reports, repetition, bundles)
        if notes:
            failed[0].sections.append(("nanoexport", "\n".join(notes)))
    return reports


def _as_errors(reports: list[pytest.TestReport], lost: str) -> list[pytest.TestReport]:
    """The outcome of a test whose device was lost: an error, never a pass and never a failure."""
    kept = [r for r in reports if r.when != "setup" or r.failed] if len(reports) > 2 else reports
    first = kept[0]
    if not first.failed:
        first.outcome = "failed"
        first.longrepr = "the test went on without its device"
    first.when = "setup"  # which pytest and JUnit call an error
    first.sections.append(("nanoexport", f"the device was lost: {lost}"))
    return kept


def _bundle_notes(
    item: pytest.Item, reports: list[pytest.TestReport], repetition: str | None, bundles: Path
) -> list[str]:
    text = "\n\n".join(report.longreprtext for report in reports if report.failed)
    try:
        folder = _bundle(item, text, repetition, bundles)
    except NanoexportError as error:
        return [str(error)]
    if folder is None:
        return []
    reports[-1].user_properties.append(("nano_bundle", str(folder)))
    return [f"the inferences of this test again: nanoexport replay {folder}"]


def _bundle(item: pytest.Item, failure: str, repetition: str | None, bundles: Path) -> Path | None:
    recording = _recording(item)
    if recording is None or not recording.opened:
        return None
    return write_bundle(bundles, item.nodeid, recording, failure, repetition)


def _keep_interrupted(item: pytest.Item, bundles: Path) -> None:
    recording = _recording(item)
    if recording is None:
        return
    recording.close()
    with contextlib.suppress(NanoexportError):  # whatever ends the run goes on
        folder = _bundle(item, "interrupted", None, bundles)
        if folder is not None:
            item.config.stash.setdefault(INTERRUPTED, {})[item.nodeid] = folder
