"""The results of the commands, for people and as documents."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from exporter import ops, passes
from exporter.board import Board
from exporter.board.table import size_text
from exporter.build.compile import Firmware
from exporter.build.firmware import ModelFirmware, Settings, target_for
from exporter.build.size import ImageSize, measure_footprint
from exporter.build.stack import stack_bound
from exporter.console import Output, cell
from exporter.errors import BadInput
from exporter.flash import real_flashers
from exporter.graph.dump import dump as dump_graph
from exporter.graph.ir import Graph, Op, short_name
from exporter.hil import bench, reference, verify
from exporter.hil.compare import Comparison
from exporter.hil.controls import ControlReport
from exporter.hil.predictions import predictions
from exporter.latency_report import show_latency
from exporter.metadata_report import metadata_document, show_metadata
from exporter.ops.base import Target
from exporter.plan.compile import compile_model, read_model
from exporter.plan.dump import dump as dump_program
from exporter.render.project import Project

if TYPE_CHECKING:
    from exporter.convert import ConvertReport
    from exporter.pipeline import Accuracies, Deployment, DeployRequest


def show_conversion(output: Output, report: ConvertReport) -> None:
    for warning in report.warnings:
        output.text(f"warning: {warning}")
    settings = report.settings
    weights = " with int4 weights" if settings.weights == "int4" else ""
    output.text(
        f"{report.output}: {report.bytes:,} bytes, {settings.mode} throughout{weights}, "
        f"from {report.source}"
    )
    output.text(f"  calibrated with {report.samples} of {report.samples_given} samples")
    for name, tensors in (("input", report.inputs), ("output", report.outputs)):
        for t in tensors:
            form = t.dtype
            if t.scale is not None:
                form += f", scale {t.scale:.6g}, zero point {t.zero_point}"
            output.text(f"  {name} '{t.name}' {list(t.shape)}: {form}")
    output.document(report.as_dict())


def show_graph(output: Output, model: Path) -> None:
    """The operators of a model as they are in the file, and whether each can be compiled."""
    graph, data = read_model(model)
    show_metadata(output, graph.metadata)
    rows = [
        (
            op.index,
            op.kind,
            short_name(graph.op_name(op)),
            str(list(graph[op.outputs[0]].shape)),
            _macs(graph, op),
        )
        for op in graph.ops
    ]
    output.table(
        f"{graph.name}: {len(data):,} bytes", ("layer", "operator", "name", "output", "MACs"), rows
    )
    ops.check(passes.run(graph))
    output.text("every operator can be compiled; add --board BOARD to see the plan")
    output.document(
        {
            "model": graph.name,
            "model_sha256": graph.sha256,
            "bytes": len(data),
            "metadata": metadata_document(graph.metadata),
            "layers": [
                dict(zip(("index", "op", "name", "shape", "macs"), row, strict=True))
                for row in rows
            ],
        }
    )


def _macs(graph: Graph, op: Op) -> int:
    known = ops.operators().get(op.kind)
    return known.macs(graph, op) if known else 0


def show_dump(
    output: Output, model: Path, after: str, board: Board | None, settings: Settings
) -> None:
    """The graph after a pass, or the program: text that diffs."""
    stages = ("read", *passes.names(), "plan")
    if after not in stages:
        raise BadInput("unknown pass", value=after, allowed=stages, next_step="choose one of them")
    if after == "plan":
        target = target_for(board, settings) if board else None
        program = compile_model(model, target or Target(), settings.without_passes).program
        text = dump_program(program)
    else:
        graph, _ = read_model(model)
        if after != "read":
            graph = passes.run(graph, until=after, without=settings.without_passes)
        text = dump_graph(graph)
    if output.as_json:
        output.document({"after": after, "dump": text})
    else:
        output.text(text.rstrip("\n"))


def show_project(output: Output, project: Project, folder: Path) -> None:
    manifest = project.manifest
    output.text(
        f"{folder}: {len(project.files)} files, model {manifest['model']} for {manifest['board']}"
    )
    output.text(f"  build id  {project.build_id[:16]}")
    output.text(f"  arena     {manifest['arena_bytes']:,} bytes")
    output.text(f"  weights   {manifest['weights_bytes']:,} bytes")
    output.text(f"next: nanoexport build {shlex.quote(str(folder))}")
    output.document({"folder": str(folder), **manifest})


def show_build(output: Output, built: Firmware, image: ImageSize, board: Board) -> None:
    """Files, sizes of the whole image, and where there is a model, its sections and stack."""
    paths = [path for path in (built.elf, built.bin, built.hex, built.uf2) if path is not None]
    for path in paths:
        output.text(f"{path}: {path.stat().st_size:,} bytes")
    stack = f", stack of {board.stack_bytes:,} included" if board.freestanding else ""
    if len(board.memory) == 2:
        output.text(f"  flash {image.image_bytes:,} of {board.flash_bytes:,} bytes")
        output.text(f"  RAM   {image.ram_bytes:,} of {board.ram_bytes:,} bytes{stack}")
    for region in board.memory if len(board.memory) > 2 else ():
        used = f"{region.name} {image.regions[region.name]:,} of {region.bytes:,} bytes"
        output.text(f"  {used}{stack if region == board.region('ram') else ''}")
    footprint = measure_footprint(built.footprint) if built.footprint else None
    bound = stack_bound(built)
    if footprint is not None:
        output.text(
            f"  model code {footprint.code_bytes:,}, weights {footprint.weights_bytes:,}, "
            f"arena {footprint.arena_bytes:,}, static RAM {footprint.static_ram_bytes:,} bytes"
        )
    if bound is not None:
        way = " + ".join(f"{frame.function} {frame.bytes:,}" for frame in bound.deepest)
        output.text(f"  stack of one inference at most {bound.bytes:,} bytes: {way}")
    flashing = f"nanoexport flash {shlex.quote(str(built.project))}"
    real = real_flashers(board)
    if real and board.default_flasher.name not in real:
        output.text(f"next: {flashing} --flasher {real[0]}, or without it on the emulator")
    else:
        output.text(f"next: {flashing}")
    output.document(
        {
            "board": board.name,
            "build_id": built.manifest["build_id"],
            "files": [str(path) for path in paths],
            "image_bytes": image.image_bytes,
            "ram_bytes": image.ram_bytes,
            "regions": dict(image.regions),
            "model": asdict(footprint) if footprint else None,
            "stack": asdict(bound) if bound else None,
        }
    )


def show_verification(
    output: Output,
    firmware: ModelFirmware,
    result: verify.Verification,
    controls: ControlReport,
) -> None:
    document = verify.as_dict(firmware, result) | {"controls": controls.as_dict()}
    verdict = "bit-exact" if result.bit_exact else "DIFFERENT"
    output.text(
        f"{firmware.program.name} on {firmware.board.name}: {verdict}, "
        f"{result.vectors - len(result.mismatches)} of {result.vectors} vectors equal "
        f"in the dialect {firmware.settings.dialect}"
    )
    for mismatch in result.mismatches[:5]:
        output.text(f"  {mismatch.describe()}")
    _show_predictions(output, firmware, result)
    _show_controls(output, controls)
    output.document(document)


def _show_controls(output: Output, controls: ControlReport) -> None:
    first, *rest = controls.lines()
    output.text(f"controls      {first}")
    for line in rest:
        output.text(f"  {line}")


def _show_predictions(output: Output, firmware: ModelFirmware, result: verify.Verification) -> None:
    if result.memory is not None:
        made = predictions(firmware, result.memory, result.stack_bytes)
        rows = [(p.name, p.predicted, p.measured) for p in made if not p.is_hash]
        output.table("", ("bytes", "predicted", "measured"), rows)
        for prediction in made:
            if prediction.is_hash and prediction.predicted is not None:
                hashes = map(prediction.text, (prediction.predicted, prediction.measured))
                output.text(f"{prediction.name} {' predicted, '.join(hashes)} measured")


def show_benchmark(
    output: Output,
    firmware: ModelFirmware,
    result: bench.Benchmark,
    comparison: Comparison | None = None,
) -> None:
    modelled = result.cycles is not None
    unit = "instructions" if result.counted_cycles is None else "cycles"
    columns = ["layer", "operator", "name", "MACs", unit, "per MAC", "share %"]
    rows = [
        (
            c.index,
            c.op,
            short_name(c.name),
            c.macs,
            result.counts(c)[0],
            bench.ratio(result.counts(c)[0], c.macs),
            bench.share(*result.counts(c)),
            *((cycles,) if modelled else ()),
        )
        for c, cycles in zip(result.layers, result.layer_cycles, strict=True)
    ]
    settings = firmware.settings
    title = f"{firmware.program.name} on {firmware.board.name}"
    title += f", {firmware.toolchain}, {settings.optimize}"
    output.table(title, [*columns, "modelled cycles"] if modelled else columns, rows)
    for line in (*_cost_lines(firmware, result), *_cycle_lines(result), *_others(firmware, result)):
        output.text(line)
    show_latency(output, result)
    document = bench.as_dict(firmware, result)
    if comparison is not None:
        _show_comparison(output, comparison)
        document["comparison"] = comparison.as_dict()
    output.document(document)


def _cost_lines(firmware: ModelFirmware, result: bench.Benchmark) -> list[str]:
    footprint = firmware.footprint
    return [
        _counted_line(firmware.board, result),
        f"flash         {footprint.flash_bytes:,} bytes: code {footprint.code_bytes:,}, "
        f"weights {footprint.weights_bytes:,}",
        f"RAM           arena {firmware.program.arena_bytes:,}, "
        f"static {footprint.static_ram_bytes:,}, stack {result.stack_bytes:,} bytes",
    ]


def _counted_line(board: Board, result: bench.Benchmark) -> str:
    """Instructions or cycles, and who counted the cycles: no emulator has the memory of a chip."""
    if result.counted_cycles is None:
        counted = "" if result.instructions is not None else f" ({board.name} cannot count them)"
        return f"instructions  {cell(result.instructions)}{counted}"
    milliseconds = 1000 * result.counted_cycles / board.ticks.hz
    where = "counted on the chip"
    if not result.on_chip and board.emulator is not None:
        where = f"as {board.emulator.machine} counts them: no wait for the flash, not measured"
    return (
        f"cycles        {cell(result.counted_cycles)}, {milliseconds:,.2f} ms at "
        f"{board.ticks.hz / 1e6:g} MHz: {where}"
    )


def _cycle_lines(result: bench.Benchmark) -> list[str]:
    """Apart from the instructions, which are counted: cycles are a model's."""
    cycles = result.cycles
    if cycles is None:
        wanted = result.no_cycles and result.counted_cycles is None
        return [f"modelled      none: {result.no_cycles}"] if wanted else []
    return [
        f"modelled      {cycles.cycles:,} cycles, {cycles.milliseconds:,.2f} ms at "
        f"{cycles.clock_hz / 1e6:g} MHz: modelled, {cycles.model}, not measured"
    ]


