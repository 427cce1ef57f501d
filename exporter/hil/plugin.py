"""The pytest plugin: a board as a fixture.

    pytest --nano-board mps2-an386 --nano-model model.tflite
    pytest --nano-board mps2-an386 --nano-port /dev/ttyACM0

    def test_it_knows_a_seven(device):
        device.write_input(0, np.load("seven.npy"))
        device.invoke()
        assert device.read_output(0).argmax() == 7

Fixtures: `board`, the Board named by --nano-board; `firmware`, built once a session for the model
of the fixture `nano_model` (or --nano-model) and cached by content; `device`, a fresh start of that
firmware for each test. A board that is named but missing is an error, never a skip; without
--nano-board the tests that need one are skipped with that reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter.board import Board, load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.errors import NanoexportError
from exporter.hil.session import open_device
from exporter.link.device import Device

NO_BOARD = "no board named: add --nano-board NAME"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("nanoexport", "hardware in the loop")
    group.addoption(
        "--nano-board", metavar="NAME", help="board to run on, as 'nanoexport boards' lists"
    )
    group.addoption("--nano-port", metavar="PORT", help="port of a board that carries the firmware")
    group.addoption("--nano-model", metavar="FILE", help="flatbuffer to build the firmware from")
    group.addoption(
        "--nano-toolchain", choices=("gcc", "clang"), help="compiler; by default the board's"
    )
    group.addoption(
        "--nano-dialect", choices=("tflite", "litert"), default=Settings().dialect, help="dialect"
    )


def pytest_report_header(config: pytest.Config) -> str | None:
    name = config.getoption("--nano-board")
    port = config.getoption("--nano-port") or "started by the tests"
    return f"nanoexport: board {name}, port {port}" if name else None


@pytest.fixture(scope="session")
def board(pytestconfig: pytest.Config) -> Board:
    """The board named by --nano-board."""
    name = pytestconfig.getoption("--nano-board")
    if name is None:
        pytest.skip(NO_BOARD)
    return _or_usage_error(lambda: load_board(name))


@pytest.fixture(scope="session")
def nano_model(pytestconfig: pytest.Config) -> Path:
    """The flatbuffer to run. Override it in a conftest.py to fix the model of a test suite."""
    path = pytestconfig.getoption("--nano-model")
    if path is None:
        raise pytest.UsageError("no model: add --nano-model FILE, or define the fixture nano_model")
    return Path(path)


@pytest.fixture(scope="session")
def firmware(board: Board, nano_model: Path, pytestconfig: pytest.Config) -> ModelFirmware:
    """The firmware of the model for the board: built once, cached by content hash."""
    settings = Settings(
        dialect=pytestconfig.getoption("--nano-dialect"),
        toolchain=pytestconfig.getoption("--nano-toolchain"),
    )
    return firmware_for(nano_model, board, settings)


@pytest.fixture
def device(firmware: ModelFirmware, pytestconfig: pytest.Config) -> Iterator[Device]:
    """The board with the firmware running, identified; for each test anew."""
    with open_device(firmware, port=pytestconfig.getoption("--nano-port")) as opened:
        yield opened


def _or_usage_error(load: Callable[[], Board]) -> Board:
    """A wrong board name ends the run instead of failing each test with it."""
    try:
        return load()
    except NanoexportError as error:
        raise pytest.UsageError(str(error)) from error
