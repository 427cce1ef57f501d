"""remove_unused."""

from __future__ import annotations

from exporter.passes.remove_unused import remove_unused
from tests import random_layers as layers
from tests.passes.models import Model, kinds, rewritten


def test_operators_that_reach_no_output_go_with_their_tensors() -> None:
    model = Model()
    kept = model.relu(model.x)
    dead = model.conv(model.relu(kept))
    result = rewritten(remove_unused, model.graph(kept))
    assert kinds(result) == ["RELU"]
    assert set(result.tensors) == {model.x, kept} and dead not in result.tensors


def test_unsupported_operators_that_reach_no_output_do_not_matter() -> None:
    model = Model()
    model.op("HARD_SWISH", [model.x], [model.tensor("h", [1])])
    assert kinds(rewritten(remove_unused, model.graph(model.relu(model.x)))) == ["RELU"]


def test_inputs_stay() -> None:
    model = Model()
    other = layers.activation_tensor(model, model.rng, (1, 3), "unused")
    graph = model.graph(model.relu(model.x), inputs=(model.x, other))
    result = rewritten(remove_unused, graph)
    assert result.inputs == (model.x, other) and other in result.tensors


def test_outputs_that_are_read_further_on_keep_both() -> None:
    model = Model()
    first = model.relu(model.x)
    second = model.relu(first)
    assert len(rewritten(remove_unused, model.graph(first, second)).ops) == 2


def test_constants_of_kept_operators_stay() -> None:
    model = Model()
    graph = model.graph(model.conv(model.x))
    assert set(rewritten(remove_unused, graph).tensors) == set(graph.tensors)


def test_a_second_output_keeps_its_operator() -> None:
    model = Model()
    a, b = model.tensor("a", [1]), model.tensor("b", [1])
    model.op("CUSTOM", [model.x], [a, b], custom_code="split")
    result = rewritten(remove_unused, model.graph(b))
    assert kinds(result) == ["CUSTOM:split"] and {a, b} <= set(result.tensors)
