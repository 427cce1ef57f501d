"""The generic kernels over micro-kernels in Thumb-2 assembly: who is offered them."""

from __future__ import annotations

from exporter.ops.base import Target
from tests.ops.harness import compile_graph
from tests.ops.variants import offered
from tests.random_models import random_model


def kernels_of(kind: str, target: Target) -> list[str]:
    graph, _ = compile_graph(random_model(kind, 0), target)
    return [candidate.kernel.removeprefix("generic/") for candidate in offered(graph, target)]


def test_dense_layers_only_where_the_core_runs_thumb2() -> None:
    assert kernels_of("FULLY_CONNECTED", Target()) == ["fully_connected"]
    assert kernels_of("FULLY_CONNECTED", Target(registers=31)) == ["fully_connected"]
    assert kernels_of("FULLY_CONNECTED", Target(thumb2=True)) == [
        "fully_connected",
        "fully_connected_tiles",
    ]


def test_convolutions_also_where_registers_are_many() -> None:
    """The micro-kernel's C is what they run."""
    assert kernels_of("CONV_2D", Target()) == ["conv_2d"]
    for target in (Target(registers=31), Target(thumb2=True)):
        assert kernels_of("CONV_2D", target) == ["conv_2d", "conv_2d_tiles"]
