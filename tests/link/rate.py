"""The rate of the link in real time: a native process behind a shim that limits and delays bytes.

    python -m tests.link.rate
    python -m tests.link.rate --board mps2-an386     # an emulator has no line rate: KB/s
    python -m tests.link.rate --simulated            # line.py: exact, whatever the computer does

In real time the computer's load counts, too.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from exporter.board import load_board
from exporter.errors import LinkFailed
from exporter.flash import Emulator
from exporter.flash.native import NativeProcess
from exporter.link import Device, SocketTransport, Transport, open_port
from tests.link.build import HIL, LARGE_BYTES, LIKE_HOST, STUB, compile_c
from tests.link.line import BITS_PER_BYTE, PACKET_BYTES, SimulatedLine
from tests.link.test_emulated import build_fake

REPETITIONS = 30
SIMULATED = ((4096, 16384), (1024, 2048), (256, 512))
USB_FRAME_SECONDS = 0.001


class DelayedBytes:
    """One direction: packets come out at the baud rate, `latency_seconds` late, once per frame."""

    def __init__(self, baud: int, latency_seconds: float) -> None:
        self._byte_seconds = BITS_PER_BYTE / baud
        self._latency = latency_seconds
        self._free = 0.0
        self._packets: deque[tuple[float, bytes]] = deque()  # when due, what
        self._there = threading.Condition()

    def put(self, data: bytes) -> None:
        """Send `data`, which takes its time."""
        with self._there:
            for start in range(0, len(data), PACKET_BYTES):
                packet = data[start : start + PACKET_BYTES]
                self._free = max(self._free, time.monotonic()) + len(packet) * self._byte_seconds
                self._packets.append((self._free + self._latency, packet))
            self._there.notify()

    def get(self, timeout_seconds: float) -> bytes:
        """The packets of the next USB frame, when they are due; b"" where none was sent in time."""
        with self._there:
            if not self._there.wait_for(lambda: bool(self._packets), timeout_seconds):
                return b""
            due = self._packets[0][0] + USB_FRAME_SECONDS
        time.sleep(max(0.0, due - time.monotonic()))
        data = b""
        with self._there:
            while self._packets and self._packets[0][0] <= time.monotonic():
                data += self._packets.popleft()[1]
        return data


class LimitedLine(Transport):
    """`inner` behind a line of `baud` with USB of a latency, in real time."""

    def __init__(self, inner: Transport, baud: int, latency_seconds: float) -> None:
        self.name = f"{inner.name} at {baud} baud"
        self._inner = inner
        self._down = DelayedBytes(baud, latency_seconds)
        self._up = DelayedBytes(baud, latency_seconds)
        self._left = b""
        self._open = True
        self._threads = [threading.Thread(target=f) for f in (self._pump_down, self._pump_up)]
        for thread in self._threads:
            thread.start()

    def write(self, data: bytes) -> None:
        """See Transport."""
        self._down.put(data)

    def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """See Transport."""
        data = self._left or self._up.get(timeout_seconds)
        self._left = data[max_bytes:]
        return data[:max_bytes]

    def close(self) -> None:
        """See Transport."""
        self._open = False
        for thread in self._threads:
            thread.join()
        self._inner.close()

    def _pump_down(self) -> None:
        while self._open:
            data = self._down.get(0.05)
            if data:
                self._inner.write(data)

    def _pump_up(self) -> None:
        while self._open:
            try:
                data = self._inner.read(4096, 0.05)
            except LinkFailed:
                return
            self._up.put(data)


def measure(program: Path, baud: int, latency_seconds: float) -> tuple[float, float]:
    """The shares of the native process."""
    with NativeProcess(program, tcp=True) as process:
        assert process.port is not None
        line = LimitedLine(open_port(process.port), baud, latency_seconds)
        with Device(line) as device:
            return shares(device, baud, time.monotonic)


def shares(device: Device, baud: int, now: Callable[[], float]) -> tuple[float, float]:
    """Useful bytes of a write and of a read, as shares of the line rate."""
    values = np.random.default_rng(1).integers(-128, 128, (1, LARGE_BYTES), np.int8)
    start = now()
    device.write_input(1, values)
    written = now()
    assert np.array_equal(device.read_input(1), values)
    whole = LARGE_BYTES * BITS_PER_BYTE / baud
    return whole / (written - start), whole / (now() - written)


def measure_emulator(name: str, folder: Path) -> tuple[float, float]:
    """KB/s of writes and of reads."""
    firmware = build_fake(name, folder / "project")
    values = np.random.default_rng(1).integers(-128, 128, (1, 3000), np.int8)
    with (
        Emulator(load_board(name), firmware.elf) as emulator,
        Device(SocketTransport(emulator.connection)) as device,
    ):
        start = time.monotonic()
        for _ in range(REPETITIONS):
            device.write_input(1, values)
        written = time.monotonic()
        for _ in range(REPETITIONS):
            assert np.array_equal(device.read_input(1), values)
        read = time.monotonic()
    kilobytes = REPETITIONS * values.nbytes / 1000
    return kilobytes / (written - start), kilobytes / (read - written)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description="Measure the rate of the link in real time.")
    parser.add_argument("--board", help="an emulated board, instead of the native process")
    parser.add_argument("--simulated", action="store_true", help="on a clock of its own")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        if chosen.simulated:
            print_simulated(Path(folder))
        elif chosen.board is None:
            print_shares(Path(folder))
        else:
            write, read = measure_emulator(chosen.board, Path(folder))
            print(f"{chosen.board}: {write:.0f} KB/s written, {read:.0f} KB/s read")
    return 0


def print_simulated(folder: Path) -> None:
    """Boards with large and small payloads and windows, at each baud rate and latency."""
    print("| payload, window | baud | USB latency | write | read |\n|---|--:|--:|--:|--:|")
    for payload, window in SIMULATED:
        sizes = (f"-DNANO_LINK_PAYLOAD_BYTES={payload}", f"-DSTUB_WINDOW_BYTES={window}")
        large = f"-DFAKE_MODEL_LARGE_BYTES={LARGE_BYTES}"
        output = folder / f"stub{payload}.so"
        library = ctypes.CDLL(str(compile_c(output, STUB, "-shared", "-fPIC", *sizes, large)))
        for baud, latency_ms in itertools.product((115_200, 921_600), (1, 16)):
            line = SimulatedLine(
                library, baud=baud, latency_seconds=latency_ms / 1000, ring_bytes=window
            )
            write, read = shares(Device(line), baud, line.now)
            name = f"{payload}, {window}"
            print(f"| {name} | {baud:,} | {latency_ms} ms | {write:.1%} | {read:.1%} |", flush=True)


def print_shares(folder: Path) -> None:
    """The native process at each baud rate and latency."""
    print("| baud | USB latency | write | read |\n|--:|--:|--:|--:|")
    program = compile_c(folder / "hil", HIL, *LIKE_HOST)
    for baud in (115_200, 921_600):
        for latency_ms in (1, 16):
            write, read = measure(program, baud, latency_ms / 1000)
            print(f"| {baud:,} | {latency_ms} ms | {write:.1%} | {read:.1%} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
