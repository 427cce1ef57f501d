"""Whatever the link does, a result is exact or an error is typed, and the model runs once."""

from __future__ import annotations

import ctypes
import itertools
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.errors import MissingTool
from exporter.flash.native import NativeProcess
from exporter.link import Device, DeviceRestarted, Timing, Transport, frames, open_port
from exporter.link.failures import NoReply
from exporter.link.messages import Command, Kind, Message
from exporter.link.session import Session
from exporter.link.transport import ConnectionBroken
from tests.link.cable import Cable
from tests.link.conftest import PATIENT
from tests.link.devices import BOOT_NONCE, SilentTransport, StubTransport
from tests.link.faulty import Faults, FaultyTransport

HASTY = Timing(
    bytes_per_second=1e6,
    retry_seconds=0.002,
    longest_retry_seconds=0.01,
    transfer_seconds=20.0,
    handshake_seconds=20.0,
    hello_seconds=0.002,
    reopen_seconds=0.001,
)

RATES = st.sampled_from([0.0, 1e-3, 3e-3, 1e-2])
FAULTS = st.builds(
    Faults,
    error_rate=RATES,
    repeats_per_write=st.sampled_from([0.0, 0.1]),
    stalls_per_read=st.sampled_from([0.0, 0.02]),
    stall_seconds=st.just(0.005),
    breaks_per_call=st.sampled_from([0.0, 0.02]),
    split=st.booleans(),
)


def infer(device: Device, image: np.ndarray[tuple[int, int], np.dtype[np.int8]]) -> int:
    """One inference, whose output must be right; how often the model has run since boot."""
    device.write_input(0, image)
    device.invoke()
    sums = image.reshape(4, 2).astype(np.int32).sum(1).astype(np.int8)
    assert np.array_equal(device.read_output(0)[0], sums)
    return int(device.read_output(1)[0, 0])


@settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(faults=FAULTS, seed=st.integers(0, 1 << 30))
def test_results_are_exact_and_each_run_is_told(
    stub_library: ctypes.CDLL, faults: Faults, seed: int
) -> None:
    stub = StubTransport(stub_library)
    line = FaultyTransport(stub, seed, replace(faults, breaks_per_call=0.0))
    rng = np.random.default_rng(seed)
    device = Device(line, timing=HASTY, reopen=line.mend)
    line.damage(faults)  # a port that breaks before a device was met is not opened again
    large = rng.integers(-128, 128, (1, 3000), np.int8)
    device.write_input(1, large)
    assert np.array_equal(device.read_input(1), large)
    for runs in range(1, 6):
        assert infer(device, rng.integers(-128, 100, (1, 8), np.int8)) == runs
    assert stub_library.fake_model_runs() == 5


@pytest.mark.parametrize("seed", range(6))
def test_a_reset_in_the_middle_is_told_and_never_taken_for_a_repetition(
    stub_library: ctypes.CDLL, seed: int
) -> None:
    stub = StubTransport(stub_library)
    line = FaultyTransport(stub, seed, Faults(error_rate=2e-3))
    device = Device(line, timing=HASTY)
    rng = random.Random(seed)
    nonces = itertools.count(BOOT_NONCE + 1)
    told = restarts = 0
    for _ in range(60):
        if rng.random() < 0.3:
            line.after_bytes(rng.randrange(1, 250), lambda: stub.boot(next(nonces)))
        try:
            image = np.array([[rng.randrange(-100, 100) for _ in range(8)]], np.int8)
            assert infer(device, image) == told + 1
            told += 1
        except DeviceRestarted:
            restarts += 1
            told = 0
            assert stub_library.fake_model_runs() == 0  # the new boot was asked for nothing yet
    assert restarts > 5
    assert device.link_counts.repeated_requests > 0


def test_what_was_lost_costs_no_pause(stub: StubTransport) -> None:
    """At 1e-3, with the pauses of a real link, nothing waits for a time-out of a second."""
    line = FaultyTransport(stub, 5, Faults(error_rate=1e-3, split=False))
    device = Device(line)
    values = np.zeros((1, 3000), np.int8)
    for _ in range(10):
        device.write_input(1, values)
        assert np.array_equal(device.read_input(1), values)
    counts = device.link_counts
    assert counts.repeated_requests > 10 * max(1, counts.time_outs)


# --- unplugged -----------------------------------------------------------------------------------


