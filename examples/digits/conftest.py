"""The model that this folder's tests run on the board."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.board import Board
from exporter.convert import convert

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def nano_model(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network as an int8 flatbuffer; `board` first: without one, there is nothing to do."""
    output = tmp_path_factory.mktemp("digits") / "digits.tflite"
    convert(HERE / "digits.keras", HERE / "calibration.npz", output)
    return output
