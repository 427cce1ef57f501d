"""The verifier: every kind of malformation is caught, named, and blamed on its stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from exporter.errors import InternalError
from exporter.graph.ir import Graph, Op, Quantization, Tensor
from exporter.graph.verify import verify


def _sound() -> Graph:
    tensors = {
        0: Tensor(0, "x", (1, 4), "int8", Quantization((0.5,), (0,))),
        1: Tensor(1, "w", (3, 4), "int8", Quantization((0.1, 0.2, 0.3), (0, 0, 0)),
                  np.zeros((3, 4), np.int8)),
        2: Tensor(2, "y", (1, 3), "int8", Quantization((0.5,), (0,))),
        3: Tensor(3, "z", (1, 3), "int8", Quantization((0.5,), (0,))),
    }  # fmt: skip
    ops = (Op(0, "FULLY_CONNECTED", (0, 1, None), (2,)), Op(1, "RELU", (2,), (3,)))
    return Graph("sound", tensors, ops, (0,), (3,))


def _with_tensor(graph: Graph, tensor: Tensor) -> Graph:
    return graph.with_tensors({**graph.tensors, tensor.id: tensor})


Break = Callable[[Graph], Graph]
BROKEN: dict[str, tuple[Break, str]] = {
    "a tensor under another's id": (
        lambda g: g.with_tensors({**g.tensors, 2: replace(g[2], id=7)}),
        "tensor 2 calls itself 7",
    ),
    "data of another shape": (
        lambda g: _with_tensor(g, replace(g[1], data=np.zeros((4, 3), np.int8))),
        "'w' has data of shape (4, 3), states (3, 4)",
    ),
    "fewer scales than channels": (
        lambda g: _with_tensor(g, replace(g[1], quantization=Quantization((1.0, 2.0), (0, 0)))),
        "'w' [3, 4] has 2 scales along axis 0",
    ),
    "scales along the wrong axis": (
        lambda g: _with_tensor(
            g, replace(g[1], quantization=Quantization((1.0, 2.0, 3.0), (0, 0, 0), axis=1))
        ),
        "'w' [3, 4] has 3 scales along axis 1",
    ),
    "scales along an axis that is not there": (
        lambda g: _with_tensor(
            g, replace(g[1], quantization=Quantization((1.0, 2.0, 3.0), (0, 0, 0), axis=2))
        ),
        "along axis 2",
    ),
    "a read before the write": (
        lambda g: g.with_ops((g.ops[1], g.ops[0])),
        "RELU 1: unknown [], read before write [2]",
    ),
    "a tensor nobody writes": (
        lambda g: g.with_ops(g.ops[1:]),
        "read before write [2]",
    ),
    "a tensor written twice": (
        lambda g: g.with_ops((*g.ops, replace(g.ops[1], index=2))),
        "written twice [3]",
    ),
    "a constant written": (
        lambda g: g.with_ops((*g.ops, Op(2, "RELU", (2,), (1,)))),
        "written twice [1]",
    ),
    "an input written": (
        lambda g: g.with_ops((*g.ops, Op(2, "RELU", (2,), (0,)))),
        "written twice [0]",
    ),
    "an operand that does not exist": (
        lambda g: g.with_ops((g.ops[0], replace(g.ops[1], inputs=(9,)))),
        "unknown [9]",
    ),
    "an output that is never written": (
        lambda g: replace(g, ops=g.ops[:1]),
        "output 3 is never written",
    ),
}


def test_a_sound_graph_passes_unchanged() -> None:
    graph = _sound()
    assert verify(graph, after="nothing") is graph


@pytest.mark.parametrize("name", list(BROKEN))
def test_each_malformation_is_caught(name: str) -> None:
    break_it, message = BROKEN[name]
    with pytest.raises(InternalError, match="malformed after the pass in question") as caught:
        verify(break_it(_sound()), after="the pass in question")
    assert caught.value.value is not None and message in caught.value.value


def test_many_problems_make_a_short_message() -> None:
    graph = _sound()
    ops = tuple(Op(i, "RELU", (9,), (3,)) for i in range(50))
    with pytest.raises(InternalError) as caught:
        verify(replace(graph, ops=ops), after="a pass")
    assert len(str(caught.value)) < 800
