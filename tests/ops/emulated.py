"""Runs models on an emulated board, many in one firmware, and compares every output byte there.

The firmware carries the vectors and what the oracle made of them. Around every buffer of a case
lie gaps of poison, which must be whole after each inference.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
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

MAIN = Path(__file__).with_name("emulated_main.c.j2")


def check_on_board(
    cases: Sequence[Case],
    board: Board | str,
    folder: Path,
    *,
    toolchain: ToolchainName = "gcc",
    optimize: str = "speed",
) -> None:
    """Asserts that each case gives its expected outputs on the board, and touches no gap."""
    board = load_board(board) if isinstance(board, str) else board
    need_tool("cmake", "ninja", board.compilers[toolchain].program)
    assert board.emulator is not None
    need_tool(board.emulator.program)
    files = render_platform(
        board,
        app={"main.c": _source(cases)},
        toolchain=toolchain,
        optimize=optimize,
        model_sources=[],
    )
    files["nanoexport.json"] = json.dumps({"board": board.name, "toolchain": toolchain})
    firmware = build(write_project(folder, files))
    with Emulator(board, firmware.elf) as emulator:
        faults = _faults(emulator)
    kinds = ("wrong output", "a write into a gap")
    wrong = [f"{cases[number].name}: {kinds[kind]}" for number, kind in faults]
    assert not wrong, f"{len(wrong)} faults in {len(cases)} cases:\n" + "\n".join(wrong[:10])


def _source(cases: Sequence[Case]) -> str:
    rows = [
        {
            "arena_bytes": case.program.arena_bytes,
            "inputs": [(f"m{n}_input_{i}", port.tensor.bytes)
                       for i, port in enumerate(case.program.inputs)],
            "outputs": [(f"m{n}_output_{i}", port.tensor.bytes)
                        for i, port in enumerate(case.program.outputs)],
            "gaps": [(f"m{n}_arena + {offset}", size) for offset, size in case.gaps],
            "vectors": _vectors(case),
            "count": len(case.vectors),
        }
        for n, case in enumerate(cases)
    ]  # fmt: skip
    main = environment().from_string(MAIN.read_text(encoding="utf-8"))
    unused = '#pragma GCC diagnostic ignored "-Wunused-function"\n'
    return unused + models_source(cases) + main.render(cases=rows, poison=POISON, done=DONE)


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
    connection.sendall(b"!")
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
