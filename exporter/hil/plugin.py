"""The pytest plugin: a board as a fixture. docs/testing.md tells how to use it.

    pytest --nano-board mps2-an386 --nano-model model.tflite
    pytest --nano-board nucleo=/dev/ttyACM0 --nano-board nucleo=/dev/ttyACM1 -n 2 --nano-model ...

    def test_it_knows_a_seven(nano_device):
        nano_device.write_input(0, np.load("seven.npy"))
        nano_device.invoke()
        assert nano_device.read_output(0).argmax() == 7

Fixtures: `nano_board`, the Board; `nano_model`, the flatbuffer; `nano_firmware`, built for them and
cached by content; `nano_device`, a fresh start of it for each test, at a place of its own;
`nano_oracle`, the host reference; `nano_verify`, which compares both; `nano_budget`, which checks
limits. Tests run once for each board and model. The first use of a firmware seeds faults that the
run must notice. `board`, `firmware` and `device` are aliases, which a suite with other fixtures of
these names may shadow: nothing here depends on them. A board that is named but missing is an error,
never a skip; where none is named, the tests that need one are skipped with that reason.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from exporter.arrays import check_writable
from exporter.board import Board, load_board
from exporter.build.firmware import ModelFirmware, firmware_for
from exporter.errors import MissingTool, NanoexportError
from exporter.hil import budget
from exporter.hil.attempts import MARKER, RECORDING, run_test
from exporter.hil.locks import name_this_process
from exporter.hil.pool import DevicePool, Place
from exporter.hil.recording import Recording, RecordingDevice
from exporter.hil.run_controls import require_controls
from exporter.hil.run_options import RunOptions, add_options, read_options
from exporter.hil.run_report import RunReport
from exporter.hil.session import BoardEnded, expected_identity, open_line
from exporter.hil.vectors import Int8Array, make_vectors
from exporter.hil.verify import Verification, check_verification, verify_device
from exporter.link.device import Device, require_identity
from exporter.link.session import NoAnswer
from exporter.oracle.oracle import Oracle

NO_BOARD = "no board named: add --nano-board NAME"
NO_MODEL = "no model: add --nano-model FILE, or define the fixture nano_model"
MARKER_HELP = (
    "nano(boards=[NAME, ...], models=[FILE, ...], repeat=True): run on these, whatever the command "
    "line says (files: beside the test's); repeat=False: never run again after a lost device"
)
VECTORS = 20
RUN_FOLDER = "nano_run_folder"

_options = pytest.StashKey[RunOptions]()
_pool = pytest.StashKey[DevicePool]()
_run_folder = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER_HELP)
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    with _usage_errors():
        options = config.stash[_options] = read_options(config)
        folder = Path(worker[RUN_FOLDER] if worker else tempfile.mkdtemp(prefix="nanoexport-run-"))
        config.stash[_run_folder] = folder
        pool = DevicePool(options.places, broken_file=folder / "broken")
        config.stash[_pool] = pool
        if options.json is not None and not worker:
            check_writable(options.json)
    if worker:
        name_this_process(f"{' '.join(map(str, worker['mainargv']))}, worker {worker['workerid']}")
    elif options.boards:
        report = RunReport(config, options, pool, folder)
        config.pluginmanager.register(report, "nanoexport-run-report")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and _run_folder in config.stash:
        shutil.rmtree(config.stash[_run_folder], ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """A worker of pytest-xdist learns where the run keeps what its processes share."""
    node.workerinput[RUN_FOLDER] = str(node.config.stash[_run_folder])


def pytest_report_header(config: pytest.Config) -> str | None:
    options = config.stash[_options]
    if not options.boards:
        return None
    models = ", ".join(model.name for model in options.models) or "of the tests"
    plural = "s" if len(options.boards) > 1 else ""
    ports = (
        ", ".join(p.port for p in options.places if p.port is not None) or "started by the tests"
    )
    return f"nanoexport: board{plural} {', '.join(options.boards)}, {ports}; model {models}"


# --- which boards and models ---------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that needs a board runs on each of them, and one that needs a model with each."""
    options = metafunc.config.stash[_options]
    marked = _marked(metafunc)
    boards = marked.get("boards", options.boards)
    if "_nano_board_name" in metafunc.fixturenames and boards:
        metafunc.parametrize("_nano_board_name", boards, indirect=True, scope="session")
    folder = metafunc.definition.path.parent
    models = [folder / name for name in marked.get("models", ())] or options.models
    if "_nano_model_file" in metafunc.fixturenames and models:
        names = [model.stem for model in models]
        metafunc.parametrize("_nano_model_file", models, indirect=True, scope="session", ids=names)


