"""What the controls of a run came to: every fault, and the detection rate."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from exporter.errors import CheckFailed
from exporter.hil.controls.base import Outcome


@dataclass(frozen=True)
class SeededFault:
    """One fault: the `number`-th of its `kind`, counted from 0, and what came of it."""

    kind: str
    number: int
    outcome: Outcome

    def as_dict(self) -> dict[str, object]:
        """One entry of the list `faults`."""
        found = self.outcome
        return {
            "kind": self.kind,
            "number": self.number,
            "verdict": found.verdict,
            "place": found.place,
            "detail": found.detail,
            "redrawn": dict(found.redrawn),
        }


@dataclass(frozen=True)
class ControlReport:
    """All faults of a run, seeded by `seed`. `not_run`: why there are none."""

    seed: int = 0
    faults: tuple[SeededFault, ...] = ()
    not_run: str | None = None

    def _with(self, verdict: str) -> tuple[SeededFault, ...]:
        return tuple(fault for fault in self.faults if fault.outcome.verdict == verdict)

    @property
    def caught(self) -> tuple[SeededFault, ...]:
        return self._with("caught")

    @property
    def missed(self) -> tuple[SeededFault, ...]:
        return self._with("missed")

    @property
    def not_applicable(self) -> tuple[SeededFault, ...]:
        """Kinds that could not be seeded here: listed, never counted as caught."""
        return self._with("not applicable")

    @property
    def seeded(self) -> int:
        return len(self.caught) + len(self.missed)

    @property
    def rate(self) -> float | None:
        """The share of seeded faults that were caught; None where none was seeded."""
        return len(self.caught) / self.seeded if self.seeded else None

    @property
    def redrawn(self) -> int:
        """Draws that were no fault, since they changed nothing or could not be put in place."""
        return sum(sum(fault.outcome.redrawn.values()) for fault in self.faults)

    def lines(self) -> list[str]:
        """The report as people read it; the first line has the rate."""
        if self.not_run is not None:
            return [f"none, {self.not_run}"]
        rate = "" if self.rate is None else f" ({100 * self.rate:.4g} %)"
        text = f"{len(self.caught)} of {self.seeded} seeded faults caught{rate}"
        if self.redrawn:
            text += f", {self.redrawn} redrawn"
        lines = [text, *(f"missed: {_told(fault)}" for fault in self.missed)]
        reasons = Counter((f.kind, f.outcome.detail) for f in self.not_applicable)
        return lines + [f"does not apply: {kind}: {reason}" for kind, reason in reasons]

    def as_dict(self) -> dict[str, object]:
        """The part `controls` of a document."""
        return {
            "run": self.not_run is None,
            "not_run": self.not_run,
            "seed": self.seed,
            "seeded": self.seeded,
            "caught": len(self.caught),
            "missed": len(self.missed),
            "redrawn": self.redrawn,
            "not_applicable": len(self.not_applicable),
            "detection_rate": self.rate,
            "faults": [fault.as_dict() for fault in self.faults],
        }

    def check(self, board: str) -> None:
        """Raises CheckFailed where a seeded fault was missed, or none could be seeded."""
        if self.not_run is not None or (self.seeded and not self.missed):
            return
        raise CheckFailed(
            f"the check on {board} does not notice seeded faults",
            value="; ".join(map(_told, self.missed)) or "no fault could be seeded",
            allowed="every seeded fault caught",
            next_step="its verdict on the model means nothing: report it with the model",
        )


def _told(fault: SeededFault) -> str:
    return f"{fault.kind} ({fault.outcome.place}): {fault.outcome.detail}"
