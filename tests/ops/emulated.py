"""Runs models on an emulated board, many in one firmware, and compares every output byte there.

The firmware carries the vectors and what the oracle made of them. Around every buffer of a case
lie gaps of poison, which must be whole after each inference.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from exporter.board import Board, load_board
from exporter.build import build
from exporter.flash import Emulator
from exporter.render.environment import environment
from exporter.render.platform import render_platform
from exporter.toolchain import ToolchainName
from tests.ops.harness import POISON, Case, models_source
from tests.platform.probe import need_tool, write_project

REPLY_SECONDS = 120.0
DONE = 0xFFFF
CODE_BYTES = 1400
"""Of a case, about: one function, its regions, its share of the micro-kernels."""
PLATFORM_BYTES = 16384

GUARDS = {
    "generic": "defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB == 2",
    "dsp": "defined(__ARM_FEATURE_DSP)",
    "mve": "defined(__ARM_FEATURE_MVE)",
}
"""Where the micro-kernels of a set are assembly, but for NANO_C_TWINS."""

MAIN = Path(__file__).with_name("emulated_main.c.j2")


def check_on_board(
    cases: Sequence[Case],
    board: Board | str,
    folder: Path,
    *,
    toolchain: ToolchainName = "gcc",
    optimize: str = "speed",
    options: Sequence[str] = (),
) -> None:
    """Asserts that each case gives its expected outputs on the board, and touches no gap.

    `options`: CMake definitions of the build. Raises CheckFailed where the compiler would take the
    C twins of micro-kernels that the board can run.
    """
    board = load_board(board) if isinstance(board, str) else board
    need_tool("cmake", "ninja", board.compilers[toolchain].program)
    assert board.emulator is not None
    need_tool(board.emulator.program)
    faults = [
        fault
        for part in _parts(cases, board)
        for fault in _run(part, board, folder, toolchain, optimize, options)
    ]
    assert not faults, f"{len(faults)} faults in {len(cases)} cases:\n" + "\n".join(faults[:10])


def _parts(cases: Sequence[Case], board: Board) -> Iterator[list[Case]]:
    """Cases that fit the board's memory together, by a rough guess of their code."""
    flash = ram = PLATFORM_BYTES
    part: list[Case] = []
    vectors: set[tuple[int, int]] = set()
    for case in cases:
        more = _code_bytes(case) + (0 if _vectors_key(case) in vectors else _bytes(case))
        flash, ram = flash + more, ram + case.program.arena_bytes
        if part and (flash > board.flash_bytes or ram > board.ram_bytes - board.stack_bytes):
            yield part
            part, vectors = [], set()
            flash = PLATFORM_BYTES + _code_bytes(case) + _bytes(case)
            ram = PLATFORM_BYTES + case.program.arena_bytes
        part.append(case)
        vectors.add(_vectors_key(case))
    yield part


def _vectors_key(case: Case) -> tuple[int, int]:
    """Variants of one model share its vectors."""
    return id(case.vectors), id(case.expected)


def _code_bytes(case: Case) -> int:
    return CODE_BYTES + case.program.weights_bytes


def _bytes(case: Case) -> int:
    """Of all inputs and expected outputs."""
    return sum(array.nbytes for arrays in (*case.vectors, *case.expected) for array in arrays)


def _run(
    cases: Sequence[Case],
    board: Board,
    folder: Path,
    toolchain: ToolchainName,
    optimize: str,
    options: Sequence[str],
) -> list[str]:
    """What is wrong with each case that is."""
    files = render_platform(
        board,
        app={"main.c": _source(cases, _guards(cases, board))},
        toolchain=toolchain,
        optimize=optimize,
        model_sources=[],
    )
    files["CMakeLists.txt"] = _without_debugging(files["CMakeLists.txt"])
    files["nanoexport.json"] = json.dumps({"board": board.name, "toolchain": toolchain})
    firmware = build(write_project(folder, files), options=options)
    with Emulator(board, firmware.elf) as emulator:
        faults = _faults(emulator)
    kinds = ("wrong output", "a write into a gap")
    return [f"{cases[number].name}: {kinds[kind]}" for number, kind in faults]


def _without_debugging(build_file: str) -> str:
    """The same code, compiled a sixth faster: nobody debugs hundreds of cases in one file."""
    assert build_file.count("    -g\n") == 1
    return build_file.replace("    -g\n", "")


def _guards(cases: Sequence[Case], board: Board) -> list[str]:
    """The preprocessor's conditions for the assembly in the cases' micro-kernels.

    Cores other than Arm's run the twins of the generic ones.
    """
    sets = {m.template.partition("/")[0] for case in cases for m in case.program.micro_kernels}
    return [GUARDS[name] for name in sorted(sets) if board.platform == "cortex_m"]


def _source(cases: Sequence[Case], guards: Sequence[str]) -> str:
    owners: dict[tuple[int, int], int] = {}
    for n, case in enumerate(cases):
        owners.setdefault(_vectors_key(case), n)
    rows = [
        {
            "arena_bytes": case.program.arena_bytes,
            "inputs": [(f"m{n}_input_{i}", port.tensor.bytes)
                       for i, port in enumerate(case.program.inputs)],
            "outputs": [(f"m{n}_output_{i}", port.tensor.bytes)
                        for i, port in enumerate(case.program.outputs)],
            "gaps": [(f"m{n}_arena + {offset}", size) for offset, size in case.gaps],
            "vectors": owners[_vectors_key(case)],
            "count": len(case.vectors),
        }
        for n, case in enumerate(cases)
    ]  # fmt: skip
    main = environment().from_string(MAIN.read_text(encoding="utf-8"))
    unused = '#pragma GCC diagnostic ignored "-Wunused-function"\n'
    return unused + models_source(cases) + main.render(
        cases=rows, vectors={n: _vectors(cases[n]) for n in owners.values()}, guards=guards,
        poison=POISON, done=DONE,
    )  # fmt: skip


def _vectors(case: Case) -> str:
    arrays = [
        array.ravel()
        for inputs, outputs in zip(case.vectors, case.expected, strict=True)
        for array in (*inputs, *outputs)
    ]
    return ",".join(str(value) for value in np.concatenate(arrays))


def _faults(emulator: Emulator) -> list[tuple[int, int]]:
    connection = emulator.connection
    connection.settimeout(REPLY_SECONDS)
    faults: list[tuple[int, int]] = []
    data = bytearray()
    while True:
        chunk = connection.recv(4096)
        assert chunk, "the emulator has ended"
        data += chunk
        while len(data) >= 4:
            number, kind, _ = struct.unpack("<HBB", data[:4])
            del data[:4]
            if number == DONE:
                return faults
            faults.append((number, kind))
