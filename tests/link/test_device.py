"""Device against the application `hil` as a native process, over a pty and over TCP."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from exporter.errors import BadInput, LinkFailed
from exporter.flash.native import NativeProcess
from exporter.link import Device, DeviceRestarted, LogLine, Timing, open_port
from exporter.link.faults import Reason
from tests.link.conftest import PATIENT

OVERRUN, UNDERRUN, NULL_WRITE, DIVIDE, SLOW = range(101, 106)  # fake_model.c
LOW_HALF = 109


def image(first: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.int8]]:
    """An input for the fake model."""
    return np.array([[first, 1, 2, 3, 4, 5, 6, 7]], np.int8)


def test_identity_tensors_and_steps(device: Device) -> None:
    identity = device.identity
    assert (identity.model_name, identity.board, identity.dialect) == ("fake", "host", "tflite")
    assert identity.ticks_hz == 1_000_000_000 and identity.boot_nonce != 0
    assert [(t.name, t.shape, t.dtype.name) for t in device.inputs] == [
        ("image", (1, 8), "int8"),
        ("large", (1, 3000), "int8"),
    ]
    assert [(t.name, t.dtype.name, t.zero_point) for t in device.outputs] == [
        ("sum", "int8", -6),
        ("count", "int32", 0),
    ]
    assert [step.op for step in device.steps()] == ["ADD", "COUNT"]


def test_an_inference(device: Device) -> None:
    device.write_input(0, image())
    result = device.invoke()
    assert device.read_output(0).tolist() == [[1, 5, 9, 13]]
    assert device.read_output(1).tolist() == [[1]] and device.read_output(1).dtype == np.int32
    assert 0 < result.ticks < 1e9
    assert 2000 <= result.stack_bytes < 4000  # fake_model.c has 2000 bytes on the stack
    assert device.repeated_requests == 0


def test_an_inference_with_interrupts_has_no_stack_figure(device: Device) -> None:
    device.write_input(0, image())
    assert device.invoke(interrupts=True).stack_bytes == 0
    assert device.read_output(0).tolist() == [[1, 5, 9, 13]]
    assert device.memory().stack_bytes == 0


def test_a_board_without_a_timer_has_no_load(device: Device) -> None:
    assert device.load(1000, 100) is None
    assert device.reading_ticks() >= 0


def test_large_tensors_travel_in_chunks(device: Device) -> None:
    values = np.random.default_rng(1).integers(-128, 128, (1, 3000), np.int8)
    device.write_input(1, values)
    assert np.array_equal(device.read_input(1), values)


def test_poison_fills_inputs_and_outputs(device: Device) -> None:
    device.invoke()
    device.poison(0x5A)
    assert set(device.read_input(1).ravel()) == {0x5A}
    assert set(device.read_output(0).ravel()) == {0x5A}
    assert device.read_output(1)[0, 0] == 0x5A5A5A5A


def test_profile_runs_the_steps(device: Device) -> None:
    device.write_input(0, image())
    profile = device.profile()
    assert len(profile.step_ticks) == 2 and all(ticks > 0 for ticks in profile.step_ticks)
    assert 0 < profile.reading_ticks < 1e6
    assert device.read_output(0).tolist() == [[1, 5, 9, 13]]


def test_spin_is_unsupported_on_a_native_process(device: Device) -> None:
    assert device.spin(1000) is None


def test_memory_report_of_a_sound_run(device: Device) -> None:
    device.invoke()
    memory = device.memory()
    assert memory.guards_intact and (memory.arena_bytes, memory.guard_bytes) == (3024, 16)
    assert memory.image_bytes > 5000 and memory.stack_bytes >= 2000


@pytest.mark.parametrize(("fault", "below", "above"), [(OVERRUN, 0, 1), (UNDERRUN, 1, 0)])
def test_damaged_guards_are_found(device: Device, fault: int, below: int, above: int) -> None:
    device.write_input(0, image(fault))
    device.invoke()
    memory = device.memory()
    assert (memory.guard_below_damaged, memory.guard_above_damaged) == (below, above)
    assert not memory.guards_intact
    device.reset()
    assert device.memory().guards_intact


@pytest.mark.parametrize(("fault", "signal"), [(NULL_WRITE, "SIGSEGV"), (DIVIDE, "SIGFPE")])
def test_a_crash_is_reported_and_the_device_goes_on(
    device: Device, fault: int, signal: str
) -> None:
    for _ in range(2):
        device.write_input(0, image(fault))
        start = time.monotonic()
        with pytest.raises(DeviceRestarted) as caught:
            device.invoke()
        assert time.monotonic() - start < 1.5  # its boot line says so, before any time-out
        assert signal in str(caught.value) and caught.value.fault is not None
    assert device.take_fault() is None
    device.write_input(0, image())
    device.invoke()
    assert device.read_output(1).tolist() == [[1]]


def test_only_the_low_half_of_an_address_is_that_of_the_stack(device: Device) -> None:
    device.write_input(0, image(LOW_HALF))
    with pytest.raises(DeviceRestarted) as caught:
        device.invoke()
    assert caught.value.fault is not None
    assert caught.value.fault.reason == Reason.FAULT


def test_reset_starts_a_new_boot(device: Device, logs: list[LogLine]) -> None:
    before = device.identity.boot_nonce
    device.invoke()
    device.reset()
    after = device.identify().boot_nonce
    assert after != before and device.take_fault() is None
    assert (logs[-1].text, logs[-1].level) == ("boot", "info")
    assert logs[-1].boot_nonce not in (before, after)  # nobody had met it yet


def test_a_run_longer_than_the_retry_time_runs_once(hil_program: Path) -> None:
    hasty = Timing(retry_seconds=0.3, bytes_per_second=1e6)
    with (
        NativeProcess(hil_program) as process,
        Device(open_port(process.port or ""), timing=hasty) as device,
    ):
        device.write_input(0, image(SLOW))
        result = device.invoke(deadline_seconds=10)
        assert result.ticks > 1e9 and device.repeated_requests >= 2
        assert device.read_output(1).tolist() == [[1]]


def test_a_run_past_its_deadline_is_an_error(hil_program: Path) -> None:
    with (
        NativeProcess(hil_program) as process,
        Device(open_port(process.port or ""), timing=PATIENT) as device,
    ):
        device.write_input(0, image(SLOW))
        with pytest.raises(LinkFailed, match="no reply to INVOKE"):
            device.invoke(deadline_seconds=0.3, watchdog_seconds=0)


@pytest.mark.parametrize(
    "values", [np.zeros((1, 8), np.uint8), np.zeros((8,), np.int8), np.zeros((1, 9), np.int8)]
)
def test_values_that_do_not_fit_are_refused(
    device: Device, values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
) -> None:
    with pytest.raises(BadInput, match="input 0, image"):
        device.write_input(0, values)


def test_tensors_that_are_not_there_are_refused(device: Device) -> None:
    with pytest.raises(BadInput, match="no such input"):
        device.write_input(2, image())
    with pytest.raises(BadInput, match="no such output"):
        device.read_output(-1)


@pytest.mark.parametrize("tcp", [False, True])
def test_the_process_ends_with_its_peer(hil_program: Path, tcp: bool) -> None:
    with NativeProcess(hil_program, tcp=tcp) as process:
        Device(open_port(process.port or ""), timing=PATIENT).close()
        deadline = time.monotonic() + 3
        while process.alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not process.alive()


def test_a_device_that_ends_is_an_error(hil_program: Path) -> None:
    with (
        NativeProcess(hil_program) as process,
        Device(open_port(process.port or ""), timing=PATIENT) as device,
    ):
        process.stop()
        with pytest.raises(LinkFailed, match="broke"):
            device.invoke()


def test_the_process_ends_with_its_parent(hil_program: Path, tmp_path: Path) -> None:
    """Even one that was never spoken to."""
    said = tmp_path / "said"
    script = f"{hil_program} >{said} 2>&1 & while [ ! -s {said} ]; do sleep 0.05; done; echo $!"
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True, timeout=10)
    process = Path("/proc") / done.stdout.decode().strip() / "stat"
    deadline = time.monotonic() + 5
    while runs(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not runs(process)


def runs(stat: Path) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
