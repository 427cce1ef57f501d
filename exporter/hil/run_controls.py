"""The negative controls of a pytest run: once for each firmware, at the first place it runs at.

The processes of a run share a folder: the first that needs the verdict on a firmware comes to it,
the others wait for it and read it there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import fcntl

from exporter.build.firmware import ModelFirmware
from exporter.errors import CheckFailed
from exporter.hil.controls import ControlReport, run_controls
from exporter.hil.pool import Place

_PREFIX = "controls-"


def require_controls(folder: Path, firmware: ModelFirmware, place: Place, seed: int) -> None:
    """Seed a fault of each kind unless this run has done so for `firmware`.

    Raises CheckFailed, in every test of this firmware, where one was missed or where the board is
    not exact without any; LinkFailed where the board was lost, and the next test tries again.
    """
    verdict = folder / f"{_PREFIX}{firmware.build_id}.json"
    with verdict.with_suffix(".lock").open("w") as lock:
        if sys.platform != "win32":  # there, each process seeds its own
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not verdict.exists():
            written = verdict.with_suffix(".new")
            written.write_text(json.dumps(_verdict(firmware, place, seed)), encoding="utf-8")
            written.replace(verdict)
    problem = json.loads(verdict.read_text(encoding="utf-8"))["problem"]
    if problem is not None:
        raise CheckFailed(
            f"the negative controls of {firmware.program.name} on {firmware.board.name} failed",
            value=problem,
            allowed="every seeded fault is noticed",
            next_step="nanoexport verify shows them one by one; --nano-no-controls leaves them out",
        )


def verdicts(folder: Path) -> list[dict[str, Any]]:
    """What the run has found so far, by board and model."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in _files(folder)]
    return sorted(found, key=lambda verdict: (verdict["board"], verdict["model"]))


def lines(found: Sequence[dict[str, Any]]) -> list[str]:
    """The verdicts as people read them."""
    return [
        f"controls, {verdict['board']}, {verdict['model']}: {'; '.join(verdict['lines'])}"
        for verdict in found
    ]


def _files(folder: Path) -> list[Path]:
    return list(folder.glob(f"{_PREFIX}*.json"))


def _verdict(firmware: ModelFirmware, place: Place, seed: int) -> dict[str, Any]:
    report, problem = _seeded(firmware, place, seed)
    return {
        "board": firmware.board.name,
        "model": firmware.program.name,
        "build_id": firmware.build_id,
        "place": place.name,
        "problem": problem,
        "lines": report.lines(),
        **report.as_dict(),
    }


def _seeded(firmware: ModelFirmware, place: Place, seed: int) -> tuple[ControlReport, str | None]:
    """The report, and what is wrong with it."""
    try:
        report = run_controls(firmware, port=place.port, seed=seed)
    except CheckFailed as failure:
        return ControlReport(seed, not_run=failure.what), f"{failure.what}: {failure.value}"
    try:
        report.check(firmware.board.name)
    except CheckFailed as failure:
        return report, f"{failure.what}: {failure.value}"
    return report, None
