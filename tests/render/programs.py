"""Programs to render, and the C compilers at hand."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from exporter.ops.base import Target
from exporter.plan.compile import compile_model
from exporter.plan.program import Program
from exporter.render.model import Origin, render_description, render_model
from tests.ops.harness import compile_graph
from tests.plan.random_graphs import random_graph

MODELS = Path(__file__).resolve().parents[2] / "../shared/models"
MODEL_NAMES = ("ad01_int8", "kws_ref_model", "pretrainedResnet_quant", "vww_96_int8")

COMPILE_SECONDS = 240.0

STRICT = (
    "-std=c99", "-pedantic", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wundef",
    "-Wstrict-prototypes", "-Werror",
)  # fmt: skip

# No C library: memcpy and memset are declared by the run time's own header.
RUNTIME = Path(__file__).resolve().parents[2] / "firmware_templates" / "runtime"
FREESTANDING = ("-ffreestanding", f"-I{RUNTIME / 'libc'}")

CROSS_COMPILERS: dict[str, tuple[str, ...]] = {
    "arm-none-eabi-gcc": ("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", *FREESTANDING),
    "riscv64-unknown-elf-gcc": (
        "riscv64-unknown-elf-gcc",
        "-march=rv32imac",
        "-mabi=ilp32",
        *FREESTANDING,
    ),
    "zig-cc": (sys.executable, "-m", "ziglang", "cc"),
}


def compiler(name: str) -> tuple[str, ...] | None:
    """The command line of a compiler, None where it is not installed."""
    command = CROSS_COMPILERS.get(name, (name,))
    if command[0] == sys.executable:
        probe = subprocess.run([*command[:3], "version"], capture_output=True, check=False)
        return command if probe.returncode == 0 else None
    return command if shutil.which(command[0]) else None


@cache
def small_program(seed: int = 0) -> Program:
    return compile_graph(random_graph(seed))[1]


@cache
def reference_program(name: str, optimize: str = "speed", registers: int = 13) -> Program:
    goal = Target(optimize="size" if optimize == "size" else "speed", registers=registers)
    return compile_model(MODELS / f"{name}.tflite", goal).program


def sources(program: Program, prefix: str = "model", guard_bytes: int = 32) -> dict[str, str]:
    """All C files of a model, description included, by name."""
    files = render_model(program, prefix=prefix, guard_bytes=guard_bytes)
    text = render_description(
        program, prefix=prefix, origin=Origin("host", "gcc 1", "cd" * 32, "ab" * 32)
    )
    flat = {Path(path).name: content for path, content in files.items()}
    return flat | {f"{prefix}_description.c": text}


def write(folder: Path, files: Mapping[str, str]) -> list[Path]:
    """The paths of the C files among `files`, written below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return sorted(folder / name for name in files if name.endswith(".c"))


def run(argv: Sequence[str | Path], folder: Path, stdin: bytes = b"") -> bytes:
    """The standard output of a program that succeeds and prints no error."""
    done = subprocess.run(
        argv, cwd=folder, input=stdin, capture_output=True, timeout=COMPILE_SECONDS, check=False
    )
    errors = done.stderr.decode(errors="replace")
    assert done.returncode == 0, f"{argv[0]} failed:\n{errors[:4000]}"
    assert not errors, f"{argv[0]} complains:\n{errors[:4000]}"
    return done.stdout


def object_flags(folder: Path) -> Iterator[str]:
    yield from ("-c", f"-I{folder}", f"-I{RUNTIME}")
