"""Every emulated board: the contract of runtime/platform.h, held by the real image in QEMU."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from exporter.board import Board, load_board
from exporter.build import Firmware, check_fits, measure_image
from exporter.build.firmware import ARMV6M_CORES
from exporter.flash import Emulator
from exporter.link.faults import Reason
from tests.platform.probe import EMULATED, Probe, build_probe, need_tool

pytestmark = [pytest.mark.toolchain, pytest.mark.emulator]

FAULT_JUMP, FAULT_LOAD, FAULT_OVERFLOW, FAULT_DIVISION, FAULT_MASKED_LOAD, FAULT_ILLEGAL = range(6)
NOWHERE = 0xE8000000
FAULT_MAGIC = 0x4E414E47  # fault_record.c
ANSWERS_EVERYWHERE = ("lm3s6965evb",)
"""Machines where QEMU ignores accesses to where nothing is, which are faults on the real board."""

Builder = Callable[[str], Firmware]


@pytest.fixture(scope="module")
def firmware_of(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """The probe of a board, built once."""
    built: dict[str, Firmware] = {}

    def firmware(name: str) -> Firmware:
        if name not in built:
            built[name] = build_probe(load_board(name), tmp_path_factory.mktemp(name))
        return built[name]

    return firmware


@pytest.fixture(params=EMULATED)
def board(request: pytest.FixtureRequest) -> Board:
    """Each emulated board."""
    return load_board(request.param)


@pytest.fixture
def emulator(board: Board, firmware_of: Builder) -> Iterator[Emulator]:
    """The board, running the probe."""
    assert board.emulator is not None
    need_tool(board.emulator.program)
    with Emulator(board, firmware_of(board.name).elf) as running:
        yield running


@pytest.fixture
def probe(emulator: Emulator) -> Probe:
    """The probe on the board."""
    return Probe.on(emulator)


SERIAL_BYTES = 32768
"""The receive rings go round sixteen times."""

UNACKNOWLEDGED_BYTES = {"sifive_uart": 256}
"""What a board may send at once where QEMU's UART drops what its socket does not take."""


def test_serial_loses_nothing(board: Board, probe: Probe) -> None:
    data = random.Random(1).randbytes(SERIAL_BYTES)
    assert board.uart is not None
    sent = UNACKNOWLEDGED_BYTES.get(board.uart.driver, SERIAL_BYTES)
    for start in range(0, min(SERIAL_BYTES, 16 * sent), sent):
        assert probe.echo(data[start : start + sent]) == data[start : start + sent]
    weighted = sum(i * byte for i, byte in enumerate(data, start=1)) % 2**32
    assert probe.sink(data) == weighted
    assert probe.source(sent) == bytes(i * i % 2**32 % 251 for i in range(sent))


def test_ticks_count_instructions(board: Board, probe: Probe) -> None:
    """One instruction takes 1 ns: a million ticks more are this many instructions, to one tick."""
    counted = board.ticks.source in ("minstret", "mcycle")  # to QEMU they are the same
    instructions_per_tick = 1 if counted else 1_000_000_000 / probe.ask("H")[0]
    short = probe.ticks_of_spin(1000)
    long = probe.ticks_of_spin(1000 + round(1_000_000 * instructions_per_tick))
    tolerance = 0 if counted else 1
    assert abs(long - short - 1_000_000) <= tolerance
    assert short * instructions_per_tick == pytest.approx(1000, abs=60 + 2 * instructions_per_tick)


def test_ticks_repeat(probe: Probe) -> None:
    """The same work takes the same ticks, to the one tick by which its start may be shifted."""
    readings = [probe.ticks_of_spin(100_000) for _ in range(10)]
    assert max(readings) - min(readings) <= 1


