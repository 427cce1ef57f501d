"""Fixtures of the command line and the hardware loop, a plugin: `pytest_plugins` names it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.board import files as boards
from tests.hil.support import REPOSITORY, dense_model, forget_boards, picture_model, saved


@pytest.fixture(scope="session")
def firmware_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that starts empty and is shared by the workers of one run."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    return shared / "nanoexport-cache"


@pytest.fixture
def own_cache(firmware_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use `firmware_cache`, not the user's."""
    monkeypatch.setenv("NANOEXPORT_CACHE", str(firmware_cache))
    return firmware_cache


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flatbuffer of one convolution and one dense layer."""
    return saved(tmp_path_factory.mktemp("small"), picture_model(), "small.tflite")


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another flatbuffer."""
    return saved(tmp_path_factory.mktemp("other"), dense_model(), "other.tflite")


@pytest.fixture
def board_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the folder `boards` that a test may add to."""
    folder = tmp_path / "boards"
    folder.mkdir()
    for path in boards.board_folder().glob("*.yaml"):
        (folder / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(boards, "board_folder", lambda: folder)
    forget_boards()
    yield folder
    monkeypatch.undo()
    forget_boards()


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder for pytest inside pytest, which finds the checkout and has locks of its own."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("NANOEXPORT_LOCKS", str(pytester.path / "locks"))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return pytester
