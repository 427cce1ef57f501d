"""`boards/<name>.yaml`, one file per board, read into a frozen `Board`.

Addresses and sizes come from the datasheet that the file cites, sizes in bytes.
`boards/schema.json` is the JSON schema of these models, for editors; a test keeps the two equal.
"""

from __future__ import annotations

import difflib
import json
from functools import cache
from pathlib import Path

import pydantic
import yaml

from exporter.board.model import Board
from exporter.errors import BadInput, InternalError


def board_folder() -> Path:
    """The folder `boards`: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).resolve().parent.parent
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
