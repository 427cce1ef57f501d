"""Each kind of crash, on every kind of board: told with its line, and the next run is right.

The model's first layer misbehaves as the first byte of its input says; the others are real inputs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from exporter.board import load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.errors import CheckFailed
from exporter.hil.crash import CrashReport, describe_crash
from exporter.hil.session import open_device
from exporter.hil.verify import check_verification, verify_device, verify_on_board
from exporter.link import Device, DeviceRestarted
from exporter.link.faults import Fault, FaultKind, Reason
from exporter.oracle import Oracle
from tests.hil.support import doctored, nanoexport

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")

MODEL = "model/model.c"
LAYER = "void model_layer_0_conv_2d(int8_t *arena)\n{\n"
TRAP, BUS_ERROR, OVERFLOW, LARGE_FRAME, UNDERRUN, OVERRUN, HANG = range(100, 107)
NO_STACK_LIMIT = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7")
NO_MPU = ("cortex-m0",)
NO_TIMERS = ("netduinoplus2", "stm32vldiscovery")
"""Boards whose watchdog is a timer that QEMU does not have, or not rightly."""
LONG_BOARDS = (
    *("mps2-an385", "mps2-an500", "mps3-an547", "hifive1-rev-b"),
    *("lm3s6965evb", "microbit-v1", "netduinoplus2", "stm32vldiscovery"),
)
ANSWERS_EVERYWHERE = ("lm3s6965evb",)
"""Machines where QEMU ignores accesses to where nothing is, which are faults on the real board."""
REASONS = {
    TRAP: Reason.FAULT,
    BUS_ERROR: Reason.FAULT,
    OVERFLOW: Reason.STACK_OVERFLOW,
    LARGE_FRAME: Reason.STACK_OVERFLOW,
    UNDERRUN: Reason.ARENA_OVERRUN,
    HANG: Reason.WATCHDOG,
}
# Each line that a report must name ends in a comment. Of a function that overflows the stack it is
# all of it: which instruction is the first to leave the stack differs from core to core.
MISBEHAVE = """\
static int sink;

__attribute__((noinline)) static int recurse(volatile int *depth) { \
volatile int local[16]; \
local[0] = *depth + 1; \
return local[0] == 0 ? 0 : recurse(local) + local[0]; } /* OVERFLOW */

__attribute__((noinline)) static int large_frame(int deep) { \
volatile int8_t local[16384 + 2048]; \
local[0] = (int8_t)deep; \
return local[0]; } /* LARGE_FRAME */

__attribute__((noinline)) static void misbehave(int8_t kind, int8_t *arena)
{
    volatile int zero = 0;
    if (kind == 100) {
        __builtin_trap(); /* TRAP */
    } else if (kind == 101) {
        sink = *(volatile int *)(uintptr_t)0xE8000000u; /* BUS_ERROR */
    } else if (kind == 102) {
        sink = recurse(&zero);
    } else if (kind == 103) {
        sink = large_frame(zero);
    } else if (kind == 104) {
        *(volatile int8_t *)(arena - 1) = 1; /* UNDERRUN */
    } else if (kind == 105) {
        *(volatile int8_t *)(arena + MODEL_ARENA_BYTES + 3) = 1; /* OVERRUN */
    } else if (kind == 106) {
        while (zero == 0) { /* HANG */
        }
    }
}