def _marked(metafunc: pytest.Metafunc) -> dict[str, Sequence[str]]:
    """What the test fixes by its marker. Raises CollectError for what the marker does not take."""
    marker = metafunc.definition.get_closest_marker(MARKER)
    if marker is None:
        return {}
    wrong = [*map(repr, marker.args), *sorted(set(marker.kwargs) - {"boards", "models", "repeat"})]
    if wrong:
        raise pytest.Collector.CollectError(
            f"the marker nano does not take {', '.join(wrong)}; it is {MARKER_HELP}"
        )
    lists = {key: marker.kwargs[key] for key in ("boards", "models") if key in marker.kwargs}
    for key, value in lists.items():
        if isinstance(value, str) or not value:
            raise pytest.Collector.CollectError(f"{key} of the marker nano is a list of names")
    try:
        boards = [load_board(board).name for board in lists.get("boards", ())]
    except NanoexportError as error:
        raise pytest.Collector.CollectError(str(error)) from error
    return lists | {"boards": boards} if boards else lists


@pytest.fixture(scope="session")
def _nano_board_name(request: pytest.FixtureRequest) -> str:
    name: str | None = getattr(request, "param", None)
    if name is None:
        pytest.skip(NO_BOARD)
    return name


@pytest.fixture(scope="session")
def _nano_model_file(request: pytest.FixtureRequest) -> Path:
    path: Path | None = getattr(request, "param", None)
    if path is None:
        pytest.fail(NO_MODEL, pytrace=False)
    return path


# --- fixtures ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def nano_board(_nano_board_name: str) -> Board:
    """The board of this test: one of --nano-board, of --nano-pool, or of its marker."""
    return load_board(_nano_board_name)


@pytest.fixture(scope="session")
def nano_model(_nano_model_file: Path) -> Path:
    """The flatbuffer to run. Override it in a conftest.py to fix the model of a test suite."""
    return _nano_model_file


@pytest.fixture(scope="session")
def nano_firmware(
    nano_board: Board, nano_model: Path, pytestconfig: pytest.Config
) -> ModelFirmware:
    """The firmware of the model for the board: built once, cached by content hash."""
    with _told():
        return firmware_for(nano_model, nano_board, pytestconfig.stash[_options].settings)


@pytest.fixture(scope="session")
def nano_pool(pytestconfig: pytest.Config) -> DevicePool:
    """The places of this run."""
    return pytestconfig.stash[_pool]


@pytest.fixture
def nano_device(
    request: pytest.FixtureRequest, nano_firmware: ModelFirmware, nano_pool: DevicePool
) -> Iterator[Device]:
    """The board with the firmware running, identified; for each test anew, and its alone."""
    options = request.config.stash[_options]
    board = nano_firmware.board.name
    pool = nano_pool
    if board not in {place.board for place in pool.places}:  # named by a marker
        pool = DevicePool([Place.named(board)])
    with _told(), pool.acquire(board, wait_seconds=options.wait_seconds) as place:
        recording = Recording(place, nano_firmware, options.seed)
        request.node.stash[RECORDING] = recording
        try:
            if options.controls:
                folder = request.config.stash[_run_folder]
                require_controls(folder, nano_firmware, place, options.seed)
            with _opened(recording) as device:
                yield device
        except BoardEnded as failure:
            recording.on_lost(failure)
            raise
        except (MissingTool, NoAnswer) as failure:
            if place.port is not None:
                pool.broken(place, failure.what)
            raise
        finally:
            if recording.lost is not None:
                pool.broken(place, recording.lost)
            request.node.user_properties += _properties(recording)


