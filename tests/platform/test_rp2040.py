"""The Pico on rp2040js: the contract of runtime/platform.h, cycles, and the second stage."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from exporter import process
from exporter.board import Board, load_board
from exporter.build import Firmware, measure_image
from exporter.build.image_files import read_image
from exporter.errors import LinkFailed, MissingTool
from exporter.flash import start
from exporter.flash.rp2040js import EmulatedPico, find_modules
from exporter.link.faults import Reason
from exporter.render.environment import template_folder
from exporter.toolchain import ToolchainName
from tests.platform.probe import Probe, build_probe, need_tool

pytestmark = [pytest.mark.toolchain, pytest.mark.emulator]

FAULT_JUMP, FAULT_LOAD, FAULT_OVERFLOW, FAULT_DIVISION, FAULT_MASKED_LOAD, FAULT_ILLEGAL = range(6)
NOWHERE = 0xE8000000
BOOT_STAGE_BYTES = 256


@pytest.fixture(scope="module")
def board() -> Board:
    """The Pico."""
    return load_board("raspberry-pi-pico")


@pytest.fixture(scope="module")
def firmware(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    """The probe, built once."""
    return build_probe(board, tmp_path_factory.mktemp(board.name))


@pytest.fixture(scope="module")
def pico(board: Board, firmware: Firmware) -> Iterator[EmulatedPico]:
    """The emulated Pico, running the probe; it has greeted once the probe is there."""
    need_emulator()
    with start(board, firmware.elf) as running:
        assert isinstance(running, EmulatedPico)
        yield running


@pytest.fixture(scope="module")
def probe(pico: EmulatedPico) -> Probe:
    """The one probe of this file: every test leaves it ready for the next."""
    return Probe.on(pico)


def need_emulator() -> None:
    """Skip the test, saying why, where Node.js or the emulator is missing."""
    need_tool("node")
    try:
        find_modules()
    except MissingTool as error:
        pytest.skip(f"{error.what}: {error.next_step}")


def test_serial_loses_nothing_though_the_fifo_has_32_bytes(probe: Probe) -> None:
    data = random.Random(1).randbytes(8192)
    assert probe.echo(data) == data
    assert probe.sink(data) == sum(i * byte for i, byte in enumerate(data, start=1)) % 2**32
    assert probe.source(4096) == bytes(i * i % 2**32 % 251 for i in range(4096))


def test_ticks_count_cycles(board: Board, probe: Probe) -> None:
    """A round of the spin is SUBS and a taken branch: two instructions, three cycles
    (Cortex-M0+ Technical Reference Manual, DDI 0484C, 3.3).
    """
    assert probe.ask("H") == (board.ticks.hz,)
    short, long = probe.ticks_of_spin(1000), probe.ticks_of_spin(201_000)
    assert long - short == 3 * 200_000 // 2
    assert probe.ticks_of_spin(201_000) == long


def test_ticks_go_on_where_the_counter_wraps(probe: Probe) -> None:
    """SysTick has 24 bits; two wraps and a half pass while nobody looks. In rp2040js each is one
    clock short.
    """
    rounds = 5 * 2**24 // 6
    short, long = probe.ticks_of_spin(1000), probe.ticks_of_spin(1000 + 2 * rounds)
    assert long - short - 3 * rounds in (2, 3)
    assert probe.ask("M", 3000) == (0,)


def test_idle_sleeps(pico: EmulatedPico, probe: Probe) -> None:
    probe.ask("H")
    before = _processor_seconds(pico.pid)
    time.sleep(0.4)
    assert _processor_seconds(pico.pid) - before < 0.15


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (FAULT_JUMP, Reason.FAULT),
        (FAULT_LOAD, Reason.FAULT),
        (FAULT_MASKED_LOAD, Reason.FAULT),
        (FAULT_ILLEGAL, Reason.FAULT),
        (FAULT_OVERFLOW, Reason.STACK_OVERFLOW),
    ],
)
def test_faults_are_reported_after_the_reset(
    board: Board, probe: Probe, kind: int, reason: Reason
) -> None:
    probe.send("F", kind)
    probe.wait_for_boot()
    fault = probe.take_fault()
    assert fault is not None
    assert fault["reason"] == reason
    assert fault["cause"] == 3  # HardFault: all there is on Armv6-M
    if kind == FAULT_JUMP:
        assert fault["pc"] & ~1 == NOWHERE
    if kind == FAULT_OVERFLOW:
        assert abs(fault["sp"] - board.region("ram").origin) < 512
    assert probe.take_fault() is None


def test_reset_restarts(probe: Probe) -> None:
    """By way of the second stage, and memory outlives it."""
    nonces = {probe.ask("N")}
    for _ in range(3):
        probe.send("X")
        probe.wait_for_boot()
        nonces.add(probe.ask("N"))
    assert len(nonces) == 4
    assert probe.ask("P", 1234) == (617,)


def test_stack_used_is_exact(probe: Probe) -> None:
    for depth_bytes in (0, 8, 104, 15008):
        assert probe.ask("S", depth_bytes) == (depth_bytes,)


def test_image_bytes(firmware: Firmware, probe: Probe) -> None:
    assert probe.ask("I") == (measure_image(firmware.elf).image_bytes,)


# --- the second stage -----------------------------------------------------------------------------


def boot_crc(data: bytes | bytearray) -> int:
    """CRC-32, most significant bit first, not inverted: RP2040 datasheet, 2.8.1.3.1."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc


