"""Random layers of many operators as one firmware on an emulated board, against the oracle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from exporter.board import load_board
from exporter.build.compile import build
from exporter.build.firmware import ModelFirmware, Settings, compile_for
from exporter.build.size import measure_footprint, measure_image
from exporter.errors import BadInput
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import check_verification, verify_on_board
from exporter.render.project import render_project, write_project
from exporter.toolchain import Optimize, ToolchainName
from tests.flatbuffer_builder import ModelBuilder
from tests.ops.harness import compile_graph, skip_without_oracle
from tests.platform.probe import need_tool
from tests.random_models import RECIPES, random_model


def defined(operator: str, seeds: Iterable[int]) -> list[int]:
    """The seeds whose random model has a defined result in the dialect tflite."""
    kept = []
    for seed in seeds:
        try:
            compile_graph(random_model(operator, seed))
        except BadInput:
            continue
        kept.append(seed)
    return kept


def one_model_of(drawn: Iterable[tuple[str, int]]) -> bytes:
    """A model of independent random layers, one for each operator and seed; odd seeds extreme."""
    builder = ModelBuilder()
    inputs: list[int] = []
    outputs: list[int] = []
    for operator, seed in drawn:
        rng = np.random.default_rng([seed, sum(operator.encode())])
        more = RECIPES[operator](builder, rng, "extreme" if seed % 2 else "realistic")
        inputs += more[0]
        outputs += more[1]
    return builder.finish(inputs, outputs)


def check_on_board(
    data: bytes,
    name: str,
    folder: Path,
    *,
    toolchain: ToolchainName = "gcc",
    optimize: Optimize = "speed",
    options: Sequence[str] = (),
    vectors: int = 14,
) -> None:
    """Asserts that the firmware of a model is bit-exact and leaves the arena's guards alone.

    `options`: CMake definitions of the build.
    """
    skip_without_oracle("tflite")
    board = load_board(name)
    assert board.emulator is not None
    need_tool(board.emulator.program, board.compilers[toolchain].program)
    model, project = folder / "model.tflite", folder / "project"
    model.write_bytes(data)
    settings = Settings(toolchain=toolchain, optimize=optimize)
    compilation = compile_for(model, board, settings)
    rendered = render_project(compilation.program, board, app="hil", toolchain=toolchain)
    write_project(rendered, project)
    built = build(project, options=options)
    assert built.footprint is not None
    firmware = ModelFirmware(
        board,
        settings,
        compilation,
        built,
        measure_image(built.elf),
        measure_footprint(built.footprint),
    )
    graph = compilation.graph
    inputs = make_vectors([graph[tensor] for tensor in graph.inputs], vectors)
    check_verification(firmware, verify_on_board(firmware, inputs))
