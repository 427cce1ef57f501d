"""Progress: rates and what is left, for people."""

from __future__ import annotations

import pytest

from exporter import console
from exporter.console import Output, Pace, duration


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
