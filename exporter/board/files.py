"""`boards/<name>.yaml`, one file per board, read into a frozen `Board`.

Addresses and sizes come from the datasheet that the file cites, sizes in bytes.
`boards/schema.json` is the JSON schema of these models, for editors; a test keeps the two equal.

A board may also be in a file of the user's. Once that has been read, its name means this board for
the rest of the process: projects, places and budgets name boards.
"""

from __future__ import annotations

import difflib
import json
from functools import cache
from pathlib import Path

import pydantic
import yaml

from exporter.board.behind_loader import BEHIND_LOADER, behind_loader
from exporter.board.complaints import complaint
from exporter.board.model import Board
from exporter.errors import BadInput

SUFFIXES = (".yaml", ".yml")

_own: dict[str, tuple[Board, str]] = {}
"""Boards of files of the user's, with the text of the file, by name."""


def board_folder() -> Path:
    """The folder `boards`: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "boards"
    return installed if installed.is_dir() else package.parent / "boards"


@cache
def _supplied() -> dict[str, Path]:
    return {path.stem: path for path in board_folder().glob("*.yaml")}


def board_names() -> tuple[str, ...]:
    """Names of all boards, sorted."""
    return tuple(sorted({*_supplied(), *_own}))


def load_board(name: str) -> Board:
    """The board of that name, or in that file, `board.yaml`; `NAME+loader` is the board behind our
    boot loader.

    Raises BadInput: there is none, with the nearest names; the file does not fit the schema, or its
    board has the name of one that is supplied.
    """
    plain, behind, _ = name.partition(BEHIND_LOADER)
    if behind and name == plain + BEHIND_LOADER:
        return behind_loader(load_board(plain))
    if name.endswith(SUFFIXES):
        return _read_own(Path(name))
    if name in _own:
        return _own[name][0]
    if name not in _supplied():
        nearest = difflib.get_close_matches(name, board_names(), n=3, cutoff=0.5)
        raise BadInput(
            "unknown board",
            value=name,
            allowed=board_names(),
            next_step=f"did you mean {' or '.join(nearest)}?"
            if nearest
            else "nanoexport boards lists them with what they are",
        )
    return _read_supplied(name)


def forget_own_boards() -> None:
    """Know the supplied boards alone."""
    _own.clear()


def own_board_file(board: Board) -> dict[str, str]:
    """Name and text of the file that what is made for `board` carries; none of a supplied one."""
    return {f"{board.name}.yaml": _own[board.name][1]} if board.name in _own else {}


def board_file_text(board: Board) -> str:
    """The text of the file that the board was read from."""
    if board.name in _own:
        return _own[board.name][1]
    return _supplied()[board.name].read_text(encoding="utf-8")


@cache
def _read_supplied(name: str) -> Board:
    return read_board(_supplied()[name])


def _read_own(path: Path) -> Board:
    if path.resolve() == _supplied().get(path.stem):
        return _read_supplied(path.stem)
    board = read_board(path)
    if board.name in _supplied():
        raise BadInput(
            f"the board in {path.name} has the name of one that comes with nanoexport",
            value=board.name,
            next_step=f"give it a name of its own, and its file the same: {board.name}-mine.yaml",
        )
    _own[board.name] = board, path.read_text(encoding="utf-8")
    return board


def all_boards() -> tuple[Board, ...]:
    """All boards, by name."""
    return tuple(load_board(name) for name in board_names())


def read_board(path: Path) -> Board:
    """The board in one YAML file. Raises BadInput where the file does not fit the schema: it names
    the field, what it has, and what it may have.
    """
    try:
        board = Board.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise BadInput(
            f"the board file {path.name} cannot be read", value=reason, allowed="a YAML file"
        ) from error
    except pydantic.ValidationError as error:
        raise complaint(path, error) from error
    if board.name != path.stem:
        raise BadInput(
            f"the board in {path.name} has another name than its file",
            value=f"name: {board.name}",
            allowed=path.stem,
        )
    return board


def schema_json() -> str:
    """The text of boards/schema.json."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(schema | Board.model_json_schema(), indent=2, sort_keys=True) + "\n"
