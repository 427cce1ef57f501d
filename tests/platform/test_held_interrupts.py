"""While the stack is measured all interrupts wait, but that of a watchdog."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.build import build
from exporter.flash import Emulator
from exporter.link.faults import Reason
from exporter.render.platform import render_platform
from tests.platform.probe import need_tool, write_project

pytestmark = [pytest.mark.toolchain, pytest.mark.emulator]

BOARD = "netduinoplus2"
GREETING = 0xB007C0DE
FIRST_INTERRUPT = 16
"""Exception number of interrupt 0."""

PROGRAM = """\
#include "board.h"
#include "platform.h"
#include "registers.h"

#define NVIC_ISPR(n) REGISTER(0xE000E200u + 4u * (n))

static void send(uint32_t word)
{
    const uint8_t bytes[] = {(uint8_t)word, (uint8_t)(word >> 8), (uint8_t)(word >> 16),
                             (uint8_t)(word >> 24)};
    platform_serial_write(bytes, sizeof bytes);
}

int main(void)
{
    platform_init();
    const struct platform_fault *const fault = platform_last_fault();
    if (fault != NULL) {
        send(fault->reason);
        send(fault->cause);
        send(fault->sp);
        for (;;) {
            platform_idle();
        }
    }
    send(0xB007C0DEu);
    platform_stack_paint();
    SCB_ICSR = SCB_ICSR_PENDSTSET;
    (void)platform_spin(1000);
    send(SCB_ICSR & SCB_ICSR_PENDSTSET); /* still waits */
    NVIC_ISER(BOARD_WATCHDOG_IRQ / 32u) = 1u << BOARD_WATCHDOG_IRQ % 32u;
    NVIC_ISPR(BOARD_WATCHDOG_IRQ / 32u) = 1u << BOARD_WATCHDOG_IRQ % 32u;
    (void)platform_spin(1000);
    send(0); /* never reached */
    for (;;) {
    }
}
"""


def test_the_watchdog_comes_through_and_others_wait(tmp_path: Path) -> None:
    board = load_board(BOARD)
    need_tool("cmake", "ninja", "qemu-system-arm", board.compilers["gcc"].program)
    files = render_platform(
        board, app={"main.c": PROGRAM}, toolchain="gcc", optimize="speed", model_sources=[]
    )
    files["nanoexport.json"] = json.dumps({"board": board.name, "toolchain": "gcc"})
    firmware = build(write_project(tmp_path / "held", files))
    with Emulator(board, firmware.elf) as emulator:
        emulator.connection.settimeout(100.0)
        received = b""
        while len(received) < 5 * 4:
            received += emulator.connection.recv(64)
    greeting, waiting, reason, cause, sp = struct.unpack("<5I", received)
    assert (greeting, waiting) == (GREETING, 1 << 26)
    assert board.watchdog is not None and board.watchdog.irq is not None
    # The timer itself did not count, so that it is a fault and no time-out that is recorded.
    assert (reason, cause) == (Reason.FAULT, FIRST_INTERRUPT + board.watchdog.irq)
    ram = board.region("ram")
    assert ram.origin < sp <= ram.origin + board.stack_bytes
