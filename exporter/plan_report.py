"""What `inspect --board` says: all that a model will take, before anything is built."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from exporter.arrays import write_atomically
from exporter.board import Board
from exporter.build.firmware import Settings, compile_for
from exporter.console import Output
from exporter.errors import BadInput
from exporter.graph.ir import short_name
from exporter.metadata_report import metadata_document, show_metadata
from exporter.plan.dump import layer_figures
from exporter.plan.memory_map import MemoryMap, memory_map, text_lines
from exporter.plan.placement import use_by_region
from exporter.plan.program import Program
from exporter.render.code_estimate import code_bytes
from exporter.render.memory_svg import memory_svg

LAYER_COLUMNS = (
    "layer", "operator", "name", "output", "kernel", "forms", "MACs", "weights B", "live B",
)  # fmt: skip


def show_plan(
    output: Output, model: Path, board: Board, settings: Settings, svg: Path | None = None
) -> None:
    """What the model will take on a board; `svg` gets the memory map as a picture."""
    program = compile_for(model, board, settings).program
    show_metadata(output, program.metadata)
    the_map = memory_map(program)
    code = _code_bytes(program, board, settings)
    figures = layer_figures(program)
    rows = [
        (
            f.index,
            f.op,
            short_name(f.name),
            str(list(f.output_shape)),
            f.kernel,
            f.choice or "-",
            f.macs,
            f.weights_bytes,
            f.arena_bytes,
        )
        for f in figures
    ]
    output.table(f"{program.name} on {board.name}", LAYER_COLUMNS, rows)
    for line in ("", "Memory map of the arena", *text_lines(the_map), ""):
        output.text(line)
    for line in _sums(program, board, the_map, code):
        output.text(line)
    regions = use_by_region(program, board)
    if len(regions) > 2:
        names = ("region", "kind", "bytes", "arena B", "weights B", "copied from here B")
        output.table("", names, [tuple(asdict(use).values()) for use in regions])
    if svg is not None:
        write_atomically(svg, memory_svg(the_map, board.name).encode())
        output.text(f"map      {svg}")
    output.document(
        {
            "model": program.name,
            "model_sha256": program.model_sha256,
            "board": board.name,
            "metadata": metadata_document(program.metadata),
            "dialect": program.dialect,
            "optimize": program.optimize,
            "arena_bytes": program.arena_bytes,
            "scratch_bytes": _scratch_bytes(the_map),
            "weights_bytes": program.weights_bytes,
            "code_bytes_estimated": code,
            "macs": program.macs,
            "peak_layer": program.peak_step.op_index if program.steps else None,
            "peak_stage": the_map.peak,
            "regions": [asdict(use) for use in regions],
            "layers": [asdict(f) for f in figures],
            "memory_map": asdict(the_map),
            "svg": str(svg) if svg else None,
        }
    )


def check_drawable(board: str | None, dump_after: str | None) -> None:
    """Raise BadInput where the command shows no plan, so that there is no map of one."""
    if board is None or dump_after is not None:
        raise BadInput(
            "there is no plan to draw",
            value="--svg",
            allowed="--svg with --board, and without --dump-after",
        )


def _code_bytes(program: Program, board: Board, settings: Settings) -> int | None:
    toolchain = settings.toolchain or board.default_toolchain
    return code_bytes(program, board.platform, board.instruction_set, toolchain)


def _scratch_bytes(the_map: MemoryMap) -> int:
    """The largest scratch: layers have theirs one after another."""
    return max((b.bytes for b in the_map.buffers if b.kind == "scratch"), default=0)


def _sums(program: Program, board: Board, the_map: MemoryMap, code: int | None) -> list[str]:
    peak = ""
    if the_map.peak is not None:
        stage = the_map.stages[the_map.peak]
        together = ", whose rows are made in turn" if program.stages[the_map.peak].is_group else ""
        peak = f", peak of {stage.live_bytes:,} in {stage.layers} ({stage.title}){together}"
    room = board.ram_bytes - board.stack_bytes
    estimate = "no estimate for this board" if code is None else f"about {code:,} bytes, estimated"
    return [
        f"arena    {program.arena_bytes:,} bytes of {room:,}{peak}",
        f"scratch  {_scratch_bytes(the_map):,} bytes of these at most",
        f"weights  {program.weights_bytes:,} bytes of {board.flash_bytes:,} bytes of flash",
        f"code     {estimate}",
        f"MACs     {program.macs:,}",
    ]