"""
CALL = "    misbehave(model_input_0[0], arena); /* CALL */\n"


def broken(board: str, model: Path, folder: Path) -> ModelFirmware:
    """The small model for `board`, with the misbehaviour in its first layer."""
    firmware = firmware_for(model, load_board(board), Settings())
    patch = {MODEL: (LAYER, f"{MISBEHAVE}{LAYER}{CALL}")}
    return doctored(firmware, folder, patch=patch)


def line_of(firmware: ModelFirmware, comment: str) -> int:
    """The number of the line that ends in that comment."""
    lines = (firmware.firmware.project / MODEL).read_text("utf-8").splitlines()
    return next(n for n, line in enumerate(lines, 1) if line.endswith(f"/* {comment} */"))


def image(first: int) -> npt.NDArray[np.int8]:
    """An input whose first byte is given."""
    values = np.random.default_rng(first).integers(-128, 100, (1, 6, 6, 2), np.int8)
    values[0, 0, 0, 0] = first
    return values


def crash(device: Device, firmware: ModelFirmware, kind: int) -> CrashReport:
    """Make the device crash; the report, which the error must carry, too."""
    device.write_input(0, image(kind))
    with pytest.raises(DeviceRestarted) as raised:
        device.invoke(300.0, watchdog_seconds=0.02, guarded=True)
    assert raised.value.fault is not None
    report = describe_crash(raised.value.fault, firmware.firmware.elf)
    assert raised.value.value == report.text()
    return report


def next_run_is_right(device: Device, oracle: Oracle) -> None:
    """An inference on the same connection, after which the guards are whole."""
    result = verify_device(device, oracle, [[image(1)]])
    assert result.bit_exact and result.memory is not None and result.memory.guards_intact


def check_report(firmware: ModelFirmware, kind: int, comment: str, report: CrashReport) -> None:
    """The reason, file and line, and registers that can be."""
    assert report.fault.reason == REASONS[kind], report.text()
    assert report.where is not None
    assert (report.where.file, report.where.line) == (MODEL, line_of(firmware, comment)), (
        report.text()
    )
    stack_top = stack_range(firmware)
    if stack_top is not None and report.fault.reason != Reason.STACK_OVERFLOW:
        assert stack_top[0] < report.fault.sp < stack_top[1]
        assert any(place.function == "main" for place in report.callers), report.text()
    assert f"{MODEL}:{report.where.line}" in report.text()


def stack_range(firmware: ModelFirmware) -> tuple[int, int] | None:
    """First and last address of the board's stack; None of a native process."""
    if not firmware.board.freestanding:
        return None
    start = firmware.board.region("ram").origin
    return start, start + firmware.board.stack_bytes + 64


def session_of_crashes(board: str, model: Path, folder: Path) -> None:
    """Every kind of crash one after the other, in one session, with a good run after each."""
    firmware = broken(board, model, folder)
    trapping = firmware.board.freestanding
    faulting = board not in ANSWERS_EVERYWHERE
    guarding = trapping and firmware.board.core not in NO_MPU
    # These lose pc and lr with the frame that they cannot push: what is left of a leaf that
    # overflows the stack is the call of its caller.
    large = "CALL" if firmware.board.core in NO_STACK_LIMIT else "LARGE_FRAME"
    dialect = firmware.settings.dialect
    with (
        Oracle(firmware.compilation.model, dialect) as oracle,
        open_device(firmware) as device,
    ):
        for kind, comment in (
            (TRAP, "TRAP"),
            *([(BUS_ERROR, "BUS_ERROR")] if faulting else []),
            (OVERFLOW, "OVERFLOW"),
            *([(LARGE_FRAME, large)] if trapping and faulting else []),
            *([(UNDERRUN, "UNDERRUN")] if guarding else []),
            *([(HANG, "HANG")] if board not in NO_TIMERS else []),
        ):
            check_report(firmware, kind, comment, crash(device, firmware, kind))
            next_run_is_right(device, oracle)


def test_a_native_process(small_model: Path, tmp_path: Path) -> None:
    session_of_crashes("host", small_model, tmp_path)


@pytest.mark.toolchain
@pytest.mark.emulator
@pytest.mark.parametrize("board", ["mps2-an386", "mps2-an505", "riscv32-virt"])
def test_an_emulated_board(board: str, small_model: Path, tmp_path: Path) -> None:
    session_of_crashes(board, small_model, tmp_path)


@pytest.mark.long
@pytest.mark.toolchain
@pytest.mark.emulator
@pytest.mark.parametrize("board", LONG_BOARDS)
def test_the_other_emulated_boards(board: str, small_model: Path, tmp_path: Path) -> None:
    session_of_crashes(board, small_model, tmp_path)


def verified(firmware: ModelFirmware, kind: int) -> CheckFailed:
    """What `verify` says where the second of two vectors stores outside the arena."""
    result = verify_on_board(firmware, [[image(1)], [image(kind)]])
    assert result.bit_exact, "the outputs are right all the same"
    with pytest.raises(CheckFailed) as raised:
        check_verification(firmware, result)
    assert "wrote outside the arena with vector 1: " in raised.value.what
    return raised.value


def test_a_store_that_only_the_pattern_sees_is_hunted_by_steps(
    small_model: Path, tmp_path: Path
) -> None:
    firmware = broken("host", small_model, tmp_path)
    source = (firmware.firmware.project / MODEL).read_text("utf-8").splitlines()
    line = source.index(LAYER.splitlines()[0]) + 1
    for kind, where in ((UNDERRUN, "1 bytes below, 0 above"), (OVERRUN, "0 bytes below, 1 above")):
        error = verified(firmware, kind)
        assert error.value == where
        assert "step 0, CONV_2D that makes 'features'" in error.what
        place = f"model_layer_0_conv_2d, {MODEL}:"
        assert place in error.what
        assert 0 <= int(error.what.rpartition(":")[2]) - line <= 2


