"""Faults put into the drivers' text: each is caught, and named for what it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.build import build
from tests.simulated.exercise import exercise, exercise_project
from tests.simulated.machine import Machine

pytestmark = pytest.mark.toolchain


@dataclass(frozen=True)
class Seed:
    """In `file` of the rendered project, `text` becomes `fault`; then a violation has `caught`."""

    name: str
    board: str
    file: str
    text: str
    fault: str
    caught: str


DISCOVERY = "stm32f4discovery"
F446, L4R5, H743 = "nucleo-f446re", "nucleo-l4r5zi", "nucleo-h743zi"
PICO_2, DK, C3 = "raspberry-pi-pico-2", "nrf52840-dk", "esp32-c3-devkitm-1"
QUICK = (
    Seed("PLL factor", F446, "platform/stm32f4_clock.c", "BOARD_CLOCK_PLL_N << 6",
         "(BOARD_CLOCK_PLL_N - 20u) << 6", "baud, 115200 are due"),
    Seed("wait states", F446, "platform/board.h", "#define BOARD_CLOCK_FLASH_LATENCY 0x00000005u",
         "#define BOARD_CLOCK_FLASH_LATENCY 0x00000004u", "wait states of the flash"),
    Seed("alternate function", F446, "platform/stm32_usart.c",
         "BOARD_UART_PIN_FUNCTION << pin", "(BOARD_UART_PIN_FUNCTION + 1u) << pin",
         "no pin has its function"),
    Seed("clock enable", F446, "platform/stm32_usart.c",
         "stm32_enable(BOARD_UART_ENABLE, BOARD_UART_ENABLE_BIT);", "",
         "USART2: offset 0x8 written while its clock is off"),
    Seed("divider", F446, "platform/stm32_usart.c", "clock_uart_hz() + rate / 2u",
         "clock_core_hz() + rate / 2u", "baud, 115200 are due"),
)  # fmt: skip
LONG = (
    Seed("parity", F446, "platform/stm32_usart.c", "UART_CR1 = UART_CR1_UE |",
         "UART_CR1 = 1u << 10 | UART_CR1_UE |", "are not 8N1"),
    Seed("the USART's other pin", DISCOVERY, "platform/board.h",
         "#define BOARD_UART_TX_PORT 0x40020400u", "#define BOARD_UART_TX_PORT 0x40020800u",
         "no pin has its function: PB10"),
    Seed("voltage scale", F446, "platform/stm32f4_clock.c",
         "stm32_set_field(PWR_CR, PWR_CR_VOS, BOARD_CLOCK_VOLTAGE_SCALE << 14);",
         "stm32_set_field(PWR_CR, PWR_CR_VOS, 1u << 14);", "where the voltage allows"),
    Seed("PLL set while on", F446, "platform/stm32f4_clock.c",
         "    return overdrive_starts() &&", "    REGISTER(RCC_PLLCFGR) = PLL_FACTORS | "
         "RCC_PLLCFGR_SRC_HSE | RCC_PLLCFGR_R_2;\n    return overdrive_starts() &&",
         "PLLCFGR is written while the PLL is on"),
    Seed("source not ready", F446, "platform/stm32f4_clock.c",
         "&& stm32_wait(RCC_CR, RCC_CR_PLLRDY, RCC_CR_PLLRDY)", "", "which is not ready"),
    Seed("supply of port G", L4R5, "platform/stm32l4_clock.c", "REGISTER(PWR_CR2) |= PWR_CR2_IOSV;",
         "", "PWR_CR2.IOSV"),
    Seed("boost", L4R5, "platform/stm32l4_clock.c", "REGISTER(PWR_CR5) &= ~PWR_CR5_R1MODE;", "",
         "where the power allows 80"),
    Seed("half before full", L4R5, "platform/stm32l4_clock.c",
         "stm32_set_field(RCC_CFGR, RCC_CFGR_HPRE, RCC_CFGR_HPRE_2);", "", "half of it first"),
    Seed("supply of H7", H743, "platform/stm32h7_clock.c",
         "stm32_set_field(PWR_CR3, PWR_CR3_SUPPLY, PWR_CR3_LDOEN);",
         "stm32_set_field(PWR_CR3, PWR_CR3_SUPPLY, PWR_CR3_LDOEN | 1u);", "another supply"),
    Seed("buses not divided", H743, "platform/stm32h7_clock.c",
         "REGISTER(RCC_D2CFGR) = RCC_D2CFGR_HALVED;", "", "the clock of an APB is"),
    Seed("pad", PICO_2, "platform/rp2_clock.c", "#define PAD_PULL_UP 0x5Au",
         "#define PAD_PULL_UP 0x15Au", "is isolated"),
    Seed("held in reset", PICO_2, "platform/board.h", "0x04904240u", "0x00904240u",
         "UART0: offset 0x30 written while it is held in reset"),
    Seed("crystal not awaited", PICO_2, "platform/rp2_clock.c",
         "becomes_set(XOSC_STATUS, XOSC_STATUS_STABLE) &&", "", "which does not run"),
    Seed("auxiliary source", PICO_2, "platform/rp2_clock.c",
         "REGISTER(control + CLEAR_BITS) = CLK_SOURCE;", "REGISTER(control) = 0;",
         "AUXSRC changes while it is selected"),
    Seed("wrong pin", DK, "platform/board.h", "#define BOARD_UART_TX_PIN 0x00000006u",
         "#define BOARD_UART_TX_PIN 0x00000005u", "the board wires 6"),
    Seed("rate", DK, "platform/nrf_uart.c", "UART_BAUDRATE = (uint32_t)BAUDRATE;",
         "UART_BAUDRATE = 0x00EBF000u;", "baud"),
    Seed("debug port", DK, "platform/startup.c", "    chip_at_reset();", "", "debug port"),
    Seed("PLL of the C3", C3, "platform/esp32c3_clock.c", "pll_write(3, 8);", "pll_write(3, 9);",
         "the PLL is set up with"),
    Seed("watchdog left on", C3, "platform/esp32c3.c", "RTC_WDTCONFIG0 = 0;", "",
         "left running"),
    Seed("clock of the C3's UART", C3, "platform/esp32c3_uart.c",
         "#define UART_CLK_CONF_CRYSTAL (1u << 25 | 1u << 24 | 1u << 22 | 3u << 20)",
         "#define UART_CLK_CONF_CRYSTAL (1u << 25 | 1u << 24 | 1u << 22 | 1u << 20)", "baud"),
)  # fmt: skip


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A built project for each board: what follows compiles one file anew."""
    return {"": tmp_path_factory.mktemp("seeds")}


