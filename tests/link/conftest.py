"""Fixtures of the link's tests: the compiled C side, in memory and as a native process."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.flash.native import NativeProcess
from exporter.link import Device, LogLine, Timing, open_port
from tests.link.build import HIL, LIKE_HOST, SANITIZERS, STUB, compile_c
from tests.link.c_frames import CFrames
from tests.link.devices import StubTransport

PATIENT = Timing(handshake_seconds=10.0, transfer_seconds=10.0)


@pytest.fixture(scope="session")
def stub_library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The device as a library: link.c over a platform in memory, P being 64."""
    output = tmp_path_factory.mktemp("stub") / "stub.so"
    flags = ("-shared", "-fPIC", "-DNANO_LINK_PAYLOAD_BYTES=64")
    return ctypes.CDLL(str(compile_c(output, STUB, *flags)))


@pytest.fixture(scope="session")
def host_library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The device as a library, with payload and window of the board `host`, and a large input."""
    output = tmp_path_factory.mktemp("stub") / "host.so"
    return ctypes.CDLL(str(compile_c(output, STUB, "-shared", "-fPIC", *LIKE_HOST)))


@pytest.fixture
def stub(stub_library: ctypes.CDLL) -> StubTransport:
    """The freshly booted device in memory, with the nonce of PROTOCOL.md."""
    return StubTransport(stub_library)


@pytest.fixture(scope="session")
def hil_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The application `hil` with the fake model, as a native process."""
    return compile_c(tmp_path_factory.mktemp("hil") / "hil", HIL)


@pytest.fixture(scope="session")
def sanitized_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same under the address and undefined-behaviour sanitizers."""
    return compile_c(tmp_path_factory.mktemp("sanitized") / "hil", HIL, *SANITIZERS)


@pytest.fixture
def logs() -> list[LogLine]:
    """The log lines that `device` has received."""
    return []


@pytest.fixture(params=["pty", "tcp"])
def device(
    request: pytest.FixtureRequest, hil_program: Path, logs: list[LogLine]
) -> Iterator[Device]:
    """A Device on a native process, over each kind of port."""
    with NativeProcess(hil_program, tcp=request.param == "tcp") as process:
        assert process.port is not None
        with Device(open_port(process.port), timing=PATIENT, on_log=logs.append) as device:
            yield device


@pytest.fixture
def c_frames(stub_library: ctypes.CDLL) -> CFrames:
    """The C encoder and decoder, fresh."""
    return CFrames(stub_library)
