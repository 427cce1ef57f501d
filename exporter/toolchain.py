"""Toolchains: which compiler, with which flags, for which board.

`gcc` is the cross compiler of the distribution; `clang` is the one in the Python package ziglang,
which brings its own linker and run-time library for every core.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

from exporter import process
from exporter.board import Board, Compiler
from exporter.errors import BadInput

ToolchainName = Literal["gcc", "clang"]
Optimize = Literal["speed", "size"]

DEFAULT_TOOLCHAIN: ToolchainName = "gcc"
DEFAULT_OPTIMIZE: Optimize = "speed"

OPTIMIZE_FLAGS: dict[Optimize, tuple[str, ...]] = {"speed": ("-O2",), "size": ("-Os",)}

# -ffp-contract=off: a fused multiply-add rounds once where the reference rounds twice.
# -fno-delete-null-pointer-checks: GCC 12 rewrites addresses relative to 0, takes them for null, and
# drops the code that uses them; and 0 is an address on these boards.
COMMON_FLAGS = (
    "-std=c99",
    "-g",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-common",
    "-ffp-contract=off",
    "-fno-delete-null-pointer-checks",
)
FREESTANDING_FLAGS = ("-ffreestanding", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables")
# Hosted compilers of some distributions add calls into the C library by default.
HOSTED_FLAGS = ("-fno-stack-protector",)
WARNING_FLAGS = ("-Wall", "-Wextra", "-Wconversion")

# memory.c must not be compiled into calls of itself.
MEMORY_FLAGS: dict[ToolchainName, tuple[str, ...]] = {
    "gcc": ("-fno-builtin", "-fno-tree-loop-distribute-patterns"),
    "clang": ("-fno-builtin",),
}

# clang's -nostdlib also leaves out its run-time library, the counterpart of libgcc. For a hosted
# target it links the C library unless told -nostdlib; 64 bit hosts need no run-time library.
BARE_LINK_FLAGS: dict[ToolchainName, tuple[str, ...]] = {
    "gcc": ("-nostdlib", "-static"),
    "clang": ("-nostartfiles", "-static"),
}
# Each compiler's way to say what its functions take of the stack: exporter.build.stack reads it.
STACK_FLAGS: dict[ToolchainName, tuple[str, ...]] = {
    "gcc": ("-fstack-usage",),
    "clang": ("-fstack-size-section",),
}
RUNTIME_LIBRARIES: dict[ToolchainName, tuple[str, ...]] = {"gcc": ("gcc",), "clang": ()}

_VERSION_SECONDS = 60.0


@dataclass(frozen=True)
class Toolchain:
    """Everything the project templates print about compilers."""

    name: ToolchainName
    optimize: Optimize
    compiler: Compiler
    compile_flags: tuple[str, ...]
    warning_flags: tuple[str, ...]
    memory_flags: tuple[str, ...]
    stack_flags: tuple[str, ...]
    strict_alignment_flags: tuple[str, ...]
    link_flags: tuple[str, ...]
    bare_link_flags: tuple[str, ...]
    runtime_libraries: tuple[str, ...]

    @property
    def prefix(self) -> str:
        """What precedes `gcc` in the name of the compiler, e.g. `arm-none-eabi-`."""
        return self.compiler.program.removesuffix("gcc")


def toolchain_for(board: Board, name: str, optimize: str) -> Toolchain:
    """The toolchain of that name for a board.

    Raises BadInput where `name` or `optimize` is unknown, or the board cannot be built with it.
    """
    if optimize not in OPTIMIZE_FLAGS:
        raise BadInput("unknown optimisation", value=optimize, allowed=get_args(Optimize))
    if name not in board.compilers:
        raise BadInput(
            f"the board {board.name} has no such toolchain", value=name, allowed=[*board.compilers]
        )
    wanted: ToolchainName = "clang" if name == "clang" else "gcc"
    goal: Optimize = "size" if optimize == "size" else "speed"
    hosting = FREESTANDING_FLAGS if board.freestanding else HOSTED_FLAGS
    return Toolchain(
        name=wanted,
        optimize=goal,
        compiler=board.compilers[wanted],
        compile_flags=COMMON_FLAGS + hosting + OPTIMIZE_FLAGS[goal],
        warning_flags=WARNING_FLAGS,
        memory_flags=MEMORY_FLAGS[wanted],
        stack_flags=STACK_FLAGS[wanted],
        strict_alignment_flags=_strict_alignment(wanted, board.compilers[wanted]),
        link_flags=BARE_LINK_FLAGS[wanted] if board.freestanding else (),
        bare_link_flags=BARE_LINK_FLAGS[wanted if board.freestanding else "gcc"],
        runtime_libraries=RUNTIME_LIBRARIES[wanted],
    )


def _strict_alignment(name: ToolchainName, compiler: Compiler) -> tuple[str, ...]:
    """What makes a compiler for Arm access memory aligned only; later flags outdo earlier ones."""
    if name == "gcc":
        return ("-mno-unaligned-access",)
    # zig takes the features of a core from -mcpu alone, and ignores clang's flags for them.
    return tuple(f"{flag}+strict_align" for flag in compiler.flags if flag.startswith("-mcpu="))


def identity(board: Board, name: str) -> str:
    """The compiler with its version, e.g. `arm-none-eabi-gcc 12.2.1`. Part of the build id.

    Raises BadInput for an unknown toolchain, MissingTool where it is not installed.
    """
    return _identity(toolchain_for(board, name, DEFAULT_OPTIMIZE).compiler.program)


@cache
def _identity(program: str) -> str:
    arguments = ("version",) if program == "python-zig" else ("-dumpfullversion",)
    completed = process.run((program, *arguments), timeout_seconds=_VERSION_SECONDS)
    return f"{program.replace('python-zig', 'zig-cc')} {completed.stdout.strip()}"
