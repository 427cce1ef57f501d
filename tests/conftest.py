"""For all tests: `--forbid-skips`, with which CI makes sure that nothing is left out unseen.

A test that lacks what it needs (a compiler, an emulator, a model) skips with the reason. That is
right on a lab machine and wrong in CI, where a missing compiler would turn half of the suite green.
With `--forbid-skips` the run fails unless every reason matches `allowed_reasons`.
"""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.board import forget_own_boards

MODELS = Path(__file__).resolve().parents[2] / "shared" / "models"


def allowed_reasons() -> tuple[str, ...]:
    """Regular expressions of the reasons for which CI may skip. Keep this list short."""
    return () if MODELS.is_dir() else (r"\.\./shared/models",)


@pytest.fixture(autouse=True, scope="module")
def _only_supplied_boards() -> Iterator[None]:
    """A board of a test's own is known to the process from then on, and to no other module here."""
    yield
    forget_own_boards()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--forbid-skips", action="store_true", help="fail if a test skips for a reason not allowed"
    )
    parser.addoption(
        "--torch", action="store_true",
        help="also run what needs PyTorch, in the environment of NANOEXPORT_TORCH_PYTHON",
    )  # fmt: skip


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """PyTorch is too large for CI: its tests are no part of the suite unless asked for."""
    if not config.getoption("--torch"):
        left_out = [item for item in items if item.get_closest_marker("torch")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_configure(config: pytest.Config) -> None:
    # A shell's background jobs ignore Ctrl-C, and so would the commands that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--forbid-skips") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipGuard(), "skip-guard")


class SkipGuard:
    """Counts the reasons of all skips. Lives in the controlling process, not in xdist's workers."""

    def __init__(self) -> None:
        self.skips: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._count(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._count(report)

    def _count(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        # An expected failure is reported as skipped, too.
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            self.skips[" ".join(str(reason).removeprefix("Skipped: ").split())] += 1

    def forbidden(self) -> list[str]:
        allowed = allowed_reasons()
        return [r for r in self.skips if not any(re.search(pattern, r) for pattern in allowed)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.forbidden() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("skips (--forbid-skips)")
        forbidden = self.forbidden()
        for reason, count in sorted(self.skips.items()):
            verdict = "FORBIDDEN" if reason in forbidden else "allowed"
            terminalreporter.line(f"{verdict:9} {count:4}  {reason}", red=reason in forbidden)
        if not self.skips:
            terminalreporter.line("none")