def test_a_broken_connection_goes_on_with_the_same_request(stub: StubTransport) -> None:
    line = FaultyTransport(stub, 1, Faults())
    absences = iter([MissingTool("not there"), ConnectionBroken("not there"), None])

    def reopen() -> Transport:
        absent = next(absences)
        if absent is not None:
            raise absent
        return line.mend()

    device = Device(line, timing=HASTY, reopen=reopen)
    line.after_bytes(5, partial(setattr, line, "broken", True))
    assert infer(device, np.ones((1, 8), np.int8)) == 1
    assert device.link_counts.reconnections == 1


def test_a_port_that_breaks_before_a_device_was_met_is_an_error(stub: StubTransport) -> None:
    line = FaultyTransport(stub, 1, Faults(breaks_per_call=1.0))
    with pytest.raises(ConnectionBroken):
        Device(line, timing=HASTY, reopen=line.mend)


def test_a_board_that_lost_its_supply_with_its_cable_has_restarted(stub: StubTransport) -> None:
    line = FaultyTransport(stub, 1, Faults())

    def reopen() -> Transport:
        stub.boot(77)
        return line.mend()

    device = Device(line, timing=HASTY, reopen=reopen)
    line.broken = True
    with pytest.raises(DeviceRestarted, match="during INVOKE"):
        device.invoke()
    device.invoke()
    assert device.read_output(1)[0, 0] == 1


def test_a_cable_that_stays_out_is_an_error_at_the_deadline(stub: StubTransport) -> None:
    line = FaultyTransport(stub, 1, Faults())

    def reopen() -> Transport:
        raise MissingTool("the port is not there")

    device = Device(line, timing=HASTY, reopen=reopen)
    device.poison()
    line.broken = True
    start = time.monotonic()
    with pytest.raises(ConnectionBroken) as caught:
        device.invoke(deadline_seconds=0.5)
    assert time.monotonic() - start >= 0.5
    assert "POISON" in caught.value.sent[-2] and caught.value.received


@pytest.fixture
def cable(hil_program: Path) -> Iterator[Cable]:
    """A cable to a native process."""
    with NativeProcess(hil_program, tcp=True) as process:
        assert process.port is not None
        cable = Cable(int(process.port.rpartition(":")[2]))
        yield cable
        cable.close()


def test_a_cable_pulled_in_mid_transfer(cable: Cable) -> None:
    reopen = partial(open_port, cable.port)
    values = np.random.default_rng(9).integers(-128, 128, (1, 3000), np.int8)
    with Device(reopen(), timing=PATIENT, reopen=reopen) as device:
        for runs, pull in enumerate((100, 1500, 3300, 4700), 1):
            cable.pull_after(pull)
            device.write_input(1, values)
            assert np.array_equal(device.read_input(1), values)
            assert infer(device, np.full((1, 8), runs, np.int8)) == runs
        assert device.link_counts.reconnections == cable.pulls == 4


# --- peers that do not play along ----------------------------------------------------------------


def test_errors_say_what_was_sent_what_came_and_what_the_device_logged(
    stub: StubTransport,
) -> None:
    line = FaultyTransport(stub, 1, Faults())
    device = Device(line, timing=HASTY)
    device.reset()  # the next boot says so in its log
    device.invoke()
    line.damage(Faults(error_rate=1.0))
    with pytest.raises(NoReply) as caught:
        device.invoke(deadline_seconds=0.1)
    assert caught.value.sent[-1].startswith("INVOKE, sequence 2, ")
    assert caught.value.log == ("info: boot",) and len(caught.value.received) > 20
    assert "INVOKE, sequence 2" in str(caught.value) and "info: boot" in str(caught.value)


NOTICE = frames.encode(Message(Kind.DAMAGED, 0, 0, 0, BOOT_NONCE).encode())


@pytest.mark.parametrize(
    "noise", [b"\x00\x07garbage", NOTICE, b"\xff" * 64], ids=["bad frames", "notices", "no end"]
)
def test_a_babbling_peer_cannot_make_the_host_babble(noise: bytes) -> None:
    class Babbling(SilentTransport):
        writes = 0

        def write(self, data: bytes) -> None:
            self.writes += 1

    line = Babbling(noise)
    session = Session(line, Timing(retry_seconds=0.1, bytes_per_second=1e9))
    start = time.monotonic()
    with pytest.raises(NoReply):
        session.request(Command.INVOKE, seconds=0.5)
    assert time.monotonic() - start < 5
    assert line.writes <= Timing().quick_repeats + 5


def test_a_stall_is_waited_for(stub: StubTransport) -> None:
    line = FaultyTransport(stub, 3, Faults(stalls_per_read=0.2, stall_seconds=0.02))
    device = Device(line, timing=HASTY)
    for runs in range(1, 6):
        assert infer(device, np.full((1, 8), runs, np.int8)) == runs
