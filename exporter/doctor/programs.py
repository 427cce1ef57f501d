"""Compilers, emulators, flash tools and Python packages: what the boards need."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterator

from exporter import process
from exporter.board import Board, all_boards
from exporter.doctor.finding import Finding
from exporter.errors import MissingTool, NanoexportError
from exporter.flash import rp2040js

PYTHON_PACKAGES = (
    ("tflite_runtime", "tflite-runtime", "reference, dialect tflite", "pip install tflite-runtime"),
    ("ai_edge_litert", "ai-edge-litert", "reference, dialect litert", "pip install ai-edge-litert"),
    ("tensorflow", "tensorflow", "convert", "pip install 'nanoexport[convert]'"),
    ("ziglang", "ziglang", "toolchain clang", "pip install 'nanoexport[clang]'"),
    ("stm32loader", "stm32loader", "flasher stm32_rom", "pip install 'nanoexport[flash]'"),
    ("labgrid", "labgrid", "board farms", "pip install 'nanoexport[labgrid]'"),
)  # fmt: skip

FLASH_TOOLS = {
    "esp_rom": ("esptool", "pip install 'nanoexport[flash]'"),
    "gdb_remote": ("gdb-multiarch", "install the Debian package gdb-multiarch"),
    "pyocd": ("pyocd", "pip install pyocd"),
    "openocd": ("openocd", "install the Debian package openocd"),
    "nrf_dfu": ("adafruit-nrfutil", "pip install 'nanoexport[flash]'"),
    "bossa": ("bossac", "install the bossac of Arduino, 1.9.1-arduino or later, not Debian's"),
}
"""The program behind each flasher that runs one, and how to get it. stm32loader is imported."""

VERSION_SECONDS = 60.0


def examine_programs() -> Iterator[Finding]:
    """Every program that some board needs, then the Python packages."""
    boards = all_boards()
    wanted = sorted(_build_programs(boards).items())
    yield from (_program(name, purpose, _package_fix(name)) for name, purpose in wanted)
    yield from (_program(*tool) for tool in _flash_programs(boards))
    if any(settings.name == "rp2040js" for board in boards for settings in board.flashers):
        yield _rp2040js()
    yield from (_package(*package) for package in PYTHON_PACKAGES)


def _build_programs(boards: tuple[Board, ...]) -> dict[str, str]:
    """Name and purpose of compilers and emulators."""
    wanted = {"cmake": "build", "ninja": "build"}
    for board in boards:
        for toolchain, compiler in board.compilers.items():
            wanted.setdefault(compiler.program, f"toolchain {toolchain}, {board.core}")
        if board.emulator is not None:
            wanted.setdefault(board.emulator.program, f"emulator of {board.name} and its kin")
    return wanted


def _flash_programs(boards: tuple[Board, ...]) -> Iterator[tuple[str, str, str]]:
    """Name, purpose and fix of the tool of each flasher that a board lists."""
    listed = {
        settings.name: board.name for board in reversed(boards) for settings in board.flashers
    }
    for flasher, (program, fix) in FLASH_TOOLS.items():
        if flasher in listed:
            yield program, f"flasher {flasher}, as of {listed[flasher]}", fix


def _package_fix(name: str) -> str:
    return f"install the {process.PACKAGES.get(name, name)}"


def _program(name: str, purpose: str, fix: str) -> Finding:
    """Where a program does not tell its version, its path."""
    argument = "version" if name == "python-zig" else "--version"
    try:
        path = process.find_tool(name)
        completed = process.run((name, argument), timeout_seconds=VERSION_SECONDS, check=False)
    except NanoexportError as error:
        return Finding(name, purpose, False, error.what, fix)
    lines = completed.output.strip().splitlines()
    told = completed.returncode == 0 and lines
    return Finding(name, purpose, True, lines[0] if told else path, fix)


def _rp2040js() -> Finding:
    purpose = "emulator of raspberry-pi-pico"
    try:
        folder = rp2040js.find_modules()
    except MissingTool as error:
        return Finding(rp2040js.PACKAGE, purpose, False, error.what, error.next_step or "")
    return Finding(rp2040js.PACKAGE, purpose, True, str(folder / rp2040js.PACKAGE), "")


def _package(module: str, distribution: str, purpose: str, fix: str) -> Finding:
    if importlib.util.find_spec(module) is None:
        return Finding(distribution, purpose, False, "not installed", fix)
    return Finding(distribution, purpose, True, importlib.metadata.version(distribution), fix)