def test_the_crc_is_the_one_of_the_specification() -> None:
    """CRC-32/MPEG-2 in the catalogue of parametrised CRC algorithms."""
    assert boot_crc(b"123456789") == 0x0376E6E7


@pytest.mark.parametrize("toolchain", ["gcc", "clang"])
def test_the_second_stage_has_its_crc(
    board: Board, tmp_path: Path, toolchain: ToolchainName
) -> None:
    """What each compiler makes of it."""
    compiler = board.compilers[toolchain]
    need_tool(compiler.program)
    folder = template_folder() / "platform" / "cortex_m"
    source, compiled = folder / "drivers" / "rp2040_boot2.c", tmp_path / "boot2.o"
    command = [compiler.program, *(["cc"] if toolchain == "clang" else []), *compiler.flags, "-O2"]
    process.run(
        [*command, f"-I{folder}", "-c", str(source), "-o", str(compiled)], timeout_seconds=120
    )
    with compiled.open("rb") as stream:
        section = ELFFile(stream).get_section_by_name(".boot_stage")
        assert section is not None
        stage = section.data()
    assert len(stage) == BOOT_STAGE_BYTES
    assert boot_crc(stage[:-4]) == int.from_bytes(stage[-4:], "little")


def test_the_vector_table_is_behind_the_second_stage(board: Board, firmware: Firmware) -> None:
    flash = read_image(firmware.elf, board).filled(board.region("flash").origin)
    assert boot_crc(flash[: BOOT_STAGE_BYTES - 4]) == int.from_bytes(
        flash[BOOT_STAGE_BYTES - 4 : BOOT_STAGE_BYTES], "little"
    )
    with firmware.elf.open("rb") as stream:
        entry = ELFFile(stream)["e_entry"]
    assert int.from_bytes(flash[BOOT_STAGE_BYTES + 4 : BOOT_STAGE_BYTES + 8], "little") == entry


def test_the_uf2_file_runs(board: Board, firmware: Firmware) -> None:
    """What a build leaves for the drive of the boot loader is the image."""
    need_emulator()
    assert firmware.uf2 is not None
    with start(board, firmware.uf2) as running:
        assert Probe.on(running).ask("H") == (board.ticks.hz,)


