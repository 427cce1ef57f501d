"""Every simulated board: its real image, from reset, among the peripherals of its manuals."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from exporter.board import Board, all_boards, load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import verify_device
from exporter.link.faults import Reason
from exporter.link.messages import Identity
from exporter.oracle.oracle import Oracle
from tests.hil.support import SHARED_MODELS
from tests.simulated.board import SimulatedBoard
from tests.simulated.cortex_m import CortexM
from tests.simulated.exercise import PERIODS_SECONDS, Exercise, build_exercise, exercise
from tests.simulated.machine import Machine
from tests.simulated.machines import MACHINES, WITHOUT_LOADER
from tests.simulated.serial_line import SerialLine

pytestmark = pytest.mark.toolchain
pytest_plugins = ["tests.hil.fixtures"]

BOARDS = [name for name in MACHINES if name != "mps2-an386"]
CLAIMED = [board.name for board in all_boards() if board.evidence == "simulated"]
QUICK = ("nucleo-f446re", "esp32-c3-devkitm-1")
"""Where all that a platform does is shown by default: one of each core's kind."""
FALLBACK_HZ = {
    "esp32-c3-devkitm-1": 40_000_000,
    "raspberry-pi-pico-2": 11_000_000,
    "nrf52840-dk": 64_000_000,
    "microbit-v2": 64_000_000,
    "arduino-nano-33-ble-sense": 64_000_000,
    "netduinoplus2": 16_000_000,
    "nucleo-f401re": 16_000_000,
    "nucleo-f411re": 16_000_000,
    "nucleo-f446re": 16_000_000,
    "stm32f4discovery": 16_000_000,
    "nucleo-l476rg": 4_000_000,
    "nucleo-l4r5zi": 4_000_000,
    "b-l475e-iot01a": 4_000_000,
    "nucleo-g071rb": 16_000_000,
    "nucleo-h743zi": 64_000_000,
}
"""What the manuals say of the clock that is left where no crystal and no PLL starts."""


def long_but(*names: str, among: Iterable[str] = BOARDS) -> list[object]:
    """All boards; those that are not named only in `make test-long`."""
    return [name if name in names else pytest.param(name, marks=pytest.mark.long) for name in among]


def simulated(board: Board, elf: Path) -> SimulatedBoard:
    assert board.uart is not None
    return SimulatedBoard(lambda line: MACHINES[board.name](board, line, elf), board.uart.baud)


def test_every_board_that_claims_it_is_tested() -> None:
    assert CLAIMED
    assert set(CLAIMED) <= set(BOARDS)
    assert set(FALLBACK_HZ) == set(BOARDS)


@pytest.fixture
def firmware(request: pytest.FixtureRequest, own_cache: Path, small_model: Path) -> ModelFirmware:
    """The whole firmware of a board, with a small model."""
    return firmware_for(small_model, load_board(request.param), Settings())


@pytest.mark.parametrize("firmware", long_but(*CLAIMED), indirect=True)
def test_it_computes_what_the_flatbuffer_says(firmware: ModelFirmware) -> None:
    """HELLO, IDENTIFY, WRITE, INVOKE, READ against the host's side of the link, bit for bit."""
    board = firmware.board
    vectors = make_vectors([port.tensor for port in firmware.program.inputs], 2)
    with simulated(board, firmware.firmware.elf) as running:
        with running.device() as device, Oracle(firmware.compilation.model) as oracle:
            identity: Identity = device.identity
            result = verify_device(device, oracle, vectors)
            assert device.take_fault() is None
        assert running.failure is None
    assert (identity.board, identity.build_id) == (board.name, firmware.build_id)
    assert identity.ticks_hz == board.ticks.hz
    assert result.bit_exact
    assert running.machine.violations == []
    assert running.machine.notes == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("nucleo-f446re", "ad01_int8"),
        ("esp32-c3-devkitm-1", "kws_ref_model"),
        ("raspberry-pi-pico-2", "pretrainedResnet_quant"),
    ],
)
def test_a_model_of_the_benchmark(name: str, model: str, own_cache: Path) -> None:
    path = SHARED_MODELS / f"{model}.tflite"
    if not path.is_file():
        pytest.skip("needs ../shared/models")
    test_it_computes_what_the_flatbuffer_says(firmware_for(path, load_board(name), Settings()))


