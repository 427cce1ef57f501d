"""Prints a `Program`: the C of the model, and its description for the link application."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Literal

from exporter.graph.ir import Tensor, short_name
from exporter.plan.program import GIVEN, Program, Stage, Step
from exporter.render.c_format import c_identifier
from exporter.render.environment import register, render, template_folder
from exporter.render.metadata import model_notes, port_notes

Arena = Literal["static", "caller"]
"""`static`: the model has an array. `caller`: the program lends one for each inference."""

ARENA_ALIGNMENT = 16
"""Bytes; kernels need words, the rest makes their time the same wherever the arena lies."""

GUARD_BYTES = 64
"""Canary bytes on either side of the arena in a firmware that serves the link: wherever the arena
ends, a whole block of GUARD_ALIGNMENT bytes is among them."""

GUARD_ALIGNMENT = 32
"""Bytes; of an arena between guards. What the memory protection units of Cortex-M protect at least
(Architecture Reference Manuals of Armv7-M, DDI 0403, and Armv8-M, DDI 0553)."""


def layer_name(step: Step) -> str:
    """The stem of a layer's C function, numbered as in the flatbuffer: `layer_3_conv_2d`.

    A part of an operator with several outputs has its number too: `layer_3_split_1`.
    """
    part = "" if step.part is None else f"_{step.part}"
    return f"layer_{step.op_index}_{c_identifier(step.kind)}{part}"


def quantization_text(tensor: Tensor) -> str:
    """Scale and zero point of a tensor as a title states them."""
    quantization = tensor.quantization
    if quantization is None:
        return ""
    if quantization.per_tensor:
        return f", scale {quantization.scale:.6g}, zero point {quantization.zero_point}"
    low, high = min(quantization.scales), max(quantization.scales)
    return f", scale {low:.6g} to {high:.6g} along axis {quantization.axis}"


def stays_inside(step: Step) -> bool:
    """Whether no window of a row kernel leaves the image, so that no row pointer needs a check."""
    window = step.candidate.window
    assert window is not None
    calls = -(-step.output.rows // step.candidate.rows_per_call)
    first = (calls - 1) * step.candidate.rows_per_call
    bottom = first * window.stride - window.before + step.candidate.input_rows
    return window.before == 0 and bottom <= step.inputs[0].rows


def is_one_window(step: Step) -> bool:
    """Whether one call with plain row pointers computes the whole output."""
    candidate = step.candidate
    return (
        step.output.rows == step.candidate.rows_per_call == 1
        and candidate.images == 1
        and candidate.ring is None
        and stays_inside(step)
    )


def knows_its_row(step: Step) -> bool:
    """Whether a call of a layer in a group depends on which row it makes."""
    views = (*step.inputs, step.output)
    if any(view.rows > 1 and view.slots > 1 for view in views):
        return True
    return step.candidate.window is not None and not takes_one_row(step)


def takes_one_row(step: Step) -> bool:
    """Whether a call of a row kernel reads one row of the image, where it is."""
    return step.candidate.input_rows == 1 and step.candidate.ring is None and stays_inside(step)


def progress_bytes(program: Program) -> int:
    """What a model keeps, beside its arena, from one row of its input to the next."""
    if program.given is None:
        return 0
    rows = (program.steps[n] for n in range(program.stages[0].last + 1))
    return 4 * (2 + sum(map(knows_its_row, rows)))


def stage_name(program: Program, stage: Stage) -> str:
    """The stem of a stage's C function: that of its layer, or `layers_1_to_3`."""
    first, last = program.steps[stage.first], program.steps[stage.last]
    if first is not last:
        return f"layers_{first.op_index}_to_{last.op_index}"
    return layer_name(first)


def stage_kind(program: Program, stage: Stage) -> str:
    """The operator of a stage, or `CONV_2D to ADD`."""
    first, last = program.steps[stage.first], program.steps[stage.last]
    return first.kind if first is last else f"{first.kind} to {last.kind}"


def takes_rows(stage: Stage) -> bool:
    """Whether the application gives the input of this stage row by row."""
    return GIVEN in stage.order


def call_order(program: Program, stage: Stage) -> str:
    """The layers that a group's calls are of, as the lines of a C array."""
    numbers = ["INPUT" if n == GIVEN else str(program.steps[n].op_index) for n in stage.order]
    return textwrap.fill(", ".join(numbers), 92, initial_indent=" " * 8, subsequent_indent=" " * 8)


register(call_order, is_one_window, knows_its_row, layer_name, quantization_text, short_name)
register(stage_kind, stage_name, stays_inside, takes_one_row, takes_rows)
register(model_notes, port_notes)


def render_model(
    program: Program, *, prefix: str = "model", guard_bytes: int = 0, arena: Arena = "static"
) -> dict[str, str]:
    """The text of each C file of the model, by path relative to the project."""
    micro_kernels = {
        micro.name: render(
            f"kernels/{micro.template}.c.j2", name=micro.name, params=dict(micro.params)
        )
        for micro in program.micro_kernels
    }
    kernels = {
        function.name: render(f"kernels/{function.kernel}.c.j2", function=function)
        for function in program.functions
    }
    headers = _headers(program)
    context = {
        "program": program,
        "headers": headers,
        "prefix": prefix,
        "upper": prefix.upper(),
        "micro_kernels": micro_kernels,
        "kernels": kernels,
        "guard_bytes": guard_bytes,
        "arena": arena,
        "arena_alignment": ARENA_ALIGNMENT,
        "array_alignment": GUARD_ALIGNMENT if guard_bytes else ARENA_ALIGNMENT,
    }
    suffixes = (".h", ".c", "_layers.h", "_weights.h", "_weights.c")
    files = {
        f"model/{prefix}{suffix}": render(f"model/model{suffix}.j2", **context)
        for suffix in suffixes
    }
    folder = template_folder() / "model"
    return files | {
        f"model/{header}": (folder / header).read_text(encoding="utf-8") for header in headers
    }


def _headers(program: Program) -> tuple[str, ...]:
    """The arithmetic, and the header of each instruction set that has one and is used."""
    used = sorted({micro.instruction_set for micro in program.micro_kernels})
    optional = (f"nano_{name}.h" for name in used)
    folder = template_folder() / "model"
    return ("nano_arithmetic.h", *(name for name in optional if (folder / name).is_file()))


@dataclass(frozen=True)
class Origin:
    """Where a firmware comes from, as it says of itself. Hashes are 64 hex digits."""

    board: str
    toolchain: str
    """Compiler and version, `arm-none-eabi-gcc 12.2.1`."""
    templates_sha256: str
    build_id: str


def render_description(
    program: Program, *, prefix: str, origin: Origin, arena: Arena = "static"
) -> str:
    """The C file that describes the model to the link application."""
    return render(
        "model/model_description.c.j2",
        program=program,
        prefix=prefix,
        upper=prefix.upper(),
        origin=origin,
        arena=arena,
        array_alignment=GUARD_ALIGNMENT,
    )