@pytest.mark.toolchain
@pytest.mark.emulator
def test_a_store_next_to_the_arena_is_hunted_with_the_protection_unit(
    small_model: Path, tmp_path: Path
) -> None:
    """In a block of 32 bytes: the line of the store. Beside it: the step."""
    firmware = broken("mps2-an386", small_model, tmp_path)
    assert 0 < firmware.program.arena_bytes % 32 <= 28
    below = verified(firmware, UNDERRUN).what
    assert "write outside the arena" in below
    assert f"misbehave, {MODEL}:{line_of(firmware, 'UNDERRUN')}" in below
    assert "step 0, CONV_2D that makes 'features'" in verified(firmware, OVERRUN).what


@pytest.mark.toolchain
@pytest.mark.emulator
def test_a_crash_in_a_profile_knows_its_step(small_model: Path, tmp_path: Path) -> None:
    firmware = broken("riscv32-virt", small_model, tmp_path)
    with open_device(firmware) as device:
        device.write_input(0, image(TRAP))
        with pytest.raises(DeviceRestarted, match="in step 0") as raised:
            device.profile()
        assert raised.value.fault is not None and raised.value.fault.step == 0
        device.write_input(0, image(1))
        device.profile()


@pytest.mark.toolchain
@pytest.mark.emulator
def test_a_fault_in_the_handler_does_not_loop(small_model: Path, tmp_path: Path) -> None:
    """The record is there as far as it went, and the device is back."""
    firmware = firmware_for(small_model, load_board("riscv32-virt"), Settings())
    first = "    const uint32_t *word = linker_stack_bottom;\n"
    wild = "    (void)*(volatile const uint32_t *)(uintptr_t)0xE8000000u;\n"
    patch = {
        MODEL: (LAYER, f"{MISBEHAVE}{LAYER}{CALL}"),
        "platform/callers.c": (first, first + wild),
    }
    broken_twice = doctored(firmware, tmp_path, patch=patch)
    with open_device(broken_twice) as device:
        for _ in range(2):
            report = crash(device, broken_twice, TRAP)
            assert report.where is not None
            assert report.where.line == line_of(broken_twice, "TRAP")
            assert report.fault.callers == ()
        device.write_input(0, image(1))
        device.invoke()


def test_what_verify_prints(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    firmware = firmware_for(small_model, load_board("host"), Settings())
    patch = {MODEL: (LAYER, f"{LAYER}    __builtin_trap(); /* TRAP */\n")}
    trapping = doctored(firmware, tmp_path, patch=patch)
    monkeypatch.setattr("exporter.build.firmware.firmware_for", lambda *a, **k: trapping)
    run = nanoexport("verify", small_model, "--board", "host", "--vectors", "2", "--json")
    assert run.code == 4
    told: Any = run.error["value"]
    for words in ("SIGILL", f"{MODEL}:{line_of(trapping, 'TRAP')}", "pc=0x", "eax=0x", "sp=0x"):
        assert words in told
    assert "the device restarted during INVOKE" in str(run.error["what"])


def test_an_image_that_cannot_be_read_leaves_the_registers(tmp_path: Path) -> None:
    fault = Fault(FaultKind.ARM_M, Reason.WATCHDOG, 3, 2, 0, 0, 0x100, 0x200, 0x300, {"r0": 5})
    elf = tmp_path / "firmware.elf"
    for content in (None, b"", b"\x7fELF\x01\x01\x01", bytes(4096)):
        if content is not None:
            elf.write_bytes(content)
        report = describe_crash(fault, elf)
        assert json.loads(json.dumps(report.as_dict()))["registers"]["r0"] == 5
        text = report.text()
        assert "watchdog" in text and "pc=0x00000100" in text and "r0=0x00000005" in text
        assert "in step 3" in text


@pytest.mark.emulator
@pytest.mark.toolchain
@pytest.mark.parametrize("board", ["mps2-an386", "mps2-an505", "mps3-an547", "riscv32-virt"])
def test_a_watchdog_that_was_stopped_stays_so(board: str, small_model: Path) -> None:
    """Also while the board is idle for many times as long: models of watchdogs count on."""
    firmware = firmware_for(small_model, load_board(board), Settings())
    with open_device(firmware) as device:
        for _ in range(2):
            device.write_input(0, image(1))
            device.invoke(300.0, watchdog_seconds=0.02)
            device.poll(0.2)
        assert device.take_fault() is None
