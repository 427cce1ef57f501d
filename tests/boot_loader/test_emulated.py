"""The boot loader on emulated boards: NVMC on micro:bit V1, and the NOR driver on an MPS2 board."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.build import build
from exporter.build.firmware import ModelFirmware
from exporter.build.image_files import image_of_elf
from exporter.build.loader_header import header_of
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import check_verification, verify_on_board
from exporter.render.boot_loader import render_boot_loader
from exporter.render.project import write_project
from tests.boot_loader.flashes import BOARDS, NAMED, Bench, make_bench, run, stm32loader
from tests.boot_loader.line import Line
from tests.boot_loader.machine import Machine
from tests.hil.support import nanoexport
from tests.platform.probe import Probe, build_probe

pytestmark = [pytest.mark.toolchain, pytest.mark.emulator]

LOADER_BYTES = 4096
FAULT_JUMP, FAULT_LOAD = 0, 1
BRANCH_TO_ITSELF = 0xE7FE
WINDOW_SECONDS = 1.5


@pytest.fixture(scope="module", params=BOARDS)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Each board with the loader and its applications, built once."""
    return make_bench(request.param, tmp_path_factory.mktemp("bench"))


@pytest.fixture
def machine(bench: Bench) -> Machine:
    """The board with the loader and nothing behind it, its power off."""
    assert bench.loader.bin is not None
    return Machine(bench.board, bench.loader.bin.read_bytes())


def flash(machine: Machine, bench: Bench, file: Path) -> None:
    """Through stm32loader, started by Go."""
    with Line(machine.port) as line:
        stm32loader(line, file, bench.layout, bench.layout.application_origin)


def verify(machine: Machine, firmware: ModelFirmware) -> None:
    """Bit for bit, and in the predicted memory."""
    vectors = make_vectors([p.tensor for p in firmware.program.inputs], 2)
    check_verification(firmware, verify_on_board(firmware, vectors, port=machine.port))


def calls(line: Line, seconds: float) -> bytes:
    """What comes back for the loader's call within that time."""
    line.timeout = seconds
    line.write(b"\x7f")
    return line.read(1)


@pytest.mark.parametrize("name", BOARDS)
@pytest.mark.parametrize("toolchain", ["gcc", "clang"])
def test_the_loader_fits(tmp_path: Path, name: str, toolchain: str) -> None:
    board = load_board(name)
    write_project(render_boot_loader(board, toolchain), tmp_path / "loader")
    loader = build(tmp_path / "loader")
    assert loader.bin is not None
    assert 1024 < loader.bin.stat().st_size <= LOADER_BYTES
    assert image_of_elf(loader.elf.read_bytes()).end <= board.region("flash").origin + LOADER_BYTES


def test_flashes_cut_short_leave_the_board_reachable(bench: Bench, tmp_path: Path) -> None:
    """20 of them: python -m tests.boot_loader.flashes, and below."""
    told = run(bench, tmp_path, seed=5, whole=1, randomly=1)
    assert told.interrupted == dict.fromkeys((*NAMED, "random"), 1)
    assert (told.whole, told.retries, told.verified_vectors) == (1, 5, 12)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("toolchain", ["gcc", "clang"])
@pytest.mark.parametrize("name", BOARDS)
def test_twenty_flashes(tmp_path: Path, name: str, toolchain: str, seed: int) -> None:
    told = run(make_bench(name, tmp_path, toolchain=toolchain), tmp_path, seed=seed)
    assert told.flashes == 20 and told.retries == 9
    assert told.interrupted == {**dict.fromkeys(NAMED, 1), "random": 5}


def test_an_application_that_hangs_is_replaced(
    bench: Bench, machine: Machine, tmp_path: Path
) -> None:
    layout = bench.layout
    image = struct.pack("<IIHH", layout.ram_end, layout.image_origin + 9, BRANCH_TO_ITSELF, 0)
    hanging = tmp_path / "hanging.bin"
    hanging.write_bytes(header_of(image) + image)
    application = bench.applications[0].firmware.bin
    assert application is not None
    with machine:
        machine.power_on()
        flash(machine, bench, hanging)
        with Line(machine.port) as line:
            assert calls(line, WINDOW_SECONDS) == b""  # it runs, and hears nobody
            machine.reset()
            assert calls(line, WINDOW_SECONDS) == b"\x79"
        flash(machine, bench, application)
        verify(machine, bench.applications[0])


def test_faults_and_interrupts_are_the_applications(
    bench: Bench, machine: Machine, tmp_path: Path
) -> None:
    """The record of a fault outlives the loader, which runs before the application tells it."""
    behind = load_board(f"{bench.board.name}+loader")
    firmware = build_probe(behind, tmp_path)
    assert firmware.bin is not None
    flash_region, ram = behind.region("flash"), behind.region("ram")
    with machine:
        machine.power_on()
        with Line(machine.port) as line:
            layout = bench.layout
            stm32loader(line, firmware.bin, layout, layout.application_origin)
            probe = Probe(line.connection)
            assert probe.echo(bytes(range(256)) * 16) == bytes(range(256)) * 16
            for kind in (FAULT_LOAD, FAULT_JUMP):
                probe.send("F", kind)
                probe.wait_for_boot()
                fault = probe.take_fault()
                assert fault is not None
                where = fault["pc"] if kind == FAULT_LOAD else fault["lr"]
                assert flash_region.origin < where < flash_region.end
                assert ram.origin < fault["sp"] <= ram.end


def test_the_command_flash_goes_through_the_loader(bench: Bench, machine: Machine) -> None:
    """First where nothing is behind it, then past the firmware that runs, which is asked for it."""
    with machine:
        machine.power_on()
        for firmware in bench.applications:
            done = nanoexport("flash", firmware.firmware.project, "--port", machine.port, "--json")
            assert done.code == 0, done.err
            assert done.document["build_id"] == firmware.build_id
        verify(machine, bench.applications[-1])
