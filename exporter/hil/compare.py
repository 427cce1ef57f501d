"""A benchmark beside an older one of the same model: what got worse fails.

The older one is a file that `nanoexport bench --json` wrote.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.build.firmware import ModelFirmware
from exporter.errors import BadInput, CheckFailed

TOLERANCE = 0.01
"""What a figure may grow by: a release of a compiler moves some."""
READING_INSTRUCTIONS = 80
"""What two counts of the same work differ by at most: a tick of a 25 MHz timer at either end."""

FIGURES = ("instructions", "cycles", "modelled_cycles", "arena_bytes", "flash_bytes")
LAYER_FIGURES = ("instructions", "cycles", "modelled_cycles")
LATER_FIGURES = ("cycles",)
"""What files of earlier versions do not have."""
IDENTITY = ("model_sha256", "board", "dialect")
NOTED = ("toolchain", "optimize")
"""Where these differ, the difference may be what is looked for."""

ANEW = "measure it anew: nanoexport bench MODEL --board BOARD --json > FILE"


@dataclass(frozen=True)
class Change:
    """One figure then and now; None where it was not measured. `layer` None: the whole."""

    figure: str
    before: int | None
    now: int | None
    layer: int | None = None
    op: str | None = None

    @property
    def percent(self) -> float | None:
        """Growth; None where a figure is missing or was 0."""
        if self.now is None or not self.before:
            return None
        return 100 * (self.now / self.before - 1)

    @property
    def is_worse(self) -> bool:
        """Whether it grew by more than the tolerance, or can no longer be told."""
        if self.before is None:
            return False
        return self.now is None or self.now > self.before * (1 + TOLERANCE) + self._reading

    @property
    def is_real(self) -> bool:
        """Whether then and now differ by more than reading the figure does."""
        if self.before is None or self.now is None:
            return self.before is not self.now
        return abs(self.now - self.before) > self._reading

    @property
    def _reading(self) -> int:
        return READING_INSTRUCTIONS if self.figure in ("instructions", "cycles") else 0

    def describe(self) -> str:
        """One line: the figure, then and now."""
        before, now = ("not measured" if v is None else f"{v:,}" for v in (self.before, self.now))
        percent = "" if self.percent is None else f" ({self.percent:+.2f} %)"
        return f"{self.figure} {before} -> {now}{percent}"


@dataclass(frozen=True)
class Comparison:
    """All that was compared. Only the whole decides; layers show where a change comes from."""

    whole: tuple[Change, ...]
    layers: tuple[Change, ...]
    notes: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Change, ...]:
        return tuple(change for change in self.whole if change.is_worse)

    def as_dict(self) -> dict[str, object]:
        """The part `comparison` of the document that `nanoexport bench --compare --json` prints."""
        return {
            "tolerance": TOLERANCE,
            "notes": list(self.notes),
            "regressions": [change.figure for change in self.regressions],
            **{c.figure: {"before": c.before, "now": c.now} for c in self.whole},
            "layers": [
                {"index": c.layer, "op": c.op, c.figure: {"before": c.before, "now": c.now}}
                for c in self.layers
            ],
        }

    def check(self) -> None:
        """Raises CheckFailed where a figure of the whole is worse."""
        if self.regressions:
            raise CheckFailed(
                "the benchmark is worse than the one it is compared with",
                value="; ".join(change.describe() for change in self.regressions),
                allowed=f"{100 * TOLERANCE:g} % more",
                next_step="the layers that changed are listed above; where the change is wanted, "
                "write a new file with: nanoexport bench MODEL --board BOARD --json",
            )


def read_document(path: Path) -> dict[str, Any]:
    """The document in `path`. Raises BadInput where it is not one of `nanoexport bench --json`."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(
            f"cannot read the benchmark to compare with, '{path}'",
            value=reason,
            allowed="a file that 'nanoexport bench --json' wrote",
            next_step=ANEW,
        ) from error
    problem = _problem(document)
    if problem:
        raise BadInput(
            f"'{path}' is no benchmark to compare with",
            value=problem,
            allowed="a file that this version's 'nanoexport bench --json' wrote",
            next_step=ANEW,
        )
    found: dict[str, Any] = document
    return found


def _problem(document: object) -> str | None:
    """What keeps a document from being compared."""
    if not isinstance(document, dict):
        return "it holds no JSON object"
    for key in IDENTITY:
        if not isinstance(document.get(key), str):
            return f"it does not say {key}"
    layers = document.get("layers")
    if not isinstance(layers, list) or not all(_is_layer(layer) for layer in layers):
        return "it lists no layers with index, op and figures"
    missing = [key for key in FIGURES if not _is_figure(document, key)]
    return f"it has no figure for {', '.join(missing)}" if missing else None


def _is_layer(layer: object) -> bool:
    if not isinstance(layer, dict):
        return False
    identified = isinstance(layer.get("index"), int) and isinstance(layer.get("op"), str)
    return identified and all(_is_figure(layer, key) for key in LAYER_FIGURES)


def _is_figure(of: Mapping[str, object], key: str) -> bool:
    """A count, or null where it could not be measured."""
    value = of.get(key, None if key in LATER_FIGURES else "absent")
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def check_comparable(before: Mapping[str, Any], firmware: ModelFirmware) -> None:
    """Raises BadInput unless `before` is of the same model, board and dialect."""
    now = (firmware.program.model_sha256, firmware.board.name, firmware.settings.dialect)
    for key, value in zip(IDENTITY, now, strict=True):
        if before[key] != value:
            what = "model" if key == "model_sha256" else key
            raise BadInput(
                f"the benchmark to compare with is of another {what}",
                value=f"{key} {before[key]}",
                allowed=value,
                next_step=f"compare with a file of the same {what}; {ANEW}",
            )


def compare(
    before: Mapping[str, Any], now: Mapping[str, Any], *, left_out: Collection[str] = ()
) -> Comparison:
    """Two documents of comparable benchmarks. Figures in `left_out` are not looked at."""
    whole = (Change(key, before.get(key), now.get(key)) for key in FIGURES if key not in left_out)
    notes = tuple(
        f"{key} was {before.get(key)}, now {now[key]}"
        for key in NOTED
        if before.get(key) != now[key]
    )
    layers = [c for c in _layer_changes(before, now) if c.figure not in left_out]
    return Comparison(tuple(whole), tuple(layers), notes)


def _layer_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Layers whose figures differ, those that came or went included."""
    then = {(layer["index"], layer["op"]): layer for layer in before["layers"]}
    today = {(layer["index"], layer["op"]): layer for layer in now["layers"]}
    changes = [
        Change(figure, then.get(key, {}).get(figure), today.get(key, {}).get(figure), *key)
        for key in sorted(then.keys() | today.keys())
        for figure in LAYER_FIGURES
    ]
    return [change for change in changes if change.is_real]
