"""Renders our boot loader for a board: a project like a firmware's, without a model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import PurePosixPath

from exporter import __version__
from exporter import toolchain as toolchains
from exporter.board import Board, BootLoader, LoaderLayout
from exporter.board.behind_loader import BEHIND_LOADER, REQUEST_STAY, loader_of
from exporter.errors import BadInput
from exporter.render.environment import render, template_folder, templates_sha256
from exporter.render.platform import (
    NO_CLOCK,
    SHARED_PLATFORM,
    driver_path,
    headers_of,
    platform_folders,
)
from exporter.render.project import Project

_FOLDER = "boot_loader"
_OF_PLATFORM = ("assembly.h", "registers.h")
_OF_RUNTIME = ("crc32.c", "crc32.h")


def render_boot_loader(board: Board, toolchain: str) -> Project:
    """Everything of the project; nothing is written.

    Raises:
        BadInput: there is no loader for this board, or no such toolchain. MissingTool: the compiler
            is not installed.
    """
    if board.loader_request is not None:
        raise BadInput(
            "a boot loader is not put behind a boot loader",
            value=board.name,
            allowed=board.name.removesuffix(BEHIND_LOADER),
            next_step="name the board without it; firmware is what is for the board with it",
        )
    loader = loader_of(board)
    files = {
        f"loader/{PurePosixPath(source).name}": (template_folder() / source).read_text("utf-8")
        for source in _sources(board, loader)
    }
    context: dict[str, object] = {
        "board": board,
        "timer": None,
        "loader_stay": REQUEST_STAY,
        "layout": LoaderLayout.of(board),
        "loader": loader,
        "toolchain": toolchains.toolchain_for(board, toolchain, "size"),
        "sources": sorted(path for path in files if path.endswith(".c")),
    }
    files["loader/layout.h"] = render(f"{_FOLDER}/layout.h.j2", **context)
    files["loader/linker.ld"] = render(f"{_FOLDER}/linker.ld.j2", **context)
    files["loader/board.h"] = render(f"platform/{board.platform}/board.h.j2", **context)
    files["CMakeLists.txt"] = render(f"{_FOLDER}/CMakeLists.txt.j2", **context)
    files["toolchain.cmake"] = render("project/toolchain.cmake.j2", **context)
    files = dict(sorted(files.items()))
    return Project(files, _manifest(files, board, toolchain))


def _sources(board: Board, loader: BootLoader) -> Iterator[str]:
    """Paths of what is taken as it is: the loader, its drivers, and a little of the firmware's."""
    for path in sorted((template_folder() / _FOLDER).glob("*.[ch]")):
        yield f"{_FOLDER}/{path.name}"
    for driver in (loader.flash_driver, loader.uart_driver, loader.timer_driver):
        yield f"{_FOLDER}/drivers/{driver}.c"
    yield from (f"platform/{board.platform}/{name}" for name in _OF_PLATFORM)
    yield from (f"runtime/{name}" for name in _OF_RUNTIME)
    clock = board.clock.driver if board.clock is not None else NO_CLOCK
    yield f"{SHARED_PLATFORM}/clock.h"
    yield driver_path(f"{clock}.c", platform_folders(board))
    yield from headers_of([driver_path(f"{clock}.c", platform_folders(board))])


def _manifest(files: dict[str, str], board: Board, toolchain: str) -> dict[str, object]:
    hashes = {path: hashlib.sha256(text.encode()).hexdigest() for path, text in files.items()}
    compiler = toolchains.identity(board, toolchain)
    whole = "\0".join((compiler, *(f"{path}\0{digest}" for path, digest in hashes.items())))
    return {
        "schema_version": 1,
        "generator": f"nanoexport {__version__}",
        "board": board.name,
        "app": _FOLDER,
        "toolchain": toolchain,
        "compiler": compiler,
        "templates_sha256": templates_sha256(),
        "build_id": hashlib.sha256(whole.encode()).hexdigest(),
        "files": hashes,
    }
