"""The order of layers: never worse than the graph's, and the best there is on small graphs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from exporter import ops, passes
from exporter.graph.ir import Graph
from exporter.graph.tflite_reader import read
from exporter.ops.base import Target
from exporter.plan.arrange import Models
from exporter.plan.lives import lives
from exporter.plan.schedule import Model, best_order
from exporter.plan.search import Kernels, Search
from exporter.plan.stages import single
from exporter.plan.views import views
from tests.plan.random_graphs import random_branches
from tests.plan.test_planner import Model as Builder

TARGET = Target(instruction_set="dsp")


def graph_of(seed: int, layer_count: int) -> Graph:
    return ops.check(passes.run(read(random_branches(seed, layer_count))))


def model_of(graph: Graph) -> Model:
    return Models(Kernels(graph, TARGET)).of(lives(views(graph)))


def orders(model: Model, done: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Every order in which each layer finds what it reads."""
    if len(done) == len(model.tasks):
        yield done
    for number, task in enumerate(model.tasks):
        if number not in done and not task.after & ~sum(1 << n for n in done):
            yield from orders(model, (*done, number))


def test_small_graphs_get_the_best_order_there_is() -> None:
    gained = compared = 0
    for seed in range(45):
        model = model_of(graph_of(seed, 4))
        if len(model.tasks) > 8:
            continue
        peaks = [model.peak(order) for order in orders(model)]
        order = best_order(model)
        assert sorted(order) == list(range(len(model.tasks)))
        assert model.peak(order) == min(peaks), f"seed {seed}"
        compared += len(peaks) > 1
        gained += min(peaks) < model.peak(range(len(model.tasks)))
    assert compared >= 20 and gained >= 2


@pytest.mark.parametrize("seed", range(8))
def test_the_model_is_what_single_layers_need(seed: int) -> None:
    graph = graph_of(seed, 12)
    offers = Kernels(graph, TARGET)
    plain = lives(views(graph))
    order = best_order(Models(offers).of(plain))
    alive = lives(views(graph), order)
    search = Search(alive, TARGET, offers)
    least = [
        min(
            single(alive, n, item).peak_bytes for item in (*search.offers[n], *search.row_offers[n])
        )
        for n in range(len(order))
    ]
    assert list(Models(offers).of(plain).needs(order)) == least


def test_the_graphs_order_stays_where_nothing_is_gained() -> None:
    kept = 0
    for model in (model_of(graph_of(seed, 12)) for seed in range(8)):
        given, order = range(len(model.tasks)), best_order(model)
        assert tuple(given) == order or model.peak(order) < model.peak(given)
        kept += tuple(given) == order
    assert kept


def test_steps_are_bounded() -> None:
    """Far too few for the exact search: the order is one of the beam's, or the graph's."""
    model = model_of(graph_of(5, 40))
    order = best_order(model, most_steps=10)
    assert sorted(order) == list(range(len(model.tasks)))
    assert model.peak(order) <= model.peak(range(len(model.tasks)))


def test_one_branch_after_another() -> None:
    """Three wide branches that end small, written layer by layer in the flatbuffer."""
    model = Builder((1, 4, 4, 4))
    wide = [model.conv(model.x, 32) for _ in range(3)]
    small = [model.conv(tensor, 1) for tensor in wide]
    program = model.plan(model.add(model.add(small[0], small[1]), small[2]))
    assert program.arena_bytes < 2 * 512
    assert [step.op_index for step in program.steps] != sorted(s.op_index for s in program.steps)
