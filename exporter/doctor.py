"""What this machine has, what is missing, and how to get it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import asdict, dataclass

from exporter import process
from exporter.board import all_boards
from exporter.build.firmware import cache_folder
from exporter.console import Output
from exporter.errors import NanoexportError

PYTHON_PACKAGES = (
    ("tflite_runtime", "tflite-runtime", "reference, dialect tflite", "pip install tflite-runtime"),
    ("ai_edge_litert", "ai-edge-litert", "reference, dialect litert", "pip install ai-edge-litert"),
    ("tensorflow", "tensorflow", "convert", "pip install 'nanoexport[convert]'"),
    ("ziglang", "ziglang", "toolchain clang", "pip install 'nanoexport[clang]'"),
    ("labgrid", "labgrid", "board farms", "pip install 'nanoexport[labgrid]'"),
)  # fmt: skip
VERSION_SECONDS = 60.0


@dataclass(frozen=True)
class Finding:
    """One thing looked for. `fix` says how to get it where it is missing."""

    name: str
    purpose: str
    found: bool
    detail: str
    fix: str


def examine() -> list[Finding]:
    """Programs of all boards, Python packages, and the cache."""
    findings = [_program(name, purpose) for name, purpose in sorted(_programs().items())]
    findings += [_package(*package) for package in PYTHON_PACKAGES]
    return [*findings, _cache()]


def _programs() -> dict[str, str]:
    """Every program that some board needs, and what for."""
    wanted = {"cmake": "build", "ninja": "build"}
    for board in all_boards():
        for toolchain, compiler in board.compilers.items():
            wanted.setdefault(compiler.program, f"toolchain {toolchain}, {board.core}")
        if board.emulator is not None:
            wanted.setdefault(board.emulator.program, f"emulator of {board.name} and its kin")
    return wanted


def _program(name: str, purpose: str) -> Finding:
    fix = f"install the {process.PACKAGES[name]}" if name in process.PACKAGES else f"install {name}"
    argument = "version" if name == "python-zig" else "--version"
    try:
        completed = process.run((name, argument), timeout_seconds=VERSION_SECONDS)
    except NanoexportError as error:
        return Finding(name, purpose, False, error.what, fix)
    lines = completed.output.strip().splitlines()
    return Finding(name, purpose, True, lines[0] if lines else "", fix)


def _package(module: str, distribution: str, purpose: str, fix: str) -> Finding:
    if importlib.util.find_spec(module) is None:
        return Finding(distribution, purpose, False, "not installed", fix)
    return Finding(distribution, purpose, True, importlib.metadata.version(distribution), fix)


def _cache() -> Finding:
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fix = "set NANOEXPORT_CACHE to a folder you may write to"
        return Finding("cache", "built firmware", False, f"{folder}: {error.strerror}", fix)
    return Finding("cache", "built firmware", True, str(folder), "")


def show(output: Output, findings: list[Finding]) -> None:
    """Print the findings; what is missing comes with its fix."""
    rows = [
        ("ok" if f.found else "missing", f.name, f.purpose, f.detail if f.found else f.fix)
        for f in findings
    ]
    output.table("", ("", "name", "for", "version, or how to get it"), rows)
    output.document({"findings": [asdict(finding) for finding in findings]})