@pytest.fixture
def image(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Board, Path]:
    """A board with the exercise built for it."""
    board = load_board(request.param)
    return board, build_exercise(board, tmp_path / "project")


@pytest.mark.parametrize("image", long_but(*QUICK), indirect=True)
def test_all_that_its_platform_does(image: tuple[Board, Path]) -> None:
    """Number, timer against ticks, reset, watchdog, and the way into the boot loader."""
    board, elf = image
    with exercise(board, elf) as client:
        assert client.boot() is None
        number = client.chip_id()
        assert len(number) in (6, 8, 12)
        due = pytest.approx(PERIODS_SECONDS, rel=0.05) if board.timer else None
        assert client.timer_seconds() == due
        assert client.chip_id("X") == number
        assert client.boot() is None
        client.send("W")
        assert client.boot() is Reason.WATCHDOG
        client.send("L")
        if board.name in WITHOUT_LOADER:
            assert client.word() == 0
        else:
            assert client.receive(1) == b""
            assert client.machine.in_loader
    assert client.machine.violations == []
    assert client.running.failure is None


@pytest.mark.long
@pytest.mark.parametrize("image", ["arduino-nano-33-ble-sense"], indirect=True)
def test_regions_that_the_boot_loader_left_are_off(image: tuple[Board, Path]) -> None:
    """That for RAM, of a higher number, would make the guard below the stack void."""
    with exercise(*image) as client:
        assert client.boot() is None
        machine = client.machine
        assert isinstance(machine, CortexM)
        assert [number for number, value in machine.scs.regions.items() if value & 1] == [0]


@pytest.mark.parametrize("image", long_but("esp32-c3-devkitm-1", "nucleo-l476rg"), indirect=True)
def test_it_falls_back_to_the_clock_of_reset(image: tuple[Board, Path]) -> None:
    """No crystal and no PLL gets ready: each wait ends, and the link is there at its rate."""
    board, elf = image
    with exercise(board, elf, ready=False) as client:
        assert client.boot() is None
        assert client.machine.core_hz() == FALLBACK_HZ[board.name]
        assert len(client.chip_id()) in (6, 8, 12)
    assert client.machine.violations == []
    assert client.running.failure is None


PLL_RUNS = 3 << 24  # RCC_CR of every family: on, and ready
PLL_DRIVES_THE_CORE: dict[str, dict[str, int]] = {
    "nucleo-f446re": {"CFGR": 2 << 2 | 2},
    "nucleo-l476rg": {"CFGR": 3 << 2 | 3, "PLLCFGR": 1},  # of the MSI
    "nucleo-g071rb": {"CFGR": 2 << 3 | 2},
    "nucleo-h743zi": {"CFGR": 3 << 3 | 3},
}
"""Bits of the RCC."""


@pytest.mark.parametrize(
    "image", long_but("nucleo-f446re", among=PLL_DRIVES_THE_CORE), indirect=True
)
def test_it_starts_behind_a_loader_in_rom(
    image: tuple[Board, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command Go of an STM32's loader need not put the clocks back (AN2606, 4)."""
    board, elf = image
    assert board.uart is not None

    def machine(line: SerialLine) -> Machine:
        chip = MACHINES[board.name](board, line, elf)
        from_reset, rcc = chip.boot, next(p for p in chip.peripherals if p.name == "RCC")

        def boot() -> None:
            from_reset()
            for register, bits in {"CR": PLL_RUNS, **PLL_DRIVES_THE_CORE[board.name]}.items():
                rcc.values[register] |= bits

        monkeypatch.setattr(chip, "boot", boot)
        return chip

    with SimulatedBoard(machine, board.uart.baud) as running:
        client = Exercise(running)
        assert client.boot() is None
        assert len(client.chip_id()) == 12
        assert board.clock is not None
        assert client.machine.core_hz() == board.clock.core_hz
    assert client.machine.violations == []
    assert running.failure is None
