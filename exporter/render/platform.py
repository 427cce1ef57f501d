"""Renders everything of a firmware project but the model: build files, platform, run time, app."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from exporter.board import Board, Timer
from exporter.board.behind_loader import HEADER_BYTES, REQUEST_STAY
from exporter.errors import BadInput
from exporter.render.environment import render, template_folder
from exporter.render.sections import USUAL_MEMORY, Memory
from exporter.toolchain import toolchain_for

# Every application needs these of `runtime`; the link application needs all of it.
CORE_RUNTIME = ("platform.h",)
FREESTANDING_RUNTIME = ("memory.c", "libc/string.h", "linker_symbols.h", "receive_ring.h")
PLACED_RUNTIME = "placed_sections.c"
NO_TIMER_RUNTIME = "no_timer.c"
LINK_APPS = ("hil",)

NO_WATCHDOG = "no_watchdog"
NO_CLOCK = "fixed_clock"
NO_CHIP = "no_chip"
OWN_LOADER = "own_loader"

SHARED_PLATFORM = "platform/shared"

TEMPLATE_SUFFIX = ".j2"
_INCLUDED = re.compile(r'^#include "(.+)"$', re.MULTILINE)


def app_names() -> tuple[str, ...]:
    """The applications that a project can be rendered with."""
    folder = template_folder() / "apps"
    return tuple(sorted(path.name for path in folder.iterdir() if any(path.glob("main.c*"))))


def render_platform(
    board: Board,
    *,
    app: str | Mapping[str, str],
    toolchain: str,
    optimize: str,
    model_sources: Sequence[str],
    prefix: str = "model",
    memory: Memory = USUAL_MEMORY,
    definitions: Sequence[str] = (),
) -> dict[str, str]:
    """The text of each file, by path relative to the project.

    `app` names a folder of `firmware_templates/apps`, or is the application itself: its files by
    name. `model_sources` are the C files of the model, relative to the project, rendered elsewhere;
    where there are none there is no footprint either. `prefix` is that of the model's functions,
    `memory` says whose the arena is, how the input comes, and what goes into regions of its own;
    `definitions` are further preprocessor definitions for the firmware.

    Raises BadInput for an unknown app, toolchain or optimisation.
    """
    files: dict[str, str] = {}
    context: dict[str, Any] = {
        "board": board,
        "timer": _timer(board, app),
        "loader_stay": REQUEST_STAY,
        "loader_header_bytes": HEADER_BYTES,
        "toolchain": toolchain_for(board, toolchain, optimize),
        "regions": list(_linker_regions(board)),
        "placed": memory,
        "prefix": prefix,
        "input_by_rows": memory.input_by_rows,
        "arena": memory.arena_owner,
        "definitions": (
            f"NANO_LINK_PAYLOAD_BYTES={board.link_chunk_bytes}u",
            *(["NANO_PLACED_SECTIONS"] if memory.is_placed else []),
            *definitions,
        ),
    }
    for name in _runtime_files(board, app, memory):
        files[f"runtime/{name}"] = _text(f"runtime/{name}", context)
    for source, name in _platform_files(board, app):
        files[f"platform/{name}"] = _text(source, context)
    files |= {f"app/{name}": text for name, text in _app_files(app, context).items()}
    sources = {
        f"{folder}_sources": [path for path in sorted(files) if _is_source(path, folder)]
        for folder in ("runtime", "platform", "app")
    }
    context |= sources | {"model_sources": list(model_sources)}
    for name in ("CMakeLists.txt", "toolchain.cmake"):
        files[name] = render(f"project/{name}{TEMPLATE_SUFFIX}", **context)
    if model_sources:
        for name in ("footprint.c", "footprint.ld"):
            files[f"footprint/{name}"] = render(f"project/{name}{TEMPLATE_SUFFIX}", **context)
    return dict(sorted(files.items()))


def _is_source(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/") and path.endswith(".c") and path != "runtime/memory.c"


def _linker_regions(board: Board) -> Iterator[dict[str, object]]:
    """The board's memory with the names of the linker script."""
    for region in board.memory:
        yield region.model_dump() | {"linker_name": board.linker_name(region)}


def _runtime_files(board: Board, app: str | Mapping[str, str], memory: Memory) -> list[str]:
    folder = template_folder() / "runtime"
    names = set(CORE_RUNTIME)
    if app in LINK_APPS:
        names |= {path.relative_to(folder).as_posix() for path in _files(folder)}
    if _timer(board, app) is not None:
        names.discard(NO_TIMER_RUNTIME)
    names = names - {PLACED_RUNTIME} | ({PLACED_RUNTIME} if memory.is_placed else set())
    if board.freestanding:
        return sorted(names | set(FREESTANDING_RUNTIME))
    return sorted(names - set(FREESTANDING_RUNTIME) | {"memory.c"})


