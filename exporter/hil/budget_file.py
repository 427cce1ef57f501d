"""`budget.yaml`: limits by board, read strictly. docs/budgets.md lists every key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pydantic
import yaml

from exporter.arrays import write_atomically
from exporter.board import board_names
from exporter.errors import BadInput
from exporter.hil.latency import Load

DEFAULT = "default"
DEFAULT_RUNS = 20
MOST_RUNS = 100_000

Count = Annotated[int, pydantic.Field(ge=0)]
Time = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]
Jitter = Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)]


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)


class InterruptLoad(_Section):
    """The other work of a product: an interrupt that executes instructions."""

    period_us: Annotated[int, pydantic.Field(ge=1, lt=2**32)]
    instructions: Annotated[int, pydantic.Field(ge=0, lt=2**32)]


class BoardBudget(_Section):
    """The limits of a board; None is no limit. How they are measured is not one of them."""

    arena_bytes: Count | None = None
    stack_bytes: Count | None = None
    flash_bytes: Count | None = None
    instructions: Count | None = None
    ticks: Count | None = None
    worst_instructions: Count | None = None
    worst_ticks: Count | None = None
    worst_us: Time | None = None
    jitter_instructions: Count | None = None
    jitter_ticks: Count | None = None
    jitter_us: Jitter | None = None
    deadline_us: Time | None = None
    deadline_ms: Time | None = None
    runs: Annotated[int, pydantic.Field(ge=1, le=MOST_RUNS)] = DEFAULT_RUNS
    interrupt_load: InterruptLoad | None = None

    @classmethod
    def unlimited(cls, runs: int, load: Load | None = None) -> BoardBudget:
        """No limits: what is to be measured alone."""
        interrupts = InterruptLoad(**vars(load)) if load else None
        return cls(runs=runs, interrupt_load=interrupts)

    def limits(self) -> dict[str, int | float]:
        """What is limited, by name."""
        values = self.model_dump(exclude={"runs", "interrupt_load"})
        return {name: value for name, value in values.items() if value is not None}

    @property
    def load(self) -> Load | None:
        """The interrupt load, if there is one."""
        given = self.interrupt_load
        return Load(given.period_us, given.instructions) if given else None


@dataclass(frozen=True)
class Budgets:
    """The sections of a file, by board or `default`, as they are written there."""

    path: Path
    sections: Mapping[str, Mapping[str, Any]]

    def of(self, board: str) -> BoardBudget:
        """The budget of a board: its section, and of `default` what that does not state.

        Raises BadInput where nothing is limited.
        """
        merged = {**self.sections.get(DEFAULT, {}), **self.sections.get(board, {})}
        budget = _section(self.path, board, merged)
        if not budget.limits():
            raise BadInput(
                f"'{self.path}' limits nothing on {board}",
                value=f"sections: {', '.join(self.sections) or 'none'}",
                allowed=f"at least one limit in a section {board} or {DEFAULT}",
                next_step="write them from what is measured now: "
                f"nanoexport bench MODEL --board {board} --write-budget {self.path.name}",
            )
        return budget


def read_budgets(path: Path) -> Budgets:
    """The budgets in a file. Raises BadInput, which names the key and what is allowed."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:  # a date may be none
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise BadInput(
            f"the budget '{path}' cannot be read", value=reason, allowed="a YAML file"
        ) from error
    known = (DEFAULT, *board_names())
    if not isinstance(content, dict) or not content:
        raise BadInput(
            f"'{path}' is no budget",
            value=type(content).__name__ if content else "nothing",
            allowed=f"sections with limits: {', '.join(known)}",
        )
    for name, section in content.items():
        if name not in known:
            raise BadInput(f"'{path}' has a section of no board", value=name, allowed=known)
        if not isinstance(section, dict):
            raise BadInput(
                f"the section {name} of '{path}' has no limits", value=section, allowed=_keys()
            )
        _section(path, name, section)
    return Budgets(path, content)


def dump_budgets(path: Path, sections: Mapping[str, Mapping[str, Any]], comment: str) -> None:
    """Writes a file that `read_budgets` reads. Raises BadInput where it cannot be written."""
    text = yaml.safe_dump({**sections}, sort_keys=False)
    write_atomically(path, f"# {comment}\n{text}".encode())


def _section(path: Path, name: str, section: Mapping[str, Any]) -> BoardBudget:
    try:
        return BoardBudget.model_validate(dict(section))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in (name, *first["loc"]))
        if first["type"] == "extra_forbidden":
            raise BadInput(
                f"'{path}' has an unknown key",
                value=place,
                allowed=_keys(nested=len(first["loc"]) > 1),
            ) from error
        raise BadInput(
            f"'{path}' has a value that cannot be used",
            value=f"{place}: {first['input']!r}",
            allowed=first["msg"],
        ) from error


def _keys(*, nested: bool = False) -> list[str]:
    return [*(InterruptLoad if nested else BoardBudget).model_fields]


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that is written twice: YAML would take the last, and loosen a limit."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {str(key) for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"{', '.join(sorted(twice))} is written twice", node.start_mark
            )
        return super().construct_mapping(node, deep)
