"""The sections of a linker script that a `Placement` asks for, beside those of every board."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.board import Board
from exporter.plan.placement import Placement
from exporter.render.model import Arena


@dataclass(frozen=True)
class PlacedSection:
    """One output section. Regions go by their names in the linker script."""

    name: str
    region: str
    region_title: str
    source: str | None
    """The region of the flash where the start-up code finds the contents; None: no copy."""
    symbols: tuple[str, ...]
    """C names of the arrays in it."""


@dataclass(frozen=True)
class Memory:
    """Whose the arena is; sections for what is not with the other data or the program."""

    arena_owner: Arena = "static"
    input_by_rows: bool = False
    """The application gives the input row by row: it is nowhere as a whole."""
    weights: tuple[PlacedSection, ...] = ()
    weights_with_program: tuple[str, ...] = ()
    """C names of those that stay, where any goes elsewhere."""
    arena: PlacedSection | None = None
    image_is_one: bool = True
    """Whether all that a loader writes is in the first flash."""

    @property
    def is_placed(self) -> bool:
        """Whether there are such sections."""
        return bool(self.weights) or self.arena is not None

    @property
    def copied(self) -> tuple[PlacedSection, ...]:
        return tuple(section for section in self.weights if section.source is not None)


USUAL_MEMORY = Memory()


def memory_of(placement: Placement, board: Board, prefix: str, owner: Arena) -> Memory:
    """The sections for `placement`, by the C names, which begin with `prefix`."""
    weights = tuple(
        PlacedSection(
            name=_name(board.linker_name(part.region), source),
            region=board.linker_name(part.region),
            region_title=part.region.name,
            source=source,
            symbols=tuple(f"{prefix}_{name}" for name in part.names),
        )
        for part in placement.weights_apart
        for source in [board.linker_name(part.source) if part.source else None]
    )
    home = placement.arena
    arena = PlacedSection("arena", board.linker_name(home), home.name, None, (f"{prefix}_arena",))
    stored = {section.source or section.region for section in weights}
    return Memory(
        arena_owner=owner,
        weights=weights,
        weights_with_program=tuple(
            f"{prefix}_{name}"
            for part in placement.weights
            if part.region == placement.first_flash
            for name in part.names
        ),
        arena=arena if placement.arena_is_apart else None,
        image_is_one=stored <= {board.linker_name(placement.first_flash)},
    )


def _name(region: str, source: str | None) -> str:
    name = f"weights_{region.lower()}"
    return name if source is None else f"{name}_from_{source.lower()}"