def _timer(board: Board, app: str | Mapping[str, str]) -> Timer | None:
    """The board's timer, where the application has a use for it."""
    return board.timer if app in LINK_APPS else None


def _platform_files(board: Board, app: str | Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Template path and name of each file of the platform, of its drivers only the board's."""
    folders = platform_folders(board)
    for folder in folders:
        for path in _files(template_folder() / folder):
            name = path.relative_to(template_folder() / folder).as_posix()
            if not name.startswith("drivers/"):
                yield f"{folder}/{name}", name.removesuffix(TEMPLATE_SUFFIX)
    drivers = [driver_path(f"{d}.c", folders) for d in drivers_of(board, timer=_timer(board, app))]
    for source in dict.fromkeys((*drivers, *headers_of(drivers))):
        yield source, PurePosixPath(source).name


def headers_of(drivers: Iterable[str]) -> Iterator[str]:
    """The headers that drivers include and that lie beside them: what several have in common."""
    for driver in drivers:
        text = (template_folder() / driver).read_text(encoding="utf-8")
        for name in _INCLUDED.findall(text):
            header = str(PurePosixPath(driver).with_name(name))
            if (template_folder() / header).is_file():
                yield header
                yield from headers_of([header])


def platform_folders(board: Board) -> tuple[str, ...]:
    """Of templates: the board's platform, and what all platforms of bare machines share."""
    own = f"platform/{board.platform}"
    if not (template_folder() / own).is_dir():
        raise BadInput(
            f"the board {board.name} names a platform that does not exist",
            value=board.platform,
            allowed=sorted(
                path.name
                for path in (template_folder() / "platform").iterdir()
                if path.name != PurePosixPath(SHARED_PLATFORM).name
            ),
        )
    return (own, SHARED_PLATFORM) if board.freestanding else (own,)


def driver_path(name: str, folders: Sequence[str]) -> str:
    """Template path of a driver's file, in the first of the folders that has it."""
    for folder in folders:
        path = f"{folder}/drivers/{name}"
        if (template_folder() / path).is_file():
            return path
    drivers = (
        path for folder in folders for path in _files(template_folder() / folder / "drivers")
    )
    raise BadInput(
        "the board names a driver that does not exist",
        value=name.removesuffix(".c"),
        allowed=sorted(path.stem for path in drivers if path.suffix == ".c"),
    )


def check_drivers(board: Board) -> None:
    """Raises BadInput where the board's file names a platform or driver that does not exist."""
    for driver in drivers_of(board, timer=board.timer):
        driver_path(f"{driver}.c", platform_folders(board))


def drivers_of(board: Board, *, timer: Timer | None) -> tuple[str, ...]:
    """The drivers of a board, with those that stand for what it does not have."""
    if not board.freestanding:
        return (board.watchdog.driver,) if board.watchdog is not None else ()
    return (
        *((board.boot.driver,) if board.boot is not None else ()),
        board.clock.driver if board.clock is not None else NO_CLOCK,
        *((board.interrupts.driver,) if board.interrupts is not None else ()),
        *((board.uart.driver,) if board.uart is not None else ()),
        board.ticks.source,
        *((timer.driver,) if timer is not None else ()),
        board.watchdog.driver if board.watchdog is not None else NO_WATCHDOG,
        board.chip.driver if board.chip is not None else NO_CHIP,
        *((OWN_LOADER,) if board.loader_request is not None else ()),
    )


def _app_files(app: str | Mapping[str, str], context: Mapping[str, Any]) -> dict[str, str]:
    if not isinstance(app, str):
        return dict(app)
    if app not in app_names():
        raise BadInput("unknown application", value=app, allowed=app_names())
    folder = template_folder() / "apps" / app
    names = [path.relative_to(folder).as_posix() for path in _files(folder)]
    return {
        name.removesuffix(TEMPLATE_SUFFIX): _text(f"apps/{app}/{name}", context) for name in names
    }


def _text(source: str, context: Mapping[str, Any]) -> str:
    """A template with this context, or a file as it is."""
    if source.endswith(TEMPLATE_SUFFIX):
        return render(source, **context)
    return (template_folder() / source).read_text(encoding="utf-8")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