def _others(firmware: ModelFirmware, result: bench.Benchmark) -> list[str]:
    """The figures of others for the same flatbuffer, each with its owner's name."""
    program, board = firmware.program, firmware.board
    lines = []
    baseline = reference.baseline_of(program.model_sha256, board, firmware.settings.optimize)
    if baseline is not None:
        lines.append(
            f"baseline      {baseline.engine}: {_baseline_figures(baseline, result)} bytes"
        )
    for figure in reference.silicon_of(program.model_sha256, board.core):
        lines.append(
            f"silicon       {figure.cycles:,} cycles of another engine, published: "
            f"{figure.describe()}"
        )
    return lines


def _baseline_figures(baseline: reference.Baseline, result: bench.Benchmark) -> str:
    figures = []
    if baseline.instructions is not None:
        ratio = bench.ratio(result.instructions, baseline.instructions)
        figures.append(f"{baseline.instructions:,} instructions (ours: {cell(ratio)} of it)")
    figures.append(f"arena {baseline.arena_bytes:,}")
    if baseline.code_bytes is not None:
        figures.append(f"code {baseline.code_bytes:,}")
    return ", ".join([*figures, f"static {baseline.static_ram_bytes:,}"])


def _show_comparison(output: Output, comparison: Comparison) -> None:
    """What changed since the older benchmark, the whole first."""
    for note in comparison.notes:
        output.text(f"note: {note}")
    columns = ("figure", "before", "now", "change %")
    rows = [(c.figure, c.before, c.now, c.percent) for c in comparison.whole]
    output.table("compared with the older benchmark", columns, rows)
    layers = [(c.layer, c.op, c.figure, c.before, c.now, c.percent) for c in comparison.layers]
    if layers:
        output.table("layers that changed", ("layer", "operator", *columns), layers)


