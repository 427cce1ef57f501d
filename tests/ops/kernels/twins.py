"""Row kernels in assembly against their C twins, on an emulated board.

Each layer's kernel is compiled twice into one firmware, with assembly and with twins. Both make the
calls that the layer makes, on rows, scratch and outputs that lie apart in noise: all of memory must
agree afterwards, and all but the scratch and the wanted outputs must be as it was. With gcc
words that are loaded from odd addresses fault.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

from exporter.board import load_board
from exporter.build import build
from exporter.flash import Emulator
from exporter.ops.candidate import Candidate
from exporter.plan.program import Program, Step
from exporter.render.environment import environment, template_folder
from exporter.render.model import render_model
from exporter.render.platform import render_platform
from exporter.toolchain import ToolchainName
from tests.platform.probe import Probe, need_tool, write_project

GREETING = 0xB007C0DE

MAIN = Path(__file__).with_name("twins.c.j2")


def wrong_bytes(
    programs: Mapping[str, Program],
    folder: Path,
    *,
    board: str,
    toolchain: ToolchainName,
    optimize: str,
) -> dict[str, int]:
    """Bytes in which assembly and twins differ, or that neither may write, by layer.

    `programs`: each of one step, a row kernel without a ring.
    """
    settings = load_board(board)
    assert settings.emulator is not None
    need_tool("cmake", "ninja", settings.compilers[toolchain].program, settings.emulator.program)
    cases = [_case(n, name, program) for n, (name, program) in enumerate(programs.items())]
    memory = max(_memory_bytes(program.steps[0].candidate) for program in programs.values())
    main = (
        environment()
        .from_string(MAIN.read_text(encoding="utf-8"))
        .render(cases=cases, memory=memory, greeting=GREETING)
    )
    arithmetic = template_folder() / "model" / "nano_arithmetic.h"
    files = render_platform(
        settings,
        app={"main.c": main, "nano_arithmetic.h": arithmetic.read_text(encoding="utf-8")},
        toolchain=toolchain,
        optimize=optimize,
        model_sources=[],
    )
    files["nanoexport.json"] = json.dumps({"board": board, "toolchain": toolchain})
    firmware = build(write_project(folder, files))
    with Emulator(settings, firmware.elf) as emulator:
        probe = Probe.on(emulator)
        emulator.connection.sendall(b"!")
        counts = struct.unpack(f"<{len(cases)}I", probe.receive(4 * len(cases)))
    return dict(zip(programs, counts, strict=True))


def _case(number: int, name: str, program: Program) -> dict[str, object]:
    (step,), (function,) = program.steps, program.functions
    candidate = step.candidate
    text = render_model(program)["model/model.c"]
    start = text.index("/* ", text.index('_weights.h"'))  # the first kernel's comment
    return {
        "number": number,
        "name": name,
        "names": [function.name, *function.micro_kernels],
        "function": function.name,
        "text": text[start : text.index("/* Layer ")],
        "constants": candidate.constants,
        "calls": _calls(step),
        "rows": candidate.input_rows,
        "row_bytes": candidate.inputs[0].bytes,
        "outputs": candidate.rows_per_call,
        "output_bytes": candidate.output.bytes,
        "scratch_bytes": candidate.scratch_bytes,
    }


def _memory_bytes(candidate: Candidate) -> int:
    rows = candidate.input_rows * (candidate.inputs[0].bytes + 72)
    return (
        rows
        + candidate.rows_per_call * (candidate.output.bytes + 72)
        + 72
        + (-(-(candidate.scratch_bytes + 128) // 4) * 4)
    )


def _calls(step: Step) -> list[tuple[int, int]]:
    """The distinct calls of a layer: rows outside the image as bits, outputs that are wanted."""
    candidate = step.candidate
    window = candidate.window
    assert window is not None and candidate.ring is None
    found = []
    for y in range(0, candidate.output.count, candidate.rows_per_call):
        top = y * window.stride - window.before
        rows = range(top, top + candidate.input_rows)
        outside = sum(1 << k for k, row in enumerate(rows) if not 0 <= row < step.inputs[0].rows)
        found.append((outside, min(candidate.rows_per_call, candidate.output.count - y)))
    return list(dict.fromkeys(found))
