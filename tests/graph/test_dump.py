"""The graph as text: stable, complete, and one line per change."""

from __future__ import annotations

import difflib

import numpy as np

from exporter.graph.dump import dump
from exporter.graph.tflite_reader import read
from tests.flatbuffer_builder import ModelBuilder

GOLDEN = """\
graph small
  input  %0
  output %3
  %0 int8 [1, 4] scale=0.5 zero_point=-3 'x'
  %1 int8 [2, 4] scales[axis 0]=0.25..0.75 data=8a851ff82ee7 'w'
  %2 int8 [1, 2] scale=0.125 zero_point=0 'dense'
  %3 int8 [1, 2] unquantised 'y'
  op 0: %2 = FULLY_CONNECTED(%0, %1, -) OPTIONS
  op 1: %3 = RELU(%2)
"""


def _model(*, scale: float = 0.125, weights: tuple[int, ...] = tuple(range(8))) -> bytes:
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4], scale=0.5, zero_point=-3)
    w = builder.tensor("w", [2, 4], "int8", [0.25, 0.75], data=np.array(weights))
    h = builder.tensor("dense", [1, 2], scale=scale, zero_point=0)
    y = builder.tensor("y", [1, 2])
    builder.tensor("nobody reads me", [7])
    builder.op("FULLY_CONNECTED", [x, w, -1], [h], activation="RELU")
    builder.op("RELU", [h], [y])
    return builder.finish([x], [y])


def _text(model: bytes) -> str:
    return dump(read(model, name="small"))


def _changed_lines(before: str, after: str) -> list[str]:
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in lines if line.startswith(("+", "-"))]


def test_golden_text() -> None:
    graph = read(_model(), name="small")
    options = " ".join(f"{key}={value}" for key, value in sorted(graph.ops[0].options.items()))
    assert "fused_activation_function=RELU" in options
    assert dump(graph) == GOLDEN.replace("OPTIONS", options)


def test_stable() -> None:
    assert _text(_model()) == _text(_model())


def test_one_change_changes_one_line() -> None:
    for changed in (_model(scale=0.25), _model(weights=(1,) * 8)):
        assert len(_changed_lines(_text(_model()), _text(changed))) == 2


def test_no_digest_of_the_file_and_no_address() -> None:
    graph = read(_model())
    assert graph.sha256 not in dump(graph) and "0x" not in dump(graph)