def show_deployment(output: Output, request: DeployRequest, deployment: Deployment) -> None:
    firmware, result = deployment.firmware, deployment.verification
    if deployment.conversion is not None:
        for warning in deployment.conversion.warnings:
            output.text(f"warning: {warning}")
        output.text(
            f"converted     {deployment.conversion.output}, "
            f"{deployment.conversion.bytes:,} bytes, int8 throughout"
        )
    for warning in deployment.test_warnings:
        output.text(f"warning: test set: {warning}")
    output.text(
        f"board         {firmware.board.name} ({firmware.board.mcu}), "
        f"{firmware.firmware.manifest['compiler']}"
    )
    output.text(
        f"bit-exact     {cell(result.bit_exact)}: {result.vectors} inferences on the board "
        f"equal the host reference, dialect {firmware.settings.dialect}"
    )
    if deployment.accuracies is not None:
        _show_accuracies(output, deployment.accuracies)
    for line in _cost_lines(firmware, deployment.benchmark):
        output.text(line)
    _show_controls(output, deployment.controls)
    _show_predictions(output, firmware, result)
    document = verify.as_dict(firmware, result) | {
        "controls": deployment.controls.as_dict(),
        "conversion": deployment.conversion.as_dict() if deployment.conversion else None,
        "benchmark": bench.as_dict(firmware, deployment.benchmark),
        "accuracy": asdict(deployment.accuracies) if deployment.accuracies else None,
        "test_warnings": list(deployment.test_warnings),
    }
    output.document(document)


