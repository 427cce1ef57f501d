"""Planned programs run: generated C on the host against the reference, bit for bit."""

from __future__ import annotations

import pytest

from exporter.errors import BadInput
from exporter.ops.base import InstructionSet, Target
from tests.ops.harness import check_models, compile_graph
from tests.plan.random_graphs import random_branches, random_graph, random_stack

GRAPHS_PER_PROGRAM = 10

ANY_TIME = 1000
"""Per cent: layers make their rows in turn wherever that saves memory."""


@pytest.mark.parametrize("first", [0, 10, 20])
def test_random_graphs_equal_the_reference(first: int) -> None:
    seeds = range(first, first + GRAPHS_PER_PROGRAM)
    check_models({f"graph {seed}": random_graph(seed) for seed in seeds}, vectors=14)


def test_every_tensor_of_random_graphs_equals_the_reference() -> None:
    """All as outputs: nothing dies early, so that the plan is another one."""
    models = {f"graph {seed}": random_graph(seed, show_all=True) for seed in range(30, 38)}
    check_models(models, vectors=6)


@pytest.mark.parametrize("instruction_set", ["generic", "dsp", "mve"])
def test_layers_that_make_their_rows_in_turn(instruction_set: InstructionSet) -> None:
    seeds = range(50, 80)
    models = {f"graph {seed}": random_graph(seed) for seed in seeds} | {
        f"stack {seed}": random_stack(seed) for seed in seeds
    }
    check_models(models, instruction_set=instruction_set, ram_for_time=ANY_TIME, vectors=4)


@pytest.mark.parametrize("ram_for_time", [0, ANY_TIME])
def test_an_input_given_by_rows(ram_for_time: float) -> None:
    models = {f"stack {seed}": random_stack(seed) for seed in range(100, 130)}
    models = {name: data for name, data in models.items() if takes_rows(data)}
    assert len(models) > 20
    check_models(
        models, instruction_set="dsp", ram_for_time=ram_for_time, input_by_rows=True, vectors=4
    )


def takes_rows(model: bytes) -> bool:
    """Whether its first layer makes its output row by row."""
    try:
        compile_graph(model, Target(instruction_set="dsp", input_by_rows=True))
    except BadInput:
        return False
    return True


@pytest.mark.parametrize("ram_for_time", [0, 5, ANY_TIME])
def test_branches_splits_and_concatenations(ram_for_time: float) -> None:
    models = {f"branches {seed}": random_branches(seed) for seed in range(14)}
    check_models(models, instruction_set="dsp", ram_for_time=ram_for_time, vectors=3)


def test_the_fastest_plans() -> None:
    models = {f"stack {seed}": random_stack(seed) for seed in range(80, 100)}
    check_models(models, instruction_set="dsp", ram_for_time=0, vectors=4)


def test_optimised_for_size() -> None:
    models = {f"graph {seed}": random_graph(seed) for seed in range(40, 46)}
    check_models(models, optimize="size", vectors=6)
