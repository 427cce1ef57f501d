"""What the line carries, what a small FIFO loses: on a simulated clock, exact on any computer."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from exporter.link import Device
from tests.link.build import LARGE_BYTES, STUB, compile_c
from tests.link.line import BITS_PER_BYTE, SimulatedLine

LEAST_SHARE = 0.85
WINDOW_BYTES = 512  # of stub_platform.c


def random_bytes(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.int8]]:
    """A tensor of the fake model's large input."""
    return np.random.default_rng(count).integers(-128, 128, (1, count), np.int8)


@pytest.mark.parametrize("latency_ms", [1, 16])
@pytest.mark.parametrize("baud", [115_200, 921_600])
def test_tensors_move_at_the_rate_of_the_line(
    host_library: ctypes.CDLL, baud: int, latency_ms: int
) -> None:
    line = SimulatedLine(
        host_library, baud=baud, latency_seconds=latency_ms / 1000, ring_bytes=16384
    )
    device = Device(line)
    values = random_bytes(LARGE_BYTES)
    start = line.now()
    device.write_input(1, values)
    written = line.now()
    assert np.array_equal(device.read_input(1), values)
    read = line.now()
    line_rate = baud / BITS_PER_BYTE
    assert LARGE_BYTES / (written - start) >= LEAST_SHARE * line_rate
    assert LARGE_BYTES / (read - written) >= LEAST_SHARE * line_rate
    assert LARGE_BYTES / (written - start) < line_rate
    assert device.link_counts.repeated_requests == line.overruns == 0


def slow_device(library: ctypes.CDLL, ring_bytes: int) -> SimulatedLine:
    """A device that needs 20 ms for each request, in which 1800 bytes arrive."""
    return SimulatedLine(
        library, baud=921_600, latency_seconds=0.001, ring_bytes=ring_bytes, busy_seconds=0.02
    )


def test_nothing_overruns_a_device_that_is_busy(stub_library: ctypes.CDLL) -> None:
    line = slow_device(stub_library, WINDOW_BYTES)
    device = Device(line)
    values = random_bytes(3000)
    device.write_input(1, values)
    assert np.array_equal(device.read_input(1), values)
    assert line.overruns == 0 and device.link_counts.repeated_requests == 0
    assert line.fullest_ring > WINDOW_BYTES / 2  # several requests did wait there


@pytest.mark.parametrize("stated", [4 * WINDOW_BYTES, 1 << 20])
def test_a_window_that_is_too_large_is_seen_to_lose_bytes(
    stub_library: ctypes.CDLL, stated: int
) -> None:
    line = slow_device(stub_library, WINDOW_BYTES)
    device = Device(line)
    device._session.window_bytes = stated
    values = random_bytes(3000)
    device.write_input(1, values)
    assert line.overruns > 0 and device.link_counts.repeated_requests > 0
    assert np.array_equal(device.read_input(1), values)


@pytest.mark.parametrize("window", [48, 96])
def test_the_smallest_rings(tmp_path: Path, window: int) -> None:
    flags = ("-DNANO_LINK_PAYLOAD_BYTES=256", f"-DSTUB_WINDOW_BYTES={window}")
    library = compile_c(tmp_path / "small.so", STUB, "-shared", "-fPIC", *flags)
    line = slow_device(ctypes.CDLL(str(library)), window)
    device = Device(line)
    values = random_bytes(3000)
    device.write_input(1, values)
    assert np.array_equal(device.read_input(1), values)
    assert line.overruns == 0 and device.link_counts.repeated_requests == 0