@pytest.fixture(scope="session")
def nano_oracle(nano_firmware: ModelFirmware) -> Iterator[Oracle]:
    """The host reference of the firmware's model, in its dialect."""
    with _told():
        model, dialect = nano_firmware.compilation.model, nano_firmware.settings.dialect
        oracle = Oracle(model, dialect, name=nano_firmware.program.name)
    with oracle:
        yield oracle


@pytest.fixture
def nano_verify(
    nano_device: Device,
    nano_firmware: ModelFirmware,
    nano_oracle: Oracle,
    pytestconfig: pytest.Config,
) -> Callable[..., Verification]:
    """A function that compares the device with the host reference, bit for bit.

    It takes a number of vectors to make (from --nano-seed), or the vectors, each a list of int8
    inputs. Raises CheckFailed for a mismatch, a damaged guard, or memory other than predicted.
    """

    def verify(vectors: int | Sequence[Sequence[Int8Array]] = VECTORS) -> Verification:
        __tracebackhide__ = True
        if isinstance(vectors, int):
            seed = pytestconfig.stash[_options].seed
            vectors = make_vectors(nano_oracle.inputs, vectors, seed)
        macs = nano_firmware.program.macs
        result = verify_device(nano_device, nano_oracle, vectors, macs=macs)
        check_verification(nano_firmware, result)
        return result

    return verify


@pytest.fixture
def nano_budget(
    request: pytest.FixtureRequest, nano_device: Device, nano_firmware: ModelFirmware
) -> Callable[[str | Path], budget.BudgetReport]:
    """A function that measures the device against a budget file, which is beside the test's.

    Raises CheckFailed for a limit that does not hold, with both figures.
    """

    def check(path: str | Path) -> budget.BudgetReport:
        __tracebackhide__ = True
        return budget.check_budget(nano_firmware, nano_device, request.path.parent / path)

    return check


@pytest.fixture(scope="session")
def board(nano_board: Board) -> Board:
    """The short name of nano_board."""
    return nano_board


@pytest.fixture(scope="session")
def firmware(nano_firmware: ModelFirmware) -> ModelFirmware:
    """The short name of nano_firmware."""
    return nano_firmware


@pytest.fixture
def device(nano_device: Device) -> Device:
    """The short name of nano_device."""
    return nano_device


# --- running a test ------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Tests on a device may have to run again elsewhere; all others are left to pytest."""
    if "nano_device" not in getattr(item, "fixturenames", ()):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    run_test(item, nextitem, item.config.stash[_options].bundles)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@contextmanager
def _opened(recording: Recording) -> Iterator[Device]:
    """The device at the recording's place. How its program ended is noted before it is stopped."""
    place, firmware = recording.place, recording.firmware
    with open_line(firmware, place.port, on_start=recording.started, chip_id=place.chip_id) as line:
        try:
            with RecordingDevice(line.transport, recording, line.reopen) as device:
                expected = expected_identity(firmware, chip_id=place.chip_id)
                require_identity(device.identity, expected)
                yield device
        finally:
            recording.close()


def _properties(recording: Recording) -> list[tuple[str, object]]:
    """For JUnit's and our own report: where the test ran, and what."""
    firmware = recording.firmware
    properties: dict[str, object] = {
        "nano_board": firmware.board.name,
        "nano_place": recording.place.name,
        "nano_model": firmware.program.name,
        "nano_model_sha256": firmware.program.model_sha256,
        "nano_build_id": firmware.build_id,
        "nano_dialect": firmware.settings.dialect,
        "nano_identified": recording.identity is not None,
        "nano_inferences": recording.inference_count,
        "nano_ticks": recording.ticks,
        "nano_seed": recording.seed,
    }
    return [(key, value) for key, value in properties.items() if value is not None]


@contextmanager
def _told() -> Iterator[None]:
    """An error that says all by itself is shown without a traceback."""
    try:
        yield
    except NanoexportError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@contextmanager
def _usage_errors() -> Iterator[None]:
    """A wrong option ends the run instead of failing each test with it."""
    try:
        yield
    except NanoexportError as error:
        raise pytest.UsageError(str(error)) from error
