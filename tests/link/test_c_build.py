"""The C side compiles clean, stays small, and withstands garbage under the sanitizers."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.flash.native import NativeProcess
from exporter.link import Device, Timing, frames, open_port
from exporter.link.messages import Command, Kind, Message
from tests.link.build import HIL, RUNTIME, STUB, TEMPLATES, WARNINGS, compile_c

HANDLERS = [Command.INVOKE, Command.PROFILE, Command.RESET]  # they run the model, which may crash


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("level", ["-O0", "-O3"])
def test_compiles_without_a_warning(tmp_path: Path, compiler: str, level: str) -> None:
    compile_c(tmp_path / "hil", HIL, level, compiler=compiler)
    compile_c(tmp_path / "stub.so", STUB, level, "-shared", "-fPIC", compiler=compiler)


@pytest.mark.parametrize("payload", [32, 40000])
def test_payload_sizes_that_cannot_work_are_refused(tmp_path: Path, payload: int) -> None:
    with pytest.raises(AssertionError, match="NANO_LINK_PAYLOAD_BYTES"):
        compile_c(tmp_path / "hil", HIL, f"-DNANO_LINK_PAYLOAD_BYTES={payload}")


@pytest.mark.toolchain
def test_static_memory_is_two_payloads_and_a_little(tmp_path: Path) -> None:
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not installed")
    objects = []
    for source in RUNTIME:
        objects.append(str(tmp_path / source.with_suffix(".o").name))
        flags = ["-std=c99", "-ffreestanding", "-mcpu=cortex-m0plus", "-mthumb", "-Os", *WARNINGS]
        include = f"-I{TEMPLATES / 'runtime'}"
        argv = ["arm-none-eabi-gcc", *flags, include, "-c", str(source), "-o", objects[-1]]
        subprocess.run(argv, check=True, timeout=60)
    size = ["arm-none-eabi-size", "-t", *objects]
    totals = subprocess.run(size, check=True, capture_output=True, text=True, timeout=60)
    text, data, bss = map(int, totals.stdout.splitlines()[-1].split()[:3])
    assert data == 0 and bss <= 2 * 256 + 96
    assert text <= 3600


@pytest.fixture(scope="module")
def fuzzed(sanitized_program: Path) -> Iterator[tuple[NativeProcess, Device]]:
    """The application under the sanitizers, which end it when they find something."""
    with (
        NativeProcess(sanitized_program, tcp=True) as process,
        Device(open_port(process.port or ""), timing=Timing(handshake_seconds=10)) as device,
    ):
        yield process, device


def request(command: int, payload: bytes) -> bytes:
    """A body with a good header; sequence and nonce are filled in later."""
    return Message(Kind.REQUEST, command, 0, 0, 0, payload).encode()


def any_requests() -> st.SearchStrategy[bytes]:
    """Commands with any payload."""
    commands = [command for command in Command if command not in HANDLERS]
    return st.builds(request, st.sampled_from([*commands, 0x7F]), st.binary(max_size=300))


def transfers() -> st.SearchStrategy[bytes]:
    """Reads and writes near the bounds of what the fake model has."""
    tensors = st.integers(0, 4)
    offsets = st.sampled_from([0, 8, 2744, 3000, 3001, 0xFFFFFFFF])
    counts = st.sampled_from([0, 256, 257, 300, 3000, 0xFFFF])
    reads = st.builds(
        lambda *fields: request(Command.READ, struct.pack("<HIH", *fields)),
        tensors,
        offsets,
        counts,
    )
    writes = st.builds(
        lambda tensor, offset, data: request(
            Command.WRITE, struct.pack("<HI", tensor, offset) + data
        ),
        tensors,
        offsets,
        st.binary(max_size=260),
    )
    return reads | writes


BODIES = st.binary(max_size=400) | any_requests() | transfers()


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(bodies=st.lists(BODIES, max_size=6), raw=st.binary())
def test_garbage_and_odd_requests_do_no_harm(
    fuzzed: tuple[NativeProcess, Device], bodies: list[bytes], raw: bytes
) -> None:
    process, device = fuzzed
    session = device._session
    for place, body in enumerate(bodies, 1):
        accepted = struct.pack("<HI", session._sequence + place & 0xFFFF, session.boot_nonce)
        session.transport.write(frames.encode(body[:4] + accepted + body[10:]))
    session.transport.write(raw)
    session.handshake()
    assert device.identify().model_name == "fake", process.log_tail()
    assert device.memory().guards_intact


def test_mutated_frames_do_no_harm(fuzzed: tuple[NativeProcess, Device]) -> None:
    process, device = fuzzed
    session = device._session
    rng = random.Random(7)
    good = frames.encode(Message(Kind.REQUEST, Command.READ, 0, 5, 1, bytes(8)).encode())
    for _ in range(2000):
        frame = bytearray(good * rng.randrange(1, 4))
        for _ in range(rng.randrange(4)):
            frame[rng.randrange(len(frame))] = rng.randrange(256)
        del frame[rng.randrange(len(frame)) :]
        session.transport.write(bytes(frame))
    session.handshake()
    assert device.memory().bad_frames > 100, process.log_tail()


def test_the_whole_application_under_the_sanitizers(sanitized_program: Path) -> None:
    with NativeProcess(sanitized_program) as process:
        with Device(open_port(process.port or "")) as device:
            device.invoke()
            device.profile()
            device.reset()
            device.invoke()
            assert device.memory().stack_bytes == 0  # not measured under a sanitizer
            assert device.take_fault() is None
        assert "ERROR" not in process.log_tail()
