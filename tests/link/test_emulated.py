"""The same conversation with emulated boards, whose serial ports, ticks and faults are real."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from exporter import process
from exporter.board import load_board
from exporter.build import Firmware, build
from exporter.errors import MissingTool
from exporter.flash import Emulator
from exporter.link import Device, DeviceRestarted, LogLine, SocketTransport
from exporter.link.faults import Reason
from exporter.render.platform import render_platform
from tests.link.build import HERE

pytestmark = [pytest.mark.toolchain, pytest.mark.emulator]

OVERRUN, FAR_READ, HANG, RECURSE = 101, 106, 107, 108  # fake_model.c


def build_fake(name: str, folder: Path) -> Firmware:
    """The application `hil` with the fake model, for the board called `name`."""
    board = load_board(name)
    assert board.emulator is not None
    for program in ("cmake", "ninja", board.compilers["gcc"].program, board.emulator.program):
        try:
            process.find_tool(program)
        except MissingTool as error:
            pytest.skip(f"{error.what}: {error.next_step}")
    files = render_platform(
        board, app="hil", toolchain="gcc", optimize="speed", model_sources=[]
    ) | {"nanoexport.json": json.dumps({"board": name, "toolchain": "gcc"})}
    files["app/model_description.c"] = (HERE / "fake_model.c").read_text()
    listed = "    app/main.c\n"
    files["CMakeLists.txt"] = files["CMakeLists.txt"].replace(
        listed, f"{listed}    app/model_description.c\n"
    )
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return build(folder)


@pytest.fixture(scope="module", params=["mps2-an386", "riscv32-virt"])
def firmware(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    """The firmware of each board, built once."""
    return build_fake(request.param, tmp_path_factory.mktemp(request.param) / "project")


@pytest.fixture
def emulated(firmware: Firmware, logs: list[LogLine]) -> Iterator[Device]:
    """A Device on an emulated board."""
    with (
        Emulator(load_board(firmware.board), firmware.elf) as emulator,
        Device(SocketTransport(emulator.connection), on_log=logs.append) as device,
    ):
        yield device


def write_image(device: Device, first: int = 0) -> None:
    """Give the fake model an input."""
    device.write_input(0, np.array([[first, 1, 2, 3, 4, 5, 6, 7]], np.int8))


def test_inference_profile_and_memory(emulated: Device) -> None:
    values = np.random.default_rng(2).integers(-128, 128, (1, 3000), np.int8)
    emulated.write_input(1, values)
    assert np.array_equal(emulated.read_input(1), values)
    write_image(emulated)
    result = emulated.invoke()
    assert emulated.read_output(0).tolist() == [[1, 5, 9, 13]]
    assert result.ticks > 0 and 2000 <= result.stack_bytes < 2600
    assert len(emulated.profile().step_ticks) == 2
    memory = emulated.memory()
    assert memory.guards_intact and memory.image_bytes > 3000
    assert emulated.repeated_requests == 0


def test_spin_relates_ticks_to_instructions(emulated: Device) -> None:
    few, many = emulated.spin(100_000), emulated.spin(1_100_000)
    assert few is not None and many is not None
    ticks_per_million = emulated.identity.ticks_hz / 1000  # one instruction is 1 ns
    assert many - few == pytest.approx(ticks_per_million, rel=0.01)


def test_damaged_guards_are_found(emulated: Device) -> None:
    write_image(emulated, OVERRUN)
    emulated.invoke(guarded=False)
    assert emulated.memory().guard_above_damaged == 1


def test_a_guarded_run_stops_where_the_core_protects_so_little(
    firmware: Firmware, emulated: Device
) -> None:
    """16 bytes: physical memory protection has words, the unit of a Cortex-M blocks of 32 bytes."""
    write_image(emulated, OVERRUN)
    if firmware.board == "riscv32-virt":
        with pytest.raises(DeviceRestarted, match="write outside the arena") as caught:
            emulated.invoke(guarded=True)
        assert caught.value.fault is not None
        assert caught.value.fault.reason == Reason.ARENA_OVERRUN
        assert emulated.memory().guards_intact
    else:
        emulated.invoke(guarded=True)
        assert emulated.memory().guard_above_damaged == 1


def test_reset(emulated: Device, logs: list[LogLine]) -> None:
    before = emulated.identity.boot_nonce
    emulated.invoke()
    emulated.reset()
    assert emulated.identify().boot_nonce != before
    assert logs[-1].text == "boot" and emulated.take_fault() is None
    emulated.invoke()
    assert emulated.read_output(1).tolist() == [[1]]


def test_a_crash_is_reported(emulated: Device) -> None:
    emulated.poison(0)
    write_image(emulated, FAR_READ)
    with pytest.raises(DeviceRestarted) as caught:
        emulated.invoke()
    assert caught.value.fault is not None and caught.value.fault.sp != 0
    emulated.invoke()


@pytest.mark.parametrize(
    ("what", "reason"), [(HANG, Reason.WATCHDOG), (RECURSE, Reason.STACK_OVERFLOW)]
)
def test_hangs_and_overflows_are_told_apart(emulated: Device, what: int, reason: Reason) -> None:
    """Twice: nothing of the first crash, such as a timer that runs, is left to the next boot."""
    for _ in range(2):
        write_image(emulated, what)
        with pytest.raises(DeviceRestarted) as caught:
            emulated.invoke(300.0, watchdog_seconds=0.02)
        assert caught.value.fault is not None and caught.value.fault.reason == reason
    write_image(emulated)
    emulated.invoke(watchdog_seconds=0.5)
    assert emulated.read_output(0).tolist() == [[1, 5, 9, 13]]
