"""Places of a labgrid farm as ports: a local coordinator, an exporter, two emulated boards."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.errors import BadInput, MissingTool
from exporter.hil import farm as farms
from exporter.hil.farm import LabgridPlace, PlaceAddress, power_cycle
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import verify_on_board
from exporter.link import Device
from exporter.link.session import NoAnswer
from tests.hil.labgrid_farm import Farm, labgrid_farm, serial
from tests.hil.support import background, nanoexport, refused
from tests.powered_board import PoweredBoard
from tests.rfc2217_server import Rfc2217Server

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = [
    pytest.mark.toolchain,
    pytest.mark.emulator,
    pytest.mark.usefixtures("own_cache"),
]

BOARD = "mps2-an386"
SOMEBODY = {"LG_USERNAME": "somebody", "LG_HOSTNAME": "elsewhere"}
NOWHERE = {"NetworkPowerPort": {"model": "simplerest", "host": "http://127.0.0.1:1/{value}",
                                "index": "0"}}  # fmt: skip


@pytest.fixture(scope="session")
def firmware(small_model: Path, firmware_cache: Path) -> ModelFirmware:
    return firmware_for(small_model, load_board(BOARD), Settings(), cache=firmware_cache)


@pytest.fixture(scope="session")
def farm(firmware: ModelFirmware, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """Also `bare` without a serial port, `pair` with two, `gone` without anything, and `telnet`."""
    image = firmware.firmware.elf
    with (
        PoweredBoard(firmware.board, image) as first,
        PoweredBoard(firmware.board, image) as second,
        Rfc2217Server(first.path) as server,
    ):
        left = {"cls": "NetworkSerialPort", **serial(1)["NetworkSerialPort"]}
        more = {
            "bare": NOWHERE,
            "gone": {},
            "pair": {**serial(1), "left": left},
            "telnet": serial(server.port, "rfc2217"),
        }
        with labgrid_farm([first, second], tmp_path_factory.mktemp("farm"), more) as running:
            yield running


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boards need not be silent for long."""
    monkeypatch.setattr(farms, "SILENT_SECONDS", 2.0)


def boot(place: LabgridPlace) -> int:
    """The nonce of the board's boot."""
    with Device(place.open_answering()) as device:
        return device.identity.boot_nonce


# --- boards at work ------------------------------------------------------------------------------


def test_verify_on_a_place(farm: Farm, small_model: Path) -> None:
    arguments = (small_model, "--board", BOARD, "--vectors", 3, "--json")
    result = nanoexport("verify", *arguments, "--port", farm.port("board-0"))
    assert result.code == 0, result.err
    assert result.document["bit_exact"] is True
    assert farm.holder("board-0") is None


def test_two_places_at_once(farm: Farm, firmware: ModelFirmware) -> None:
    cases = make_vectors([p.tensor for p in firmware.program.inputs], 4, seed=2)
    both = threading.Barrier(2, timeout=120)

    def work(place: str) -> bool:
        def meet(done: int, total: int) -> None:
            if done == 1:
                both.wait()  # each has its board, in the middle of its run

        return verify_on_board(firmware, cases, port=farm.port(place), progress=meet).bit_exact

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, ["board-0", "board-1"])) == [True, True]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pyserial 3.5 and threads
def test_a_place_whose_port_speaks_rfc2217(farm: Farm) -> None:
    with LabgridPlace(farm.port("telnet")) as place, Device(place.open()) as device:
        assert "rfc2217://" in device.name
        assert device.identity.board == BOARD


# --- power ---------------------------------------------------------------------------------------


def test_a_power_cycle_boots_the_board_anew(farm: Farm) -> None:
    with LabgridPlace(farm.port("board-1")) as place:
        before = boot(place)
        assert boot(place) == before
        place.power_cycle()
        assert boot(place) != before


