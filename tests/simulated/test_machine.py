"""The machine itself, with a UART that asks for nothing: exceptions, sleep, faults, time."""

from __future__ import annotations

from pathlib import Path

import pytest
from unicorn import UC_PROT_EXEC, UC_PROT_READ

from exporter.board import load_board
from exporter.link.faults import Reason
from tests.platform.probe import Probe, build_probe
from tests.simulated.board import SimulatedBoard
from tests.simulated.machines import MACHINES

pytestmark = pytest.mark.toolchain

BOARD = load_board("mps2-an386")
FAULT_LOAD = 1
NOWHERE = 0xE8000000
STACK_BOTTOM = 0x20000000


@pytest.fixture(scope="module")
def probe_elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The probe of the emulated boards, which exercises a platform."""
    return build_probe(BOARD, tmp_path_factory.mktemp("probe")).elf


def simulated(elf: Path) -> SimulatedBoard:
    assert BOARD.uart is not None
    return SimulatedBoard(lambda line: MACHINES[BOARD.name](BOARD, line, elf), BOARD.uart.baud)


def test_what_holds_in_qemu_holds_here(probe_elf: Path) -> None:
    """Bytes both ways, the FPU, the stack's depth, ticks of SysTick, a reset."""
    with simulated(probe_elf) as running:
        probe = Probe(running.connection)
        data = bytes(range(256)) * 2
        assert probe.echo(data) == data
        assert probe.ask("P", 1234) == (617,)
        assert probe.ask("S", 1000) == (1000,)
        short, long = probe.ticks_of_spin(1000), probe.ticks_of_spin(1_001_000)
        assert abs(long - short - 1_000_000) <= 8000  # time is exact to a slice
        nonce = probe.ask("N")
        probe.send("X")
        probe.wait_for_boot()
        assert probe.ask("N") != nonce
    assert running.machine.violations == []


def test_a_bad_load_faults_and_is_a_violation(probe_elf: Path) -> None:
    with simulated(probe_elf) as running:
        probe = Probe(running.connection)
        probe.send("F", FAULT_LOAD)
        probe.wait_for_boot()
        fault = probe.take_fault()
    assert fault is not None
    assert (fault["reason"], fault["address"]) == (Reason.FAULT, NOWHERE)
    assert any(f"0x{NOWHERE:08X}" in text for text in running.machine.violations)


def test_a_store_into_flash_is_a_violation(probe_elf: Path) -> None:
    running = simulated(probe_elf)
    machine = running.machine
    machine.uc.mem_protect(STACK_BOTTOM, 0x1000, UC_PROT_READ | UC_PROT_EXEC)
    with running:
        probe = Probe(running.connection)
        probe.send("S", 1000)  # paints the stack, from its bottom on
        running.wait_for(lambda: bool(machine.violations))
    assert f"store into flash: 0x{STACK_BOTTOM:08X}" in machine.violations[0]
