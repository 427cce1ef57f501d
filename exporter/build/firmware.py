"""Firmware for a model on a board: compiled, rendered, built, and kept in a cache by content.

The cache's key is the build id, a hash over every rendered file and the compiler's version, so that
a hit is the same firmware byte for byte. Builds of one key wait for each other, also across
processes.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

if sys.platform != "win32":
    import fcntl

from exporter.board import Board
from exporter.build.compile import MANIFEST, Firmware, build
from exporter.build.placed import check_placed
from exporter.build.size import Footprint, ImageSize, check_fits, measure_footprint, measure_image
from exporter.build.stack import StackBound, stack_bound
from exporter.errors import BadInput, CheckFailed, InternalError
from exporter.ops.base import RAM_FOR_TIME, Dialect, Target
from exporter.plan.compile import Compilation, compile_model
from exporter.plan.placement import Placement, place
from exporter.plan.program import Program
from exporter.render.model import Arena
from exporter.render.project import Project, render_project, write_project

KERNEL_REGISTERS = {"riscv": 31, "host": 16}
"""General-purpose registers of a core family; Arm Cortex-M has 13 that a loop can use."""

ARMV6M_CORES = ("cortex-m0", "cortex-m0plus", "cortex-m1", "cortex-m23")
"""Cores whose Thumb has no 32-bit encodings beyond a few: Armv6-M, and Armv8-M Baseline."""


@dataclass(frozen=True)
class Settings:
    """What a model is built for: one set of defaults for every command."""

    dialect: Dialect = "tflite"
    optimize: str = "speed"
    toolchain: str | None = None
    """None: the board's default."""
    flash_price: int | None = None
    """Instructions that a byte of constants must save in an inference; None: by `optimize`."""
    ram_for_time: float = RAM_FOR_TIME
    """Per cent of instructions beyond the fastest plan that may be spent to save RAM."""
    input_by_rows: bool = False
    """The application gives the input row by row."""
    arena: Arena = "static"
    """Whether the model has its arena, or the application lends it."""
    without_passes: tuple[str, ...] = ()
    """Names of rewrites to leave out, to measure what they bring."""


@dataclass(frozen=True, eq=False)
class ModelFirmware:
    """A built firmware with everything that was predicted and measured about it."""

    board: Board
    settings: Settings
    compilation: Compilation
    firmware: Firmware
    image: ImageSize
    footprint: Footprint
    stack: StackBound | None
    """None where the stack is not ours (host)."""

    @property
    def program(self) -> Program:
        return self.compilation.program

    @property
    def placement(self) -> Placement:
        """Where arena and weights are."""
        return place(self.program, self.board)

    @property
    def toolchain(self) -> str:
        return self.settings.toolchain or self.board.default_toolchain

    @property
    def build_id(self) -> str:
        return str(self.firmware.manifest["build_id"])


def target_for(board: Board, settings: Settings) -> Target:
    """What kernels may be chosen for `board`."""
    return Target(
        instruction_set=board.instruction_set,
        registers=KERNEL_REGISTERS.get(board.platform, 13),
        thumb2=board.platform == "cortex_m" and board.core not in ARMV6M_CORES,
        optimize="size" if settings.optimize == "size" else "speed",
        dialect=settings.dialect,
        flash_price=settings.flash_price,
        ram_for_time=settings.ram_for_time,
        input_by_rows=settings.input_by_rows,
    )


def compile_for(model: Path, board: Board, settings: Settings) -> Compilation:
    """Compile `model` and check that arena and weights fit `board`.

    Raises:
        BadInput: the model cannot be compiled. CheckFailed: it is too big for the board.
    """
    compilation = compile_model(model, target_for(board, settings), settings.without_passes)
    place(compilation.program, board)
    return compilation


def firmware_for(
    model: Path, board: Board, settings: Settings, *, app: str = "hil", cache: Path | None = None
) -> ModelFirmware:
    """The firmware that runs `model` on `board`, built unless the cache has it.

    Raises:
        BadInput, CheckFailed, MissingTool: from the stages on the way.
    """
    compilation = compile_for(model, board, settings)
    toolchain = settings.toolchain or board.default_toolchain
    project = render_project(
        compilation.program, board, app=app, toolchain=toolchain, arena=settings.arena
    )
    firmware = _built(project, cache or cache_folder())
    if firmware.footprint is None:
        raise InternalError("the build left no footprint", value=firmware.project)
    image = measure_image(firmware.elf, board)
    check_fits(image, board)
    footprint = measure_footprint(firmware.footprint)
    stack = stack_bound(firmware)
    made = ModelFirmware(board, settings, compilation, firmware, image, footprint, stack)
    check_placed(firmware.elf, made.program, made.placement, board)
    return made


def cache_folder() -> Path:
    """NANOEXPORT_CACHE, or `nanoexport` in the user's cache folder."""
    chosen = os.environ.get("NANOEXPORT_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(chosen) if chosen else Path(base) / "nanoexport"


def _built(project: Project, cache: Path) -> Firmware:
    """Built in a temporary folder and moved into place: the cache never holds half a build."""
    home = cache / "firmware" / project.build_id
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with _lock(home.with_suffix(".lock")):
            if not (home / "complete").exists():
                shutil.rmtree(home, ignore_errors=True)
                _build_into(project, home)
    except OSError as error:
        raise BadInput(
            f"cannot use the firmware cache '{cache}'",
            value=error.strerror or str(error),
            next_step="set NANOEXPORT_CACHE to a folder you may write to",
        ) from error
    return Firmware.of(home)


def _build_into(project: Project, home: Path) -> None:
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".building-") as name:
        folder = Path(name) / "project"
        write_project(project, folder)
        try:
            build(folder)
        except CheckFailed as failure:
            if name in (failure.next_step or ""):  # the folder goes with the failure
                failure.next_step = "see all of it with: nanoexport render, then nanoexport build"
            raise
        (folder / "complete").touch()
        folder.replace(home)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """An exclusive lock that the system drops when the process ends."""
    with path.open("w") as handle:
        if sys.platform != "win32":  # there, two builds of one key may both be made
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


__all__ = [
    "MANIFEST",
    "ModelFirmware",
    "Settings",
    "cache_folder",
    "compile_for",
    "firmware_for",
    "target_for",
]