@pytest.mark.usefixtures("impatient")
def test_a_silent_board_is_power_cycled_once(
    farm: Farm, firmware: ModelFirmware, caplog: pytest.LogCaptureFixture
) -> None:
    farm.boards[1].switch(on=False)
    count = farm.boards[1].boots
    cases = make_vectors([p.tensor for p in firmware.program.inputs], 1, seed=3)
    assert verify_on_board(firmware, cases, port=farm.port("board-1")).bit_exact
    assert farm.boards[1].boots == count + 1
    assert "nothing answers" in caplog.text and "its power was cycled" in caplog.text


@pytest.mark.usefixtures("impatient")
def test_a_silent_board_that_has_no_power_switch(farm: Farm) -> None:
    with LabgridPlace(farm.port("plain")) as place:
        farm.boards[0].switch(on=False)
        with pytest.raises(NoAnswer, match="nothing answers on labgrid"):
            place.open_answering()
        with pytest.raises(MissingTool, match="plain cannot switch the power") as caught:
            place.power_cycle()
        assert "LG_ENV" in str(caught.value.allowed)
        farm.boards[0].switch(on=True)
        assert boot(place)


SWITCH = """
import sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=60).read()
"""
ENVIRONMENT = """
options: {{coordinator_address: '{coordinator}'}}
targets:
  main:
    resources:
      RemotePlace: {{name: plain}}
    drivers:
      ExternalPowerDriver:
        cmd_on: {python} {script} {power}/0/1
        cmd_off: {python} {script} {power}/0/0
        delay: 0.0
"""


