"""Boards are data: `boards/<name>.yaml`, one file per board, read into a frozen `Board`.

Addresses and sizes come from the datasheet that the file cites, sizes in bytes.
`boards/schema.json` is the JSON schema of these models, for editors; a test keeps the two equal.
"""

from __future__ import annotations

import difflib
import itertools
import json
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

import pydantic
import yaml

from exporter.errors import BadInput, InternalError

Evidence = Literal["native", "emulated", "simulated", "built"]
InstructionSet = Literal["generic", "dsp", "mve"]
Placeable = Literal["arena", "weights"]
Bytes = Annotated[int, pydantic.Field(gt=0)]
Address = Annotated[int, pydantic.Field(ge=0, lt=2**32)]


class _Data(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=False)


class MemoryRegion(_Data):
    """A range of addresses.

    The first region of kind flash has the program and the initial values of data, the first of kind
    ram has stack and data. `exporter.plan.placement` gives arena and weights their regions.
    """

    name: str = pydantic.Field(description="as the datasheet calls it")
    kind: Literal["flash", "ram"] = pydantic.Field(
        description="flash: what a loader writes and a reset keeps, even where the chip is a RAM"
    )
    origin: Address
    bytes: Bytes
    access_cost: int = pydantic.Field(
        default=0, ge=0, description="orders the regions by time to read a word: 0 is the fastest"
    )
    holds: tuple[Placeable, ...] | None = pydantic.Field(
        default=None,
        description="what may be placed here beside what the first of its kind has; by default "
        "weights in flash, the arena in ram. Weights in ram are copied there at start.",
    )

    def may_hold(self, what: Placeable) -> bool:
        """Whether the board lets `what` be placed here."""
        usual: Placeable = "weights" if self.kind == "flash" else "arena"
        return what in (self.holds if self.holds is not None else (usual,))

    @property
    def end(self) -> int:
        """One past the last address."""
        return self.origin + self.bytes

    @pydantic.model_validator(mode="after")
    def _arena_can_be_written(self) -> Self:
        if self.kind == "flash" and self.may_hold("arena"):
            raise ValueError(
                f"region {self.name} of kind flash holds the arena; allowed: weights; "
                "say kind: ram where it can be written to"
            )
        return self


class Uart(_Data):
    """The serial port of the link."""

    driver: str = pydantic.Field(description="a file of platform/<family>/drivers")
    base_address: Address
    irqs: tuple[int, ...] = pydantic.Field(min_length=1, max_length=2)
    clock_hz: int = pydantic.Field(gt=0)
    baud: int = pydantic.Field(gt=0)
    receive_ring_bytes: Bytes

    @pydantic.field_validator("receive_ring_bytes")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError("the receive ring's indices wrap: its size is a power of two")
        return value


class Timer(_Data):
    """A timer whose interrupt stands for the other work of a product: docs/budgets.md."""

    driver: str = pydantic.Field(description="a file of platform/<family>/drivers")
    base_address: Address
    irq: int | None = pydantic.Field(
        default=None, ge=0, description="absent where the core has an interrupt for it alone"
    )
    clock_hz: int = pydantic.Field(gt=0)


class Ticks(_Data):
    """What `platform_ticks` counts."""

    source: Literal["systick", "minstret", "clock_monotonic"]
    hz: int = pydantic.Field(gt=0)


class Watchdog(_Data):
    """What ends a run that hangs, with a report of where it hung."""

    driver: str = pydantic.Field(description="a file of platform/<family>/drivers")
    base_address: Address | None = None
    clock_hz: int = pydantic.Field(ge=1000)


class Compiler(_Data):
    """How one toolchain compiles for this board."""

    program: str
    flags: tuple[str, ...] = ()


class Emulator(_Data):
    """The program that runs the image where there is no hardware."""

    program: str
    machine: str
    arguments: tuple[str, ...] = ()