def test_an_image_with_a_broken_second_stage_is_not_started(
    board: Board, firmware: Firmware, tmp_path: Path
) -> None:
    need_emulator()
    flash = bytearray(read_image(firmware.elf, board).filled(board.region("flash").origin))
    flash[17] ^= 4
    broken = tmp_path / "broken.bin"
    broken.write_bytes(flash)
    with pytest.raises(LinkFailed, match="ended at once") as failure:
        start(board, broken)
    assert "wrong CRC" in str(failure.value)


def test_a_second_stage_that_sets_the_flash_up_wrongly_starts_nothing(
    board: Board, firmware: Firmware, tmp_path: Path
) -> None:
    """With a command that the flash does not await in continuous mode, and a CRC that is right."""
    need_emulator()
    flash = bytearray(read_image(firmware.elf, board).filled(board.region("flash").origin))
    last_set_up = flash.index((0xA0002022).to_bytes(4, "little"), 0, BOOT_STAGE_BYTES)
    flash[last_set_up + 1] |= 2  # INST_L: 8 bits
    crc = boot_crc(flash[: BOOT_STAGE_BYTES - 4])
    flash[BOOT_STAGE_BYTES - 4 : BOOT_STAGE_BYTES] = crc.to_bytes(4, "little")
    wrong = tmp_path / "wrong.bin"
    wrong.write_bytes(flash)
    with start(board, wrong) as running:
        running.connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            running.connection.recv(1)


# --- what needs the boot ROM ----------------------------------------------------------------------

CHIP_MAIN = """
#include "platform.h"

int main(void)
{
    uint8_t id[16];
    platform_init();
    for (uint8_t i = 0; i < 2; ++i) {
        const uint8_t size = (uint8_t)platform_chip_id(id, sizeof id);
        platform_serial_write(&size, 1);
        platform_serial_write(id, size);
    }
    const bool left = platform_reset_to_loader();
    platform_serial_write((const uint8_t *)(left ? "gone" : "none"), 4);
    for (;;) {
        platform_idle();
    }
}
"""
UNIQUE_ID = bytes.fromhex("e6613450823a5527")  # machine.mjs
LONGEST_SECONDS = 30.0


def test_chip_id_and_boot_loader(board: Board, tmp_path: Path) -> None:
    """The flash's number is asked for from RAM, while the flash cannot be read; the second stage
    sets it up again, and what follows runs from there. Then the ROM is entered, nothing is sent.
    """
    need_emulator()
    firmware = build_probe(board, tmp_path, main=CHIP_MAIN)
    with start(board, firmware.elf) as running:
        connection = running.connection
        connection.settimeout(LONGEST_SECONDS)
        received = b""
        while len(received) < 18:
            received += connection.recv(64)
        assert received == (bytes([8]) + UNIQUE_ID) * 2
        deadline = time.monotonic() + LONGEST_SECONDS
        while "BOOTSEL" not in running.log_tail():
            assert time.monotonic() < deadline
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)


HANG_MAIN = """
#include "platform.h"

#define NMI_MASK (*(volatile uint32_t *)0x40004000u)

__attribute__((section(".noinit"))) static uint32_t boots;

int main(void)
{
    platform_init();
    boots = boots > 2u ? 1u : boots + 1u;
    const uint8_t boot = (uint8_t)boots;
    platform_serial_write(&boot, 1);
    platform_watchdog_start(20);
    NMI_MASK = 0; /* as on a core that does not take its interrupt */
    for (;;) {
    }
}
"""


@pytest.mark.long
def test_the_watchdog_resets_where_its_interrupt_is_not_taken(board: Board, tmp_path: Path) -> None:
    """Half a second after the interrupt was due, twice; memory outlives it."""
    need_emulator()
    firmware = build_probe(board, tmp_path, main=HANG_MAIN)
    with start(board, firmware.elf) as running:
        running.connection.settimeout(LONGEST_SECONDS)
        assert [running.connection.recv(1)[0] for _ in range(3)] == [1, 2, 3]
