"""runtime/memory.c against Python's bytes, with every alignment, compiled for this computer."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.process import find_tool
from exporter.render.environment import template_folder
from tests.platform.probe import need_tool

SOURCE = template_folder() / "runtime" / "memory.c"
NAMES = ("memcpy", "memmove", "memset", "memcmp")
FLAGS = ("-O2", "-fPIC", "-shared", "-fno-builtin", "-fno-tree-loop-distribute-patterns", "-Wall")


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The functions, as nano_memcpy and so on, with sanitizers' traps."""
    need_tool("gcc")
    library = tmp_path_factory.mktemp("memory") / "memory.so"
    renamed = [f"-D{name}=nano_{name}" for name in NAMES]
    traps = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
    subprocess.run(
        [find_tool("gcc"), *FLAGS, *traps, *renamed, "-o", str(library), str(SOURCE)], check=True
    )
    loaded = ctypes.CDLL(str(library))
    for name in NAMES:
        function = getattr(loaded, f"nano_{name}")
        function.restype = ctypes.c_int if name == "memcmp" else ctypes.c_void_p
    return loaded


SIZES = st.integers(0, 70)
OFFSETS = st.integers(0, 9)
BUFFER = bytes(range(200))


def _buffer(content: bytes = BUFFER) -> tuple[ctypes.Array[ctypes.c_char], int]:
    buffer = ctypes.create_string_buffer(content, len(content))
    return buffer, ctypes.addressof(buffer)


@settings(max_examples=300, deadline=None)
@given(to=OFFSETS, start=OFFSETS, size=SIZES)
def test_memcpy(memory: ctypes.CDLL, to: int, start: int, size: int) -> None:
    buffer, address = _buffer()
    start += 100
    result = memory.nano_memcpy(
        ctypes.c_void_p(address + to), ctypes.c_void_p(address + start), ctypes.c_size_t(size)
    )
    assert result == address + to
    assert buffer.raw == BUFFER[:to] + BUFFER[start : start + size] + BUFFER[to + size :]


@settings(max_examples=500, deadline=None)
@given(to=st.integers(0, 100), start=st.integers(0, 100), size=SIZES)
def test_memmove(memory: ctypes.CDLL, to: int, start: int, size: int) -> None:
    buffer, address = _buffer()
    result = memory.nano_memmove(
        ctypes.c_void_p(address + to), ctypes.c_void_p(address + start), ctypes.c_size_t(size)
    )
    assert result == address + to
    assert buffer.raw == BUFFER[:to] + BUFFER[start : start + size] + BUFFER[to + size :]


@settings(max_examples=300, deadline=None)
@given(to=OFFSETS, value=st.integers(-128, 255), size=SIZES)
def test_memset(memory: ctypes.CDLL, to: int, value: int, size: int) -> None:
    buffer, address = _buffer()
    result = memory.nano_memset(ctypes.c_void_p(address + to), value, ctypes.c_size_t(size))
    assert result == address + to
    assert buffer.raw == BUFFER[:to] + bytes([value % 256]) * size + BUFFER[to + size :]


@settings(max_examples=300, deadline=None)
@given(left=st.binary(max_size=20), right=st.binary(max_size=20))
def test_memcmp(memory: ctypes.CDLL, left: bytes, right: bytes) -> None:
    size = min(len(left), len(right))
    a, b = left[:size], right[:size]
    result = memory.nano_memcmp(a, b, ctypes.c_size_t(size))
    assert (result > 0) - (result < 0) == (a > b) - (a < b)


def test_no_libc_header_is_needed() -> None:
    text = Path(SOURCE).read_text(encoding="utf-8")
    assert "#include <string.h>" not in text
