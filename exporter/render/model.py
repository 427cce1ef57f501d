"""Prints a `Program`: the C of the model, and its description for the link application."""

from __future__ import annotations

from exporter.graph.ir import Tensor, short_name
from exporter.plan.program import Program, Step
from exporter.render.c_format import c_identifier
from exporter.render.environment import register, render, template_folder

GUARD_BYTES = 32
"""Canary bytes on either side of the arena in a firmware that serves the link."""


def layer_name(step: Step) -> str:
    """The stem of a layer's C function, numbered as in the flatbuffer: `layer_3_conv_2d`."""
    return f"layer_{step.op_index}_{c_identifier(step.kind)}"


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


register(is_one_window, layer_name, quantization_text, short_name, stays_inside)


def render_model(
    program: Program, *, prefix: str = "model", guard_bytes: int = 0
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


def render_description(program: Program, *, prefix: str, board: str, build_id: str) -> str:
    """The C file that describes the model to the link application. `build_id`: 64 hex digits."""
    return render(
        "model/model_description.c.j2",
        program=program,
        prefix=prefix,
        upper=prefix.upper(),
        board=board,
        build_id=build_id,
    )
