"""Negative controls: seeded faults that a run must catch, or its verdict means nothing.

`run_controls` puts each kind of fault of `CONTROLS` into a board, or between host and board, and
expects the ordinary checks of `verify` to notice. docs/controls.md says what each one proves.

    base       what a control is; what it is given; what came of it
    relay      the man in the middle of the link
    image      copies of an ELF file with a few other bytes
    weights    a flipped bit of a weight
    outputs    permuted outputs, a stuck output buffer
    transfer   a dropped byte
    identity   a stale image, a wrong board
    report     the detection rate
    run        the table of controls; all of them on one board
"""

from __future__ import annotations

from exporter.hil.controls.base import Control, Outcome
from exporter.hil.controls.report import ControlReport, SeededFault
from exporter.hil.controls.run import CONTROLS, controls_of, run_controls

__all__ = [
    "CONTROLS",
    "Control",
    "ControlReport",
    "Outcome",
    "SeededFault",
    "controls_of",
    "run_controls",
]
