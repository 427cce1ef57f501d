"""Clock drivers where oscillators and PLLs never start, as those of QEMU do."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.render.platform import render_platform
from tests.compilers import FIRST_LINK_SECONDS, host_compiler
from tests.platform.probe import write_project

HERE = Path(__file__).parent

# LM3S6965 Data Sheet, System Control and General-Purpose I/Os.
RIS, RCC = 0x400FE050, 0x400FE060
RCGC0, RCGC1, RCGC2 = 0x400FE100, 0x400FE104, 0x400FE108
PORT_A_AFSEL, PORT_A_DEN = 0x40004420, 0x4000451C
RCC_AT_RESET = 0x078E3AD1
RCC_50_MHZ = 0x01CE0380
"""SYSDIV 3, USESYSDIV, PWMDIV as at reset, XTAL 14: all else off."""
PLL_LOCKED = 1 << 6

# nRF52840 Product Specification, CLOCK and NVMC.
HFCLKSTART, HFCLKSTARTED, ICACHECNF = 0x40000000, 0x40000100, 0x4001E540


def after_clock_init(board: str, folder: Path, before: Mapping[int, int]) -> tuple[int, list[int]]:
    """The driver's figure of the core's clock, and the registers of `before` after it ran."""
    app = {"main.c": (HERE / "clock.c").read_text(encoding="utf-8")}
    loaded = load_board(board)
    assert loaded.clock is not None
    files = render_platform(loaded, app=app, toolchain="gcc", optimize="speed", model_sources=[])
    project = write_project(folder, files)
    sources = [str(project / "app/main.c"), str(project / f"platform/{loaded.clock.driver}.c")]
    includes = [f"-I{project / name}" for name in ("platform", "runtime")]
    program = project / "clock"
    argv = [*host_compiler("gcc"), "-std=c99", "-O1", *includes, "-o", str(program), *sources]
    subprocess.run(argv, check=True, timeout=FIRST_LINK_SECONDS)
    arguments = [f"{address:x}={value:x}" for address, value in before.items()]
    done = subprocess.run(
        [str(program), *arguments], capture_output=True, check=True, timeout=60, text=True
    )
    hz, *registers = done.stdout.split()
    return int(hz), [int(word, 16) for word in registers]


@pytest.mark.parametrize(
    ("ris", "hz", "rcc"),
    [(PLL_LOCKED, 50_000_000, RCC_50_MHZ), (0, 12_000_000, RCC_AT_RESET)],
    ids=["locks", "never locks"],
)
def test_the_pll_of_lm3s(tmp_path: Path, ris: int, hz: int, rcc: int) -> None:
    before = {RIS: ris, RCC: RCC_AT_RESET, RCGC0: 0, RCGC1: 0, RCGC2: 0}
    before |= {PORT_A_AFSEL: 0, PORT_A_DEN: 0}
    found, registers = after_clock_init("lm3s6965evb", tmp_path, before)
    assert (found, registers[1]) == (hz, rcc)
    assert registers[2:] == [1 << 3, 1 << 0 | 1 << 16, 1 << 0, 3, 3]


@pytest.mark.parametrize(
    ("board", "hz"), [("microbit-v1", 16_000_000), ("microbit-v2", 64_000_000)]
)
def test_a_crystal_of_nrf_that_never_starts(tmp_path: Path, board: str, hz: int) -> None:
    """Started, waited for, and given up: the RC oscillator has the same frequency."""
    before = {HFCLKSTART: 0, HFCLKSTARTED: 1, ICACHECNF: 0}
    cached = int(board == "microbit-v2")
    assert after_clock_init(board, tmp_path, before) == (hz, [1, 0, cached])