class Board(_Data):
    """One board: its chip, memory, serial port, compilers, and how an image gets onto it."""

    name: str
    description: str
    sources: tuple[str, ...] = pydantic.Field(min_length=1, description="datasheets cited")
    mcu: str
    core: str
    instruction_set: InstructionSet = pydantic.Field(description="kernel set the core can run")
    platform: str = pydantic.Field(description="a folder of firmware_templates/platform")
    evidence: Evidence = pydantic.Field(description="what was shown to run, never more")
    flasher: str = pydantic.Field(description="a module of exporter/flash")
    memory: tuple[MemoryRegion, ...] = pydantic.Field(min_length=2)
    stack_bytes: Bytes
    link_chunk_bytes: Bytes = pydantic.Field(description="largest payload of one link frame")
    uart: Uart | None = None
    timer: Timer | None = pydantic.Field(
        default=None, description="absent: latency under interrupt load cannot be measured"
    )
    ticks: Ticks
    watchdog: Watchdog | None = pydantic.Field(
        default=None, description="absent: a run that hangs is ended by the host, without a report"
    )
    registers: dict[str, Address] = pydantic.Field(
        default_factory=dict, description="base addresses of other peripherals the platform uses"
    )
    compilers: dict[Literal["gcc", "clang"], Compiler] = pydantic.Field(
        min_length=1, description="the first is the default: the one whose code was measured faster"
    )
    emulator: Emulator | None = None

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        kinds = {region.kind for region in self.memory}
        if kinds != {"flash", "ram"}:
            raise ValueError("memory needs a region of kind flash and one of kind ram")
        for what in get_args(Placeable):
            if not any(region.may_hold(what) for region in self.memory):
                raise ValueError(f"no region holds {what}: add it to `holds` of one")
        _check_apart(self.memory)
        if self.stack_bytes % 16:
            raise ValueError("stack_bytes is a multiple of 16, the strictest stack alignment")
        if self.flasher == "emulator" and self.emulator is None:
            raise ValueError("flasher 'emulator' needs an entry 'emulator'")
        return self

    @property
    def default_toolchain(self) -> Literal["gcc", "clang"]:
        return next(iter(self.compilers))

    def region(self, kind: Literal["flash", "ram"]) -> MemoryRegion:
        """The first region of this kind: that of the program, or of stack and data."""
        return next(region for region in self.memory if region.kind == kind)

    def linker_name(self, region: MemoryRegion) -> str:
        """The name of a region in linker scripts: FLASH, RAM, then FLASH2, RAM2 ..."""
        number = [other for other in self.memory if other.kind == region.kind].index(region) + 1
        return f"{region.kind.upper()}{number if number > 1 else ''}"

    @property
    def flash_bytes(self) -> int:
        """Bytes of the first flash: code, constants and initial values, and of most boards all."""
        return self.region("flash").bytes

    @property
    def ram_bytes(self) -> int:
        """Bytes of the first RAM: stack, data, and of most boards the arena."""
        return self.region("ram").bytes

    @property
    def freestanding(self) -> bool:
        """Whether the firmware runs without an operating system and a C library."""
        return self.evidence != "native"


def _check_apart(regions: tuple[MemoryRegion, ...]) -> None:
    """Raise ValueError where two regions have one name or common addresses."""
    for one, other in itertools.combinations(regions, 2):
        if one.name == other.name:
            raise ValueError(f"two regions are called {one.name}: each needs a name of its own")
        if one.origin < other.end and other.origin < one.end:
            raise ValueError(
                f"regions {one.name} [0x{one.origin:08X}, 0x{one.end:08X}) and {other.name} "
                f"[0x{other.origin:08X}, 0x{other.end:08X}) overlap"
            )


def board_folder() -> Path:
    """The folder `boards`: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).resolve().parent
    installed = package / "boards"
    return installed if installed.is_dir() else package.parent / "boards"


@cache
def board_names() -> tuple[str, ...]:
    """Names of all boards, sorted."""
    return tuple(sorted(path.stem for path in board_folder().glob("*.yaml")))


@cache
def load_board(name: str) -> Board:
    """The board of that name. Raises BadInput, with the nearest names, where there is none."""
    if name not in board_names():
        nearest = difflib.get_close_matches(name, board_names(), n=3, cutoff=0.5)
        raise BadInput(
            "unknown board",
            value=name,
            allowed=board_names(),
            next_step=f"did you mean {' or '.join(nearest)}?"
            if nearest
            else "nanoexport boards lists them with what they are",
        )
    return read_board(board_folder() / f"{name}.yaml")


def all_boards() -> tuple[Board, ...]:
    """All boards, by name."""
    return tuple(load_board(name) for name in board_names())


def read_board(path: Path) -> Board:
    """The board in one YAML file. Raises BadInput where the file does not fit the schema."""
    try:
        board = Board.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, pydantic.ValidationError) as error:
        raise BadInput(
            f"the board file {path.name} cannot be used",
            value=" ".join(str(error).split()),
            allowed="a file that fits boards/schema.json",
            next_step="compare it with another file in boards/",
        ) from error
    if board.name != path.stem:
        raise InternalError(
            f"the board in {path.name} calls itself by another name", value=board.name
        )
    return board


def schema_json() -> str:
    """The text of boards/schema.json."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(schema | Board.model_json_schema(), indent=2, sort_keys=True) + "\n"
