"""Many layers in one firmware on an emulated board, against the oracle.

check_on_board(branches([layer, ...]), "mps2-an386", tmp_path)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from exporter.board import load_board
from exporter.build.firmware import Settings, firmware_for
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import check_verification, verify_on_board
from exporter.ops.base import Dialect
from exporter.toolchain import Optimize, ToolchainName
from tests.flatbuffer_builder import ModelBuilder
from tests.ops.harness import skip_without_oracle
from tests.platform.probe import need_tool

DSP_BOARDS = ("mps2-an386", "mps2-an500", "mps2-an505")
"""Cortex-M4, M7 and M33."""

Branch = Callable[[ModelBuilder], tuple[list[int], int]]
"""Adds one layer to a model; returns its inputs and its output."""


def branches(layers: Iterable[Branch]) -> bytes:
    """A model of independent layers, each with inputs and an output of the model's own."""
    builder = ModelBuilder()
    added = [layer(builder) for layer in layers]
    inputs = [tensor for tensors, _ in added for tensor in tensors]
    return builder.finish(inputs, [output for _, output in added])


def check_on_board(
    data: bytes,
    board: str,
    folder: Path,
    *,
    toolchain: ToolchainName = "gcc",
    optimize: Optimize = "speed",
    dialect: Dialect = "tflite",
    vectors: int = 16,
) -> None:
    """Asserts that the firmware of a model is bit-exact and leaves the arena's guards alone."""
    skip_without_oracle(dialect)
    wanted = load_board(board)
    assert wanted.emulator is not None
    need_tool(wanted.emulator.program)
    need_tool(wanted.compilers[toolchain].program)
    model = folder / "model.tflite"
    model.write_bytes(data)
    settings = Settings(toolchain=toolchain, optimize=optimize, dialect=dialect)
    firmware = firmware_for(model, wanted, settings, cache=folder / "cache")
    graph = firmware.compilation.graph
    inputs = make_vectors([graph[tensor] for tensor in graph.inputs], vectors)
    check_verification(firmware, verify_on_board(firmware, inputs))
