"""Planned programs run: generated C on the host against the reference, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.errors import BadInput
from exporter.ops.base import InstructionSet, Target
from tests.ops.harness import check_models, compile_graph
from tests.plan.random_graphs import random_branches, random_graph, random_joins, random_stack

GRAPHS_PER_PROGRAM = 10

ANY_TIME = 1000
"""Per cent: layers make their rows in turn wherever that saves memory."""


def long(*values: object) -> Any:
    """Seeds that `make test` leaves to `make test-long`."""
    return pytest.param(*values, marks=pytest.mark.long)


@pytest.mark.parametrize("first", [0, 10, 20])
def test_random_graphs_equal_the_reference(first: int) -> None:
    seeds = range(first, first + GRAPHS_PER_PROGRAM)
    check_models({f"graph {seed}": random_graph(seed) for seed in seeds}, vectors=14)


def test_every_tensor_of_random_graphs_equals_the_reference() -> None:
    """All as outputs: nothing dies early, so that the plan is another one."""
    models = {f"graph {seed}": random_graph(seed, show_all=True) for seed in range(30, 38)}
    check_models(models, vectors=6)


@pytest.mark.parametrize(
    ("instruction_set", "seeds"),
    [
        ("generic", range(50, 60)),
        ("dsp", range(50, 80)),
        ("mve", range(60, 70)),
        long("generic", range(60, 80)),
        long("mve", range(50, 60)),
        long("mve", range(70, 80)),
    ],
)
def test_layers_that_make_their_rows_in_turn(instruction_set: InstructionSet, seeds: range) -> None:
    models = {f"graph {seed}": random_graph(seed) for seed in seeds} | {
        f"stack {seed}": random_stack(seed) for seed in seeds
    }
    check_models(models, instruction_set=instruction_set, ram_for_time=ANY_TIME, vectors=4)


@pytest.mark.parametrize(
    ("ram_for_time", "seeds"),
    [(0, range(100, 115)), (ANY_TIME, range(100, 130)), long(0, range(115, 130))],
)
def test_an_input_given_by_rows(ram_for_time: float, seeds: range) -> None:
    models = {f"stack {seed}": random_stack(seed) for seed in seeds}
    models = {name: data for name, data in models.items() if takes_rows(data)}
    assert len(models) > len(seeds) * 2 / 3
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


@pytest.mark.parametrize(
    ("ram_for_time", "seeds"),
    [(0, range(5)), (5, range(5, 10)), (ANY_TIME, range(14)),
     long(0, range(5, 14)), long(5, range(5)), long(5, range(10, 14))],
)  # fmt: skip
def test_branches_splits_and_concatenations(ram_for_time: float, seeds: range) -> None:
    models = {f"branches {seed}": random_branches(seed) for seed in seeds}
    check_models(models, instruction_set="dsp", ram_for_time=ram_for_time, vectors=3)


@pytest.mark.parametrize("ram_for_time", [0, 5])
def test_parts_of_padded_and_joined_images(ram_for_time: float) -> None:
    models = {f"joins {seed}": random_joins(seed) for seed in range(30)}
    check_models(models, instruction_set="dsp", ram_for_time=ram_for_time, vectors=3)


def test_the_fastest_plans() -> None:
    models = {f"stack {seed}": random_stack(seed) for seed in range(80, 100)}
    check_models(models, instruction_set="dsp", ram_for_time=0, vectors=4)


def test_optimised_for_size() -> None:
    models = {f"graph {seed}": random_graph(seed) for seed in range(40, 46)}
    check_models(models, optimize="size", vectors=6)
