"""Which of the shared models fit which board: each pair is built, or refused with by how much.

python -m tests.build.every_board [--board BOARD ...]
"""

from __future__ import annotations

import argparse
import re
import sys

from exporter.board import Board, board_names, load_board
from exporter.build.firmware import Settings, firmware_for
from exporter.errors import CheckFailed
from tests.benchmarks.measure import MODELS, model_path

BY_HOW_MUCH = re.compile(r"\b(\d+) bytes too (?:much|many)\b")


def fit(model: str, board: Board) -> str:
    """What the built firmware takes, or by how much it is too big.

    Raises AssertionError where a refusal does not say by how much.
    """
    try:
        image = firmware_for(model_path(model), board, Settings()).image
    except CheckFailed as failure:
        if not BY_HOW_MUCH.search(failure.what):
            raise AssertionError("the refusal does not say by how much") from failure
        return failure.what
    return f"fits: image {image.image_bytes:,}, RAM {image.ram_bytes:,}"


def main() -> int:
    """Print a line for each pair."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--board", action="append", choices=board_names())
    boards = [load_board(name) for name in parser.parse_args().board or board_names()]
    for board in boards:
        for model in MODELS:
            print(f"{board.name:28} {model:24} {fit(model, board)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
