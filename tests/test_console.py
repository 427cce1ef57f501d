"""Progress: rates and what is left, for people."""

from __future__ import annotations

import sys

import pytest

from exporter import console
from exporter.board import all_boards
from exporter.console import Output, Pace, duration
from exporter.reports import show_boards


class Clock:
    """A time that tests set."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_the_rate_is_that_of_this_run() -> None:
    """What a record held already took no time."""
    clock = Clock()
    pace = Pace(clock)
    assert pace.rate(300) is None
    clock.seconds += 4
    assert pace.rate(300) is None, "nothing was done yet"
    assert pace.rate(320) == 5.0


def test_a_line_now_and_then() -> None:
    clock = Clock()
    pace = Pace(clock)
    due = []
    for _ in range(25):
        due.append(pace.is_due())
        clock.seconds += 1
    assert [k for k, is_due in enumerate(due) if is_due] == [0, 10, 20]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"), (59.4, "59 s"), (59.6, "1:00 min"), (200, "3:20 min"), (3599, "59:59 min"),
        (3905, "1:05 h"), (360000, "100:00 h"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_long_progress_in_a_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(console, "Pace", lambda: Pace(clock))
    with Output().long_progress("samples") as progress:
        progress("build", 0, 0)
        for done in range(0, 1001, 50):
            progress("evaluate", done, 2000)
            clock.seconds += 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "evaluate: 0 of 2,000 samples",
        "evaluate: 500 of 2,000 samples, 50 samples/s, 30 s left",
        "evaluate: 1,000 of 2,000 samples, 50 samples/s, 20 s left",
    ]


@pytest.mark.parametrize(
    ("width", "left_out"), [(140, set()), (96, {"link"}), (80, {"link", "core"})]
)
def test_the_boards_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    width: int,
    left_out: set[str],
) -> None:
    """The name of a board is typed again: it is never broken."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    show_boards(Output(), all_boards())
    heading, *lines = capsys.readouterr().out.splitlines()
    assert {name for name in ("core", "link") if name not in heading} == left_out
    assert all(len(line) <= width for line in lines)
    starts = {line.split()[0] for line in lines}
    assert {board.name for board in all_boards()} <= starts


def test_what_no_terminal_is_wide_enough_for_is_folded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    path = "/" + "p" * 60
    Output().table("", ("port", "unit"), [(path, "u" * 30)])
    shown = capsys.readouterr().out
    assert (shown.count("p"), shown.count("u")) == (60 + 1, 30 + 1), "the heading has one of each"
