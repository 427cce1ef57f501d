"""Planned programs run: generated C on the host against the reference, bit for bit."""

from __future__ import annotations

import pytest

from tests.ops.harness import check_models
from tests.plan.random_graphs import random_graph

GRAPHS_PER_PROGRAM = 10


@pytest.mark.parametrize("first", [0, 10, 20])
def test_random_graphs_equal_the_reference(first: int) -> None:
    seeds = range(first, first + GRAPHS_PER_PROGRAM)
    check_models({f"graph {seed}": random_graph(seed) for seed in seeds}, vectors=14)


def test_every_tensor_of_random_graphs_equals_the_reference() -> None:
    """All as outputs: nothing dies early, so that the plan is another one."""
    models = {f"graph {seed}": random_graph(seed, show_all=True) for seed in range(30, 38)}
    check_models(models, vectors=6)


def test_optimised_for_size() -> None:
    models = {f"graph {seed}": random_graph(seed) for seed in range(40, 46)}
    check_models(models, optimize="size", vectors=6)
