"""The sweep's arithmetic: as many faults as asked for, evenly spread, counted by board."""

from __future__ import annotations

import pytest

from exporter.hil.controls import CONTROLS, ControlReport, Outcome, SeededFault
from tests.hil.controls.__main__ import Swept, shares, table


@pytest.mark.parametrize(("faults", "pairs"), [(200, 12), (1, 3), (8, 1), (100, 7)])
def test_faults_are_spread_evenly(faults: int, pairs: int) -> None:
    counts = shares(faults, pairs)
    assert len(counts) == pairs and max(counts) - min(counts) <= 1
    assert faults <= len(CONTROLS) * sum(counts) < faults + len(CONTROLS)


def test_the_table_counts_by_kind_and_board() -> None:
    outcomes = {
        "caught": Outcome("caught", "here", "told", {"changes no output": 2}),
        "missed": Outcome("missed", "here", "told"),
        "none": Outcome("not applicable", "", "no weights"),
    }
    faults = [SeededFault("wrong board", n, outcome) for n, outcome in enumerate(outcomes.values())]
    tested = [Swept("a", "m", ControlReport(0, tuple(faults)))]
    tested.append(Swept("b", "m", ControlReport(0, tuple(faults[:1]))))
    rows = {row[0]: row[1:] for row in table(tested, ["a", "b"])}
    assert rows["wrong board"] == rows["all"] == ("1 of 2", "1 of 1", "2 of 3", 4, 1)
    assert rows["stale image"] == ("0 of 0", "0 of 0", "0 of 0", 0, 0)
