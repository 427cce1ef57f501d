"""The loader's protocol compiled for this computer: as a library, and under the sanitizers."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

from exporter.board import LoaderLayout, load_board
from exporter.render.boot_loader import render_boot_loader
from tests.compilers import FIRST_LINK_SECONDS, host_compiler
from tests.link.build import SANITIZERS, WARNINGS
from tests.platform.probe import write_project

BOARD = load_board("microbit-v1")
LAYOUT = LoaderLayout.of(BOARD)
FLASH_BYTES = LAYOUT.flash_end - LAYOUT.flash_origin
ACK, NACK = b"\x79", b"\x1f"

_HERE = Path(__file__).parent
_SOURCES = ("application.c", "crc32.c", "protocol.c")


def compile_host(folder: Path, *flags: str, output: str) -> Path:
    """`host.c` with the loader of micro:bit V1, warnings being errors."""
    loader = write_project(folder, dict(render_boot_loader(BOARD, "gcc").files)) / "loader"
    made = folder / output
    argv = [*host_compiler("gcc"), "-std=c99", "-O1", *WARNINGS, *flags, f"-I{loader}"]
    argv += ["-o", str(made), str(_HERE / "host.c"), *(str(loader / name) for name in _SOURCES)]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=FIRST_LINK_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return made


def sanitized(folder: Path) -> Path:
    """The program, under the address and undefined-behaviour sanitizers."""
    return compile_host(folder, *SANITIZERS, output="host")


class HostLoader:
    """The library: a loader in front of erased flash."""

    def __init__(self, folder: Path) -> None:
        self._library = ctypes.CDLL(str(compile_host(folder, "-shared", "-fPIC", output="host.so")))
        self._library.host_serve.restype = ctypes.c_bool
        self._library.host_is_called.restype = ctypes.c_bool
        self._library.host_is_valid.restype = ctypes.c_bool
        self._library.host_output.restype = ctypes.c_size_t
        self._library.host_last_write.restype = ctypes.c_uint32
        self._library.host_flash.restype = ctypes.POINTER(ctypes.c_uint8 * FLASH_BYTES)
        self._buffer = ctypes.create_string_buffer(1 << 20)
        self.started = False
        self.flash = b"\xff" * FLASH_BYTES

    @property
    def flash(self) -> bytes:
        """All of it, from the first address of the loader."""
        return bytes(self._library.host_flash().contents)

    @flash.setter
    def flash(self, data: bytes) -> None:
        ctypes.memmove(self._library.host_flash(), data, FLASH_BYTES)

    @property
    def valid(self) -> bool:
        """Whether it would start the application."""
        return bool(self._library.host_is_valid())

    @property
    def last_write(self) -> int:
        """The address of the last word that was written."""
        return int(self._library.host_last_write())

    def serve(self, stream: bytes) -> bytes:
        """What it answers to bytes with silence behind them; `started`: to run the application."""
        self.started = self._library.host_serve(stream, ctypes.c_size_t(len(stream)))
        return self._sent()

    def called(self, stream: bytes) -> tuple[bool, bytes]:
        """Whether it takes these bytes after a reset for a call, and what it answers."""
        called = self._library.host_is_called(stream, ctypes.c_size_t(len(stream)))
        return called, self._sent()

    def _sent(self) -> bytes:
        size = self._library.host_output(self._buffer, ctypes.c_size_t(len(self._buffer)))
        return self._buffer.raw[:size]


def command(code: int) -> bytes:
    """A command byte and its complement."""
    return bytes([code, code ^ 0xFF])


def checked(data: bytes, start: int = 0) -> bytes:
    """Bytes and their exclusive-or."""
    checksum = start
    for byte in data:
        checksum ^= byte
    return data + bytes([checksum])


def address(value: int) -> bytes:
    """An address as the protocol has it."""
    return checked(value.to_bytes(4, "big"))


def write(at: int, data: bytes) -> bytes:
    """Write Memory, whole."""
    return command(0x31) + address(at) + checked(bytes([len(data) - 1]) + data)


def read(at: int, size: int) -> bytes:
    """Read Memory, whole."""
    return command(0x11) + address(at) + checked(bytes([size - 1]), 0xFF)


def go(at: int) -> bytes:
    """Go, whole."""
    return command(0x21) + address(at)


def erase(*pages: int) -> bytes:
    """Extended Erase of pages by number; of all, where there are none."""
    if not pages:
        return command(0x44) + b"\xff\xff\x00"
    numbers = b"".join(page.to_bytes(2, "big") for page in pages)
    return command(0x44) + checked((len(pages) - 1).to_bytes(2, "big") + numbers)