def project_of(board: str, projects: dict[str, Path]) -> Path:
    if board not in projects:
        folder = projects[""] / board
        projects[board] = exercise_project(load_board(board), folder)
    return projects[board]


def violations_of(board: str, elf: Path, caught: str) -> list[str]:
    """Until the fault is caught, or the board has done all that is asked of it."""
    with exercise(load_board(board), elf) as client:
        machine: Machine = client.machine
        client.send("?" * 64)
        running = client.running
        running.wait_for(
            lambda: any(caught in text for text in machine.violations) or running.ended
        )
    return machine.violations


@pytest.mark.parametrize(
    "seed",
    [*QUICK, *(pytest.param(seed, marks=pytest.mark.long) for seed in LONG)],
    ids=lambda seed: f"{seed.board}: {seed.name}",
)
def test_a_fault_in_a_driver_is_caught(seed: Seed, projects: dict[str, Path]) -> None:
    project = project_of(seed.board, projects)
    file = project / seed.file
    right = file.read_text(encoding="utf-8")
    assert right.count(seed.text) == 1, f"the driver no longer has this text: {seed.text}"
    file.write_text(right.replace(seed.text, seed.fault), encoding="utf-8")
    try:
        elf = build(project).elf
        found = violations_of(seed.board, elf, seed.caught)
    finally:
        file.write_text(right, encoding="utf-8")
    assert any(seed.caught in text for text in found), found
