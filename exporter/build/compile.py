"""Builds a rendered project: CMake and Ninja, as a person would run them."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter import process
from exporter.board import Board, load_board
from exporter.build import uf2
from exporter.build.image_files import image_of_elf
from exporter.build.loader_header import fill_loader_header
from exporter.errors import BadInput, CheckFailed, NanoexportError

_log = logging.getLogger(__name__)

MANIFEST = "nanoexport.json"
UF2_FILE = "firmware.uf2"
CONFIGURE_SECONDS = 120.0
BUILD_SECONDS = 600.0

# GNU ld: "region `RAM' overflowed by 12 bytes"; LLD: "in region 'RAM': overflowed by 12 bytes".
_OVERFLOW = re.compile(r"region [`'](\w+)'(?::)? overflowed by (\d+) bytes")
_ERROR_LINE = re.compile(r"\b(?:error|undefined reference|undefined symbol|multiple definition)\b")
_ERROR_LINES = 12


@dataclass(frozen=True)
class Firmware:
    """A built project. `bin` and `hex` are None where the board runs ELF files (host), `uf2` where
    its boot loader takes none.

    `footprint` is the ELF that `exporter.build.size.measure_footprint` reads, None for a project
    without a model.
    """

    project: Path
    board: str
    manifest: dict[str, Any]
    elf: Path
    bin: Path | None
    hex: Path | None
    uf2: Path | None
    footprint: Path | None
    log: str

    @classmethod
    def of(cls, project: Path, log: str = "") -> Firmware:
        """What an earlier `build` left in `project`. Raises BadInput where it was never built."""
        manifest = read_manifest(project)
        folder = project / "build"
        elf = folder / "firmware.elf"
        if not elf.is_file():
            raise BadInput(
                "the project has not been built",
                value=project,
                next_step=f"build it first: nanoexport build {project}",
            )
        return cls(
            project=project,
            board=manifest["board"],
            manifest=manifest,
            elf=elf,
            bin=_existing(folder / "firmware.bin"),
            hex=_existing(folder / "firmware.hex"),
            uf2=_existing(folder / UF2_FILE),
            footprint=_existing(folder / "footprint.elf"),
            log=log,
        )


def read_manifest(project: Path) -> dict[str, Any]:
    """The manifest of a rendered project; where its board is the user's own, it is known then.

    Raises BadInput where the folder is none.
    """
    path = project / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(manifest, dict) or not isinstance(manifest.get("board"), str):
            raise ValueError("it does not name a board")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadInput(
            f"'{project}' is not a rendered project",
            value=f"{MANIFEST}: {reason}",
            allowed=f"a folder with {MANIFEST}",
            next_step="make one with: nanoexport render MODEL.tflite --board BOARD -o DIR",
        ) from error
    own_board = project / f"{manifest['board']}.yaml"
    if own_board.is_file():
        load_board(str(own_board))
    return manifest


def build(
    project: Path, *, options: Sequence[str] = (), timeout_seconds: float = BUILD_SECONDS
) -> Firmware:
    """Build `project` into `project/build`.

    `options` are further CMake definitions, `NAME=VALUE`. Raises BadInput for a folder that is no
    project, MissingTool without a compiler, CheckFailed where the code does not compile or does not
    fit the board's memory (by how many bytes).
    """
    manifest = read_manifest(project)
    board = load_board(manifest["board"])
    compiler = board.compilers.get(manifest.get("toolchain", "gcc"))
    if compiler is not None:
        process.find_tool(compiler.program)
    definitions = [f"-D{option}" for option in options]
    output = _cmake(
        ["cmake", "-G", "Ninja", "-S", ".", "-B", "build", *definitions],
        project,
        board,
        CONFIGURE_SECONDS,
    )
    output += _cmake(["cmake", "--build", "build"], project, board, timeout_seconds)
    if board.loader_request is not None:
        fill_loader_header(project / "build" / "firmware.elf", board)
    _write_uf2(project / "build", board)
    return Firmware.of(project, output)


def _write_uf2(folder: Path, board: Board) -> None:
    """The file that a boot loader's drive takes, where the board has one."""
    family_id = uf2.family_of(board)
    if family_id is not None:
        image = image_of_elf((folder / "firmware.elf").read_bytes())
        (folder / UF2_FILE).write_bytes(uf2.uf2_of_image(image, board, family_id))


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _cmake(argv: Sequence[str], project: Path, board: Board, timeout_seconds: float) -> str:
    process.find_tool("ninja")
    completed = process.run(argv, cwd=project, timeout_seconds=timeout_seconds, check=False)
    if completed.returncode != 0:
        raise _failure(completed.output, project, board)
    return completed.output


def _failure(output: str, project: Path, board: Board) -> NanoexportError:
    """What a failed build means: too big for the board, or the first errors of the compiler."""
    overflow = _OVERFLOW.search(output)
    if overflow is not None:
        surplus = int(overflow[2])
        name = overflow[1].removesuffix("_DATA")  # the same flash, as loads see it
        region = next(r for r in board.memory if board.linker_name(r) == name)
        return CheckFailed(
            f"the firmware does not fit: {surplus} bytes too much {region.kind} in {region.name}",
            value=f"{surplus} bytes over",
            next_step="take a board with more memory, a smaller model, or --optimize size",
        )
    lines = [line for line in output.splitlines() if _ERROR_LINE.search(line)]
    shown = "\n".join(lines[:_ERROR_LINES]) or process.tail(output)
    return CheckFailed(
        "the firmware does not build",
        value=shown,
        next_step=f"see all of it with: cmake --build {project / 'build'} --verbose",
    )