def test_ticks_hz(board: Board, probe: Probe) -> None:
    """QEMU has no DWT: SysTick counts in its place, an eighth of the core's clock unless told."""
    of_dwt = board.ticks.parameters.get("systick_divider", 8)
    divider = of_dwt if board.ticks.source == "dwt" else 1
    assert probe.ask("H") == (board.ticks.hz // divider,)


def test_idle_sleeps(emulator: Emulator, probe: Probe) -> None:
    """An idle board must leave the processor to others: it waits for an interrupt."""
    probe.ask("H")
    before = _processor_seconds(emulator.pid)
    time.sleep(0.4)
    assert _processor_seconds(emulator.pid) - before < 0.15


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_no_fault_after_power_up(probe: Probe) -> None:
    assert probe.take_fault() is None


@pytest.mark.parametrize("kind", [FAULT_LOAD, FAULT_MASKED_LOAD])
def test_bad_load_is_reported_after_the_reset(
    board: Board, firmware_of: Builder, probe: Probe, kind: int
) -> None:
    if board.name in ANSWERS_EVERYWHERE:
        probe.send("F", FAULT_LOAD)
        assert probe.take_fault() is None
        return
    probe.send("F", kind)
    probe.wait_for_boot()
    fault = probe.take_fault()
    assert fault is not None
    assert fault["address"] == NOWHERE
    assert _symbol_at(firmware_of(board.name), fault["pc"]) in ("fault", "main")
    assert _in_ram(board, fault["sp"])
    assert probe.take_fault() is None  # cleared by reading


def test_bad_jump_is_reported_after_the_reset(
    board: Board, firmware_of: Builder, probe: Probe
) -> None:
    probe.send("F", FAULT_JUMP)
    probe.wait_for_boot()
    fault = probe.take_fault()
    assert fault is not None
    assert fault["pc"] & ~1 == NOWHERE
    assert _symbol_at(firmware_of(board.name), fault["lr"]) in ("fault", "main")


def test_stack_overflow_is_reported_after_the_reset(board: Board, probe: Probe) -> None:
    probe.send("F", FAULT_OVERFLOW)
    probe.wait_for_boot()
    fault = probe.take_fault()
    assert fault is not None
    ram = board.region("ram")
    assert abs(fault["sp"] - ram.origin) < 512
    assert probe.echo(b"still here") == b"still here"


def test_an_illegal_instruction_is_no_stack_overflow(board: Board, probe: Probe) -> None:
    """RISC-V tells the instruction where other faults tell an address: this one looks like one."""
    probe.send("F", FAULT_ILLEGAL)
    probe.wait_for_boot()
    fault = probe.take_fault()
    assert fault is not None
    assert fault["reason"] == Reason.FAULT


@pytest.mark.parametrize("name", ["mps2-an386", "riscv32-virt"])
@pytest.mark.parametrize("of_this_image", [True, False])
def test_a_record_of_another_image_is_not_shown(
    tmp_path: Path, firmware_of: Builder, name: str, of_this_image: bool
) -> None:
    """Images of the same length differ in their build ids alone. The record is put into RAM."""
    board = load_board(name)
    elf = firmware_of(name).elf
    build_id = _word_at(elf, "linker_build_id") ^ (0 if of_this_image else 1 << 7)
    magic = FAULT_MAGIC ^ build_id ^ _symbol(elf, "linker_image_end")
    record = tmp_path / "record.bin"
    record.write_bytes(struct.pack("<33I", magic, *range(32)))
    loader = f"loader,file={record},addr={_symbol(elf, 'record'):#x},force-raw=on"
    assert board.emulator is not None
    arguments = (*board.emulator.arguments, "-device", loader)
    emulator = board.emulator.model_copy(update={"arguments": arguments})
    with Emulator(board.model_copy(update={"emulator": emulator}), elf) as running:
        fault = Probe.on(running).take_fault()
    assert (fault is not None) == of_this_image


def test_division_by_zero_is_a_fault_where_the_core_divides(board: Board, probe: Probe) -> None:
    """Armv6-M has no such instruction; the RISC-V instruction set defines its result."""
    probe.send("F", FAULT_DIVISION)
    if board.platform == "cortex_m" and board.core not in ARMV6M_CORES:
        probe.wait_for_boot()
        fault = probe.take_fault()
        assert fault is not None
        assert fault["status"] == 1 << 25  # CFSR.DIVBYZERO
    else:
        assert probe.take_fault() is None


def test_reset_restarts(probe: Probe) -> None:
    nonces = {probe.ask("N")}
    for _ in range(4):
        probe.send("X")
        probe.wait_for_boot()
        nonces.add(probe.ask("N"))
    assert len(nonces) == 5
    assert probe.ask("N") in nonces  # one boot, one number
    assert probe.take_fault() is None
    assert probe.ask("P", 1234) == (617,)  # .data has its initial value again


@pytest.mark.parametrize("depth", [0, 8, 16, 104, 1000, "nearly all"])
def test_stack_used_is_exact(board: Board, probe: Probe, depth: int | str) -> None:
    depth_bytes = depth if isinstance(depth, int) else board.stack_bytes - 512
    assert probe.ask("S", depth_bytes) == (depth_bytes,)


def test_image_bytes(board: Board, firmware_of: Builder, probe: Probe) -> None:
    """What the device says, what the ELF file says, and how long the binary is: one number."""
    firmware = firmware_of(board.name)
    assert firmware.bin is not None
    size = measure_image(firmware.elf)
    assert probe.ask("I") == (size.image_bytes,)
    assert firmware.bin.stat().st_size == size.image_bytes
    assert board.stack_bytes < size.ram_bytes < board.stack_bytes + 8192
    check_fits(size, board)


def test_unaligned_access_works_but_on_armv6m(board: Board, probe: Probe) -> None:
    if board.core not in ARMV6M_CORES:
        assert probe.ask("U") == (0x04030201,)
        return
    probe.send("U")
    probe.wait_for_boot()
    fault = probe.take_fault()
    assert fault is not None
    assert fault["reason"] == Reason.FAULT
    assert fault["address"] % 4 == 1  # which the core does not tell, but the instruction


@pytest.mark.parametrize("name", ["mps2-an385", "mps2-an386", "mps3-an547"])
def test_unaligned_access_can_be_made_a_fault(tmp_path: Path, name: str) -> None:
    board = load_board(name)
    firmware = build_probe(board, tmp_path, options=["NANO_TRAP_UNALIGNED=ON"])
    with Emulator(board, firmware.elf) as emulator:
        probe = Probe.on(emulator)
        probe.send("U")
        probe.wait_for_boot()
        fault = probe.take_fault()
    assert fault is not None
    assert fault["status"] == 1 << 24  # CFSR.UNALIGNED


def test_ticks_go_on_where_the_counter_wraps(firmware_of: Builder) -> None:
    """SysTick has 24 bits: 2^24 ticks of 40 instructions. Nothing is lost, nothing goes back."""
    board = load_board("mps2-an386")
    with Emulator(board, firmware_of(board.name).elf) as emulator:
        probe = Probe.on(emulator)
        assert probe.ask("M", 200_000) == (0,)
        short = probe.ticks_of_spin(1000)
        long = probe.ticks_of_spin(1000 + 40 * 20_000_000)
    assert abs(long - short - 20_000_000) <= 2


@pytest.mark.parametrize("name", ["mps2-an386", "mps3-an547", "riscv32-virt"])
def test_the_other_toolchain_and_size(tmp_path: Path, name: str) -> None:
    """Start-up, serial port, stack and faults do not depend on the compiler or its options."""
    board = load_board(name)
    firmware = build_probe(board, tmp_path, toolchain="clang", optimize="size")
    with Emulator(board, firmware.elf) as emulator:
        probe = Probe.on(emulator)
        assert probe.echo(bytes(range(256)) * 4) == bytes(range(256)) * 4
        assert probe.ask("S", 1000) == (1000,)
        assert probe.ask("P", 1234) == (617,)
        assert probe.ask("I") == (measure_image(firmware.elf).image_bytes,)
        probe.send("F", FAULT_JUMP)
        probe.wait_for_boot()
        fault = probe.take_fault()
    assert fault is not None
    assert fault["pc"] & ~1 == NOWHERE


def _in_ram(board: Board, address: int) -> bool:
    ram = board.region("ram")
    return ram.origin <= address <= ram.origin + ram.bytes


def _symbol(elf: Path, name: str) -> int:
    """The value of a symbol, which occurs once."""
    with elf.open("rb") as stream:
        table = ELFFile(stream).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        symbols = table.get_symbol_by_name(name)
        assert symbols is not None and len(symbols) == 1
        return int(symbols[0]["st_value"])


def _word_at(elf: Path, name: str) -> int:
    """The word that the file has at a symbol."""
    address = _symbol(elf, name)
    with elf.open("rb") as stream:
        file = ELFFile(stream)
        (offset,) = file.address_offsets(address, 4)
        stream.seek(offset)
        return int.from_bytes(stream.read(4), "little")


def _symbol_at(firmware: Firmware, address: int) -> str:
    """The function of the ELF file that holds an address."""
    with firmware.elf.open("rb") as stream:
        table = ELFFile(stream).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        for symbol in table.iter_symbols():
            start = symbol["st_value"] & ~1
            inside = start <= address & ~1 <= start + symbol["st_size"]
            if symbol["st_info"]["type"] == "STT_FUNC" and inside:
                return str(symbol.name)
    return ""