def _show_accuracies(output: Output, accuracies: Accuracies) -> None:
    for name, value in (
        ("float model", accuracies.float_model),
        ("int8, host", accuracies.int8_host),
        ("int8, board", accuracies.int8_board),
    ):
        if value is not None:
            output.text(
                f"{name:<13} {100 * value:.2f} % right of {accuracies.samples} test samples"
            )


def show_boards(output: Output, boards: Sequence[Board]) -> None:
    """One line each; the sizes of a native process are nobody's."""
    output.table(
        "",
        ("board", "chip", "core", "flash", "RAM", "link", "flasher", "evidence"),
        [
            (
                *(b.name, b.mcu, b.core),
                *(
                    (size_text(b.flash_bytes), size_text(b.ram_bytes))
                    if b.freestanding
                    else ("", "")
                ),
                b.link.kind if b.link is not None else "",
                *(b.default_flasher.name, b.evidence),
            )
            for b in boards
        ],
        spare=("link", "core"),
    )
    output.document({"boards": [_described(board) for board in boards]})


def _described(board: Board) -> dict[str, object]:
    return {
        "name": board.name,
        "description": board.description,
        "mcu": board.mcu,
        "core": board.core,
        "flash_bytes": board.flash_bytes,
        "ram_bytes": board.ram_bytes,
        "link": board.link.model_dump(exclude_none=True) if board.link is not None else None,
        "flasher": board.default_flasher.name,
        "flashers": [settings.name for settings in board.flashers],
        "evidence": board.evidence,
    }