def test_a_power_driver_of_ones_own(
    farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, environment = tmp_path / "switch.py", tmp_path / "environment.yaml"
    script.write_text(SWITCH)
    environment.write_text(
        ENVIRONMENT.format(
            coordinator=farm.coordinator, python=sys.executable, script=script, power=farm.power
        )
    )
    monkeypatch.setenv("LG_ENV", str(environment))
    count = farm.boards[0].boots
    power_cycle("labgrid://plain")
    assert farm.boards[0].boots == count + 1


# --- who has a place -----------------------------------------------------------------------------


def test_a_place_that_somebody_else_has(farm: Farm) -> None:
    farm.client("-p", "board-0", "acquire", user=SOMEBODY)
    with pytest.raises(MissingTool, match="board-0 is in use, after 1 s") as caught:
        LabgridPlace(farm.port("board-0", "?wait=1"))
    assert caught.value.value == "acquired by elsewhere/somebody"
    with ThreadPoolExecutor(1) as pool:
        freed = pool.submit(farm.client, "-p", "board-0", "release", user=SOMEBODY)
        with LabgridPlace(farm.port("board-0", "?wait=120")) as place:
            freed.result()
            assert boot(place)


def test_two_runs_of_one_user_exclude_each_other(farm: Farm) -> None:
    with (
        LabgridPlace(farm.port("board-1")),
        pytest.raises(MissingTool, match="board-1 is in use") as caught,
    ):
        LabgridPlace(farm.port("board-1"))
    assert "another run of nanoexport" in str(caught.value.value)
    assert farm.holder("board-1") is None


def test_a_place_acquired_by_hand_is_used_and_stays_acquired(farm: Farm) -> None:
    farm.client("-p", "board-1", "acquire")
    with LabgridPlace(farm.port("board-1")) as place:
        assert boot(place)
    assert farm.holder("board-1") is not None
    farm.client("-p", "board-1", "release")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_gives_its_place_back(farm: Farm, end: signal.Signals) -> None:
    with background("monitor", "--port", farm.port("board-0")) as process:
        assert process.stdout is not None
        assert process.stdout.readline()  # it has the board
        assert farm.holder("board-0") is not None
        process.send_signal(end)
        assert farm.becomes_free("board-0")


def test_what_a_lost_keeper_leaves_is_taken_over_and_released(farm: Farm) -> None:
    """As after a power cut: nobody is there to release, only the note that we acquired it."""
    place = LabgridPlace(farm.port("board-0"))
    os.kill(place._worker.pid, signal.SIGKILL)
    place.close()
    assert farm.holder("board-0") is not None
    with LabgridPlace(farm.port("board-0")) as again:
        assert boot(again)
    assert farm.holder("board-0") is None


def test_a_failure_gives_the_place_back(farm: Farm, other_model: Path) -> None:
    arguments = (other_model, "--board", BOARD, "--json", "--port", farm.port("board-0"))
    refused(nanoexport("verify", *arguments), 4, "the device carries another model")
    assert farm.holder("board-0") is None


# --- what is not there ---------------------------------------------------------------------------


def test_a_place_that_does_not_exist(farm: Farm) -> None:
    with pytest.raises(BadInput, match="no such place") as caught:
        LabgridPlace(farm.port("board"))
    assert caught.value.value == "board" and "board-0, board-1" in str(caught.value.allowed)


def test_a_place_without_a_serial_port_whose_switch_does_not_answer(farm: Farm) -> None:
    with LabgridPlace(farm.port("bare")) as place:
        with pytest.raises(MissingTool, match="bare has no serial port"):
            place.open()
        with pytest.raises(MissingTool, match="cannot switch the power") as caught:
            place.power_cycle()
        assert "-p bare power cycle" in str(caught.value.next_step)
    assert farm.holder("bare") is None


def test_a_place_whose_exporter_is_gone(farm: Farm) -> None:
    with pytest.raises(MissingTool, match="does not let us acquire the place gone") as caught:
        LabgridPlace(farm.port("gone"))
    assert "no matching remote resource" in str(caught.value.value)
    assert farm.holder("gone") is None


def test_a_place_with_two_serial_ports(farm: Farm) -> None:
    with (
        LabgridPlace(farm.port("pair")) as place,
        pytest.raises(BadInput, match="which serial port of the place pair") as caught,
    ):
        place.open()
    assert caught.value.allowed == "NetworkSerialPort, left"
    with (
        LabgridPlace(farm.port("pair", "?serial=left")) as place,
        pytest.raises(MissingTool, match="cannot be opened"),
    ):
        place.open()


def test_a_coordinator_that_is_not_there(small_model: Path) -> None:
    arguments = (small_model, "--board", BOARD, "--json", "--port", "labgrid://127.0.0.1:1/board-0")
    refused(nanoexport("verify", *arguments), 3, "no labgrid coordinator answers at 127.0.0.1:1")


def test_without_labgrid(farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "labgrid.py").write_text("raise ModuleNotFoundError(\"No module named 'labgrid'\")")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    with pytest.raises(MissingTool, match="labgrid, which is not installed") as caught:
        LabgridPlace(farm.port("board-0"))
    assert caught.value.next_step == 'pip install "nanoexport[labgrid]"'


def test_an_environment_that_cannot_be_read(
    farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "environment.yaml").write_text("targets: [")
    monkeypatch.setenv("LG_ENV", str(tmp_path / "environment.yaml"))
    with pytest.raises(BadInput, match="cannot read the environment that LG_ENV names"):
        LabgridPlace(farm.port("board-0"))


def test_the_parts_of_a_place() -> None:
    assert PlaceAddress.of("labgrid://Board-1") == PlaceAddress("Board-1")
    full = PlaceAddress.of("labgrid://farm:20408/my%20board?serial=left&wait=1.5")
    assert full == PlaceAddress("my board", "farm:20408", "left", 1.5)


@pytest.mark.parametrize(
    "port",
    ["labgrid://", "labgrid:///", "labgrid://b?wait=x", "labgrid://b?wait=-1", "labgrid://b?wait=inf",
     "labgrid://b?speed=9600", "labgrid://b?wait", "labgrid://[b"],
)  # fmt: skip
def test_what_is_no_place(port: str) -> None:
    with pytest.raises(BadInput, match="no place of a board farm"):
        LabgridPlace(port)
