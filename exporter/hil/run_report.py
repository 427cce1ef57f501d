"""What came of a run: every collected test with its outcome and its place, and none lost.

Lives in the process that the user started; with pytest-xdist the tests run in others.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from exporter import __version__
from exporter.arrays import write_atomically
from exporter.errors import NanoexportError
from exporter.hil import run_controls
from exporter.hil.attempts import INTERRUPTED
from exporter.hil.pool import DevicePool
from exporter.hil.run_options import RunOptions

PREFIX = "nano_"
UNFINISHED = ("interrupted", "not run")
SHOWN_TESTS = 10
WITHOUT_CONTROLS = "controls: none, by --nano-no-controls"


@dataclass
class _Test:
    """One collected test as its reports come in. `properties`: those of the plugin."""

    id: str
    outcome: str | None = None
    message: str | None = None
    seconds: float = 0.0
    worker: str | None = None
    started: bool = False
    done: bool = False
    properties: dict[str, Any] = field(default_factory=dict)

    def add(self, report: pytest.TestReport) -> None:
        """The next report of this test. A crash of its process is one with `when` of its own."""
        self.seconds += getattr(report, "duration", 0.0)
        self.worker = (
            getattr(getattr(report, "node", None), "gateway", None) and report.node.gateway.id
        )
        self.properties |= {
            key.removeprefix(PREFIX): value
            for key, value in report.user_properties
            if key.startswith(PREFIX)
        }
        expected_failure = hasattr(report, "wasxfail")
        if report.failed and self.outcome != "failed":
            self.outcome = "failed" if report.when == "call" else "error"
            self.message = _reason(report)
        elif report.skipped:
            self.outcome = "xfailed" if expected_failure else "skipped"
            self.message = _reason(report)
        elif report.passed and report.when == "call":
            self.outcome = "xpassed" if expected_failure else "passed"
        self.done = report.when not in ("setup", "call")

    @property
    def final(self) -> str:
        """What became of it."""
        if self.done and self.outcome is not None:
            return self.outcome
        return UNFINISHED[0] if self.started else UNFINISHED[1]


class RunReport:
    """Counts outcomes, writes the JSON report, and fails a run that lost a test."""

    def __init__(
        self, config: pytest.Config, options: RunOptions, pool: DevicePool, folder: Path
    ) -> None:
        self._folder = folder
        self._config = config
        self._options = options
        self._pool = pool
        self._tests: dict[str, _Test] = {}
        self._began = time.time()
        self._notes: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """The tests of this process."""
        self._collected([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """The tests as a worker collected them."""
        self._collected(ids)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins, here or in a worker."""
        self._test(nodeid).started = True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A phase of a test has ended, or its worker has."""
        if not hasattr(report, "context"):  # a part of a test, which has a report of its own
            self._test(report.nodeid).add(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run that looks well but has lost a test; write the report however it ended."""
        for nodeid, folder in self._config.stash.get(INTERRUPTED, {}).items():
            self._test(nodeid).properties["bundle"] = str(folder)
        unfinished = [test.id for test in self._tests.values() if test.final in UNFINISHED]
        option = self._config.getoption
        if unfinished and not (option("collectonly") or option("setuponly")):
            shown = ", ".join(unfinished[:SHOWN_TESTS]) + ", ..." * (len(unfinished) > SHOWN_TESTS)
            self._notes.append(f"{len(unfinished)} collected tests did not finish: {shown}")
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
        try:
            self._write(int(session.exitstatus))
        except NanoexportError as error:  # it could be written to when the run began
            self._notes.append(str(error))
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """What a person must know beyond the outcomes."""
        lines = [
            *self._notes,
            *(run_controls.lines(run_controls.verdicts(self._folder))),
            *((WITHOUT_CONTROLS,) if not self._options.controls else ()),
            *(f"used no more: {p.name}: {why}" for p, why in self._pool.broken_places().items()),
        ]
        for test in self._tests.values():
            if "repeated" in test.properties:
                lines.append(f"{test.id} {test.properties['repeated']}")
            if "bundle" in test.properties:
                lines.append(f"{test.id}: nanoexport replay {test.properties['bundle']}")
        if lines:
            terminalreporter.section("nanoexport")
            for line in lines:
                terminalreporter.line(line)

    def document(self, exit_code: int) -> dict[str, Any]:
        """The report of `--nano-json`."""
        tests = sorted(self._tests.values(), key=lambda test: test.id)
        return {
            "schema_version": 1,
            "nanoexport": __version__,
            "began": datetime.fromtimestamp(self._began, UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - self._began, 3),
            "exit_code": exit_code,
            "interrupted": exit_code == pytest.ExitCode.INTERRUPTED,
            "boards": list(self._options.boards),
            "models": [str(model) for model in self._options.models],
            "dialect": self._options.settings.dialect,
            "seed": self._options.seed,
            "places": [place.name for place in self._pool.places],
            "broken_places": [
                {"place": place.name, "why": why}
                for place, why in self._pool.broken_places().items()
            ],
            "collected": len(tests),
            "outcomes": dict(Counter(test.final for test in tests)),
            "tests": [
                {
                    "id": test.id,
                    "outcome": test.final,
                    "message": test.message,
                    "seconds": round(test.seconds, 3),
                    "worker": test.worker,
                    **test.properties,
                }
                for test in tests
            ],
            "controls": self._controls(),
        }

    def _controls(self) -> dict[str, Any]:
        """The seeded faults of each firmware that ran, or why there were none."""
        if not self._options.controls:
            return {"run": False, "not_run": "by --nano-no-controls", "firmware": []}
        found = run_controls.verdicts(self._folder)
        why = None if found else "no test came as far as a device"
        return {"run": bool(found), "not_run": why, "firmware": found}

    def _write(self, exit_code: int) -> None:
        """Raises BadInput where the file cannot be written."""
        if self._options.json is not None:
            text = json.dumps(self.document(exit_code), indent=2) + "\n"
            write_atomically(self._options.json, text.encode())

    def _collected(self, ids: Sequence[str]) -> None:
        for nodeid in ids:
            self._test(nodeid)

    def _test(self, nodeid: str) -> _Test:
        return self._tests.setdefault(nodeid, _Test(nodeid))


def _reason(report: pytest.TestReport) -> str | None:
    """The reason, as short as it is: of a skip its text, of a failure what was raised."""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else report.longreprtext
    # The first line of a crash is pytest-xdist's name for the worker.
    return re.sub(r"^\[gw\d+\].*\n", "", text).strip() or None
