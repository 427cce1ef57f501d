"""A firmware project on disk: the rendered files, and a manifest that says whose they are.

Rendering again into the same folder replaces nanoexport's own files and nothing else: a folder with
other files, or with files of ours that somebody edited, is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from exporter import __version__
from exporter import toolchain as toolchains
from exporter.board import Board, own_board_file
from exporter.errors import BadInput
from exporter.plan.placement import place
from exporter.plan.program import Program
from exporter.render.environment import templates_sha256
from exporter.render.model import GUARD_BYTES, Arena, Origin, render_description, render_model
from exporter.render.platform import render_platform
from exporter.render.sections import memory_of

MANIFEST = "nanoexport.json"
BUILD_FOLDER = "build"
DEFAULT_PREFIX = "model"


@dataclass(frozen=True)
class Project:
    """The files of a project, by path relative to its folder, and what they were made from."""

    files: Mapping[str, str]
    manifest: Mapping[str, Any]

    @property
    def build_id(self) -> str:
        """64 hex digits over every file, the templates, the compiler and its version."""
        return str(self.manifest["build_id"])


def render_project(
    program: Program,
    board: Board,
    *,
    app: str,
    toolchain: str,
    prefix: str = DEFAULT_PREFIX,
    arena: Arena = "static",
) -> Project:
    """Render everything; nothing is written. `arena`: the model's own, or lent by the application.

    Raises:
        BadInput: unknown application or toolchain. MissingTool: the compiler is not installed.
    """
    serves_link = app == "hil"
    guard_bytes = GUARD_BYTES if serves_link else 0
    files = render_model(program, prefix=prefix, guard_bytes=guard_bytes, arena=arena)
    sources = [path for path in files if path.endswith(".c")]
    files |= render_platform(
        board,
        app=app,
        toolchain=toolchain,
        optimize=program.optimize,
        model_sources=[*sources, DESCRIPTION] if serves_link else sources,
        prefix=prefix,
        memory=replace(
            memory_of(place(program, board), board, prefix, arena),
            input_by_rows=program.given is not None,
        ),
    )
    files |= own_board_file(board)
    compiler = toolchains.identity(board, toolchain)
    origin = Origin(
        board.name, compiler, templates_sha256(), _build_id(files, compiler, templates_sha256())
    )
    if serves_link:
        files[DESCRIPTION] = render_description(program, prefix=prefix, origin=origin, arena=arena)
    manifest = {
        "schema_version": 1,
        "generator": f"nanoexport {__version__}",
        "model": program.name,
        "model_sha256": program.model_sha256,
        "dialect": program.dialect,
        "board": board.name,
        "app": app,
        "toolchain": toolchain,
        "compiler": compiler,
        "optimize": program.optimize,
        "templates_sha256": origin.templates_sha256,
        "build_id": origin.build_id,
        "arena": arena,
        "arena_bytes": program.arena_bytes,
        "weights_bytes": program.weights_bytes,
        "files": {path: _sha256(text) for path, text in sorted(files.items())},
    }
    return Project(files, manifest)


DESCRIPTION = "model/model_description.c"


def _build_id(files: Mapping[str, str], compiler: str, templates: str) -> str:
    """Over everything but the description, which carries the id and both of the others."""
    digest = hashlib.sha256(f"{compiler}\0{templates}".encode())
    for path in sorted(files):
        digest.update(f"\0{path}\0{files[path]}".encode())
    return digest.hexdigest()


def write_project(project: Project, folder: Path, *, force: bool = False) -> None:
    """Write `project` into `folder`, which is made, or holds an earlier rendering and nothing else.

    With `force`, files of an earlier rendering are replaced even where they were edited. Where a
    file cannot be written, none is replaced; the manifest is replaced last.

    Raises:
        BadInput: the folder has other files, or edited ones, or cannot be written.
    """
    earlier = _earlier_files(folder)
    _refuse_foreign(folder, earlier)
    if not force:
        _refuse_edited(folder, earlier)
    try:
        _write_all(
            folder, {**project.files, MANIFEST: json.dumps(project.manifest, indent=2) + "\n"}
        )
        for stale in earlier.keys() - project.files.keys():
            (folder / stale).unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(
            f"cannot write the project to '{folder}'",
            value=error.strerror,
            next_step="choose a folder you may write to",
        ) from error


def _earlier_files(folder: Path) -> dict[str, str]:
    """Path and hash of each file of an earlier rendering; empty where there was none."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return {str(path): str(digest) for path, digest in files.items() if _is_local(str(path))}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}


def _is_local(path: str) -> bool:
    """Whether a path of a manifest stays below its folder: the manifest may be from anywhere."""
    return not PurePath(path).is_absolute() and ".." not in PurePath(path).parts


def _refuse_foreign(folder: Path, earlier: Mapping[str, str]) -> None:
    if folder.exists() and not folder.is_dir():
        raise BadInput("the output is a file", value=folder, allowed="a folder")
    own = {*earlier, MANIFEST}
    foreign = [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.relative_to(folder).parts[0] != BUILD_FOLDER
        and path.relative_to(folder).as_posix() not in own
    ]
    if foreign:
        raise BadInput(
            f"the folder '{folder}' has files that nanoexport did not write",
            value=", ".join(foreign[:3]) + (" ..." if len(foreign) > 3 else ""),
            allowed="a new or empty folder, or one that was rendered before",
            next_step="choose another folder with -o, or move those files away",
        )


def _refuse_edited(folder: Path, earlier: Mapping[str, str]) -> None:
    edited = [
        path
        for path, digest in earlier.items()
        if (folder / path).is_file()
        and hashlib.sha256((folder / path).read_bytes()).hexdigest() != digest
    ]
    if edited:
        raise BadInput(
            f"files in '{folder}' were edited since they were rendered",
            value=", ".join(edited[:3]) + (" ..." if len(edited) > 3 else ""),
            next_step="render to another folder, or add --force to lose the edits",
        )


def _write_all(folder: Path, files: Mapping[str, str]) -> None:
    """Write every file, or leave all as they were: only what is written whole takes its place."""
    staged: list[tuple[Path, Path]] = []
    try:
        for path, text in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            staged.append((target.with_name(f".{target.name}.{os.getpid()}"), target))
            staged[-1][0].write_text(text, encoding="utf-8", newline="\n")
        for temporary, target in staged:
            temporary.replace(target)
    finally:
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
