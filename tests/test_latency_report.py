"""What `bench` prints of latency."""

from __future__ import annotations

import pytest

from exporter.console import Output
from exporter.hil.latency import Clock, Latency, Load
from exporter.latency_report import show_distribution


@pytest.mark.parametrize(("interrupts", "warned"), [(0, True), (1, False)])
def test_a_load_that_no_inference_felt_is_told(
    interrupts: int, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    show_distribution(
        Output(), Latency((396, 397), Clock(25_000_000, 40.0, 0.0), Load(100, 200), interrupts)
    )
    printed = capsys.readouterr().out
    assert f"load of 200 instructions every 100 us: {interrupts} interrupts served" in printed
    assert ("warning: the model ended before the first one" in printed) is warned
