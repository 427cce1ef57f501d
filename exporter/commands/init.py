"""The command `init`: a project of the user's, with a model, its tests on a board, and CI."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from exporter.board import Board, all_boards, load_board, own_board_file
from exporter.build.firmware import Settings, compile_for
from exporter.console import Output
from exporter.errors import BadInput
from exporter.flash import FLASHERS, Launcher, Writer, real_flashers, rp2040js
from exporter.options import FOLDER, MODEL, board_option, common_options
from exporter.process import PACKAGES
from exporter.render.environment import USER_PROJECT, render, template_folder

EXAMPLE = "digits.tflite"
EXAMPLE_FILES = (EXAMPLE, "digits.npz")
DEFAULT_BOARD = "mps2-an386"
DEBIAN = "Debian package "
TEMPLATES = {
    "README.md": "README.md.j2",
    "test_model.py": "test_model.py.j2",
    "conftest.py": "conftest.py.j2",
    "budget.yaml": "budget.yaml.j2",
    ".github/workflows/boards.yml": "github_boards.yml.j2",
    ".gitlab-ci.yml": "gitlab_ci.yml.j2",
}
"""Files of a project, each with its template."""


@dataclass(frozen=True)
class Start:
    """What a project begins with. `ci_board` is the one whose emulator runs the tests."""

    model: Path
    board: Board
    ci_board: Board

    @property
    def is_example(self) -> bool:
        return self.model == _folder() / "example" / EXAMPLE


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--model", type=MODEL, help="An int8 .tflite of yours; without it, a small example.")
@board_option(required=False)
@common_options
@click.pass_obj
def init(output: Output, /, folder: Path, model: Path | None, board: str | None) -> None:
    r"""Start a project in FOLDER: a model, tests of it on a board, a budget, CI that runs them.

    \b
    Examples:
      nanoexport init my-project
      nanoexport init my-project --model my.tflite --board nucleo-f446re
    """
    _require_empty(folder)
    chosen = load_board(board or DEFAULT_BOARD)
    start = Start(model or _folder() / "example" / EXAMPLE, chosen, _emulated(chosen))
    files = _rendered(start)
    _write(folder, start, files)
    _say_next(output, folder, start, files)


def _folder() -> Path:
    return template_folder() / USER_PROJECT


def _require_empty(folder: Path) -> None:
    """A repository that has nothing yet will do. Raises BadInput."""
    if folder.exists() and not folder.is_dir():
        raise BadInput("the project's folder is a file", value=folder, allowed="a folder")
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    others = [name for name in found if name != ".git"]
    if others:
        raise BadInput(
            f"the folder '{folder}' is not empty: nothing was written",
            value=", ".join(others[:3]) + (" ..." if len(others) > 3 else ""),
            allowed="a new folder, or an empty one",
            next_step="choose another folder",
        )


def _emulated(board: Board) -> Board:
    """`board`, where this computer runs it, or the roomiest with its core, or of its platform."""
    if isinstance(FLASHERS[board.default_flasher.name], Launcher):
        return board
    roomy = sorted(all_boards(), key=lambda other: other.ram_bytes, reverse=True)
    runs = [other for other in roomy if other.default_flasher.name == "emulator"]
    same_core = (other for other in runs if other.core == board.core)
    same_platform = (other for other in runs if other.platform == board.platform)
    return next(same_core, None) or next(same_platform, load_board(DEFAULT_BOARD))


def _rendered(start: Start) -> dict[str, str]:
    """The text of each file. Raises BadInput or CheckFailed: a model that no board runs."""
    program = compile_for(start.model, start.ci_board, Settings()).program
    if start.board != start.ci_board:
        compile_for(start.model, start.board, Settings())
    own = own_board_file(start.board)
    context: dict[str, Any] = {
        "model": start.model.name,
        "is_example": start.is_example,
        "board": start.board.name,
        "board_file": next(iter(own), None),
        "board_argument": _argument(start.board),
        "on_the_board": _flash_options(start.board),
        "port": _port(start.board),
        "ci_board": start.ci_board.name,
        "ci_argument": _argument(start.ci_board),
        "ci_board_is_other": start.board != start.ci_board,
        "same_core": start.board.core == start.ci_board.core,
        "packages": _packages(start.ci_board),
        "npm_package": _npm_package(start.ci_board),
        "arena_bytes": program.arena_bytes,
        "stack_bytes": start.ci_board.stack_bytes,
    }
    files = {
        path: render(f"{USER_PROJECT}{template}", **context) for path, template in TEMPLATES.items()
    }
    files[".gitignore"] = (_folder() / "gitignore").read_text(encoding="utf-8")
    return files | own


def _argument(board: Board) -> str:
    """How a command names the board, in the project's folder."""
    return next(iter(own_board_file(board)), board.name)


def _port(board: Board) -> str:
    """What Linux calls the port of such a link, where it is the only one."""
    return (
        "/dev/ttyUSB0" if board.link is None or board.link.kind == "uart_pins" else "/dev/ttyACM0"
    )


def _flash_options(board: Board) -> str | None:
    """What `flash` is told to write to the real board; None for one that is a program only."""
    name = next(iter(real_flashers(board)), None)
    if name is None:
        return None
    writer = FLASHERS[name]
    options = [] if name == board.default_flasher.name else [f"--flasher {name}"]
    if isinstance(writer, Writer) and writer.port_kind == "server":
        options.append("--port localhost:3333")
    if board.link is None or board.link.kind == "uart_pins":
        options.append(f"--link-port {_port(board)}")
    return "".join(f" {option}" for option in options)


def _npm_package(board: Board) -> str | None:
    """The emulator, where it is a package of Node.js."""
    is_one = board.default_flasher.name == rp2040js.Rp2040jsFlasher.name
    return f"{rp2040js.PACKAGE}@{rp2040js.VERSION}" if is_one else None


def _packages(board: Board) -> list[str]:
    """Debian packages of compiler and emulator; Python packages come with nanoexport."""
    programs = [board.compilers[board.default_toolchain].program]
    programs += [board.emulator.program] if board.emulator is not None else []
    programs += ["npm"] if _npm_package(board) else []
    named = [PACKAGES.get(program, "") for program in programs]
    return [name.removeprefix(DEBIAN) for name in named if name.startswith(DEBIAN)]


def _write(folder: Path, start: Start, files: dict[str, str]) -> None:
    copied = [start.model.with_name(name) for name in EXAMPLE_FILES] if start.is_example else []
    try:
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8", newline="\n")
        for source in copied or [start.model]:
            shutil.copyfile(source, folder / source.name)
    except OSError as error:
        raise BadInput(
            f"cannot write the project to '{folder}'",
            value=error.strerror,
            next_step="choose a folder that you may write to",
        ) from error


def _say_next(output: Output, folder: Path, start: Start, files: dict[str, str]) -> None:
    ci_board = _argument(start.ci_board)
    output.text(f"{folder}: {start.model.name} for {start.board.name}, tests, budget, CI")
    if start.ci_board != start.board:
        output.text(f"  {start.board.name} has no emulator here: CI runs the tests on {ci_board}")
    output.text(f"next: cd {folder} && pytest --nano-board {ci_board}")
    output.document(
        {
            "folder": str(folder),
            "model": start.model.name,
            "board": start.board.name,
            "emulated_board": start.ci_board.name,
            "files": sorted([*files, start.model.name]),
        }
    )
