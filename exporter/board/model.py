"""One board, as its file describes it."""

from __future__ import annotations

import itertools
from typing import Literal, Self, get_args

import pydantic

from exporter.board.flashers import FlasherSettings
from exporter.board.parts import (
    Address,
    Boot,
    BootLoader,
    Bytes,
    Chip,
    Clock,
    Compiler,
    Data,
    Emulator,
    InterruptController,
    Link,
    MemoryRegion,
    Placeable,
    Ticks,
    Timer,
    Uart,
    Watchdog,
)

Evidence = Literal["native", "emulated", "simulated", "built"]
InstructionSet = Literal["generic", "dsp", "mve"]


class Board(Data):
    """One board: its chip, memory, serial port, compilers, and how an image gets onto it."""

    name: str
    description: str
    sources: tuple[str, ...] = pydantic.Field(min_length=1, description="datasheets cited")
    mcu: str
    core: str
    instruction_set: InstructionSet = pydantic.Field(description="kernel set the core can run")
    platform: str = pydantic.Field(description="a folder of firmware_templates/platform")
    evidence: Evidence = pydantic.Field(description="what was shown to run, never more")
    flashers: tuple[FlasherSettings, ...] = pydantic.Field(
        min_length=1, description="ways to get an image onto it; the first is the default"
    )
    memory: tuple[MemoryRegion, ...] = pydantic.Field(min_length=2)
    stack_bytes: Bytes
    link_chunk_bytes: Bytes = pydantic.Field(description="largest payload of one link frame")
    link: Link | None = pydantic.Field(default=None, description="absent: there is no real board")
    boot: Boot | None = pydantic.Field(
        default=None, description="absent: the chip starts at the vector table, or at the entry"
    )
    clock: Clock | None = pydantic.Field(
        default=None, description="absent: the clocks are right after reset"
    )
    interrupts: InterruptController | None = pydantic.Field(
        default=None, description="absent: the core has its own"
    )
    uart: Uart | None = None
    timer: Timer | None = pydantic.Field(
        default=None, description="absent: latency under interrupt load cannot be measured"
    )
    ticks: Ticks
    watchdog: Watchdog | None = pydantic.Field(
        default=None, description="absent: a run that hangs is ended by the host, without a report"
    )
    chip: Chip | None = pydantic.Field(
        default=None, description="absent: no unique id, and a reset is all that a loader needs"
    )
    boot_loader: BootLoader | None = pydantic.Field(
        default=None, description="absent: there is no boot loader of ours for it"
    )
    loader_request: Address | None = pydantic.Field(
        default=None, description="of a board behind its boot loader: the word that asks for it"
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
        names = [settings.name for settings in self.flashers]
        if len(set(names)) < len(names):
            raise ValueError(f"a flasher is listed twice: {', '.join(names)}")
        if ("emulator" in names or "rp2040js" in names) != (self.emulator is not None):
            raise ValueError("an entry 'emulator' and the flasher for it need each other")
        return self

    @property
    def default_flasher(self) -> FlasherSettings:
        return self.flashers[0]

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
