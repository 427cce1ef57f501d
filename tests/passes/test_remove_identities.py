"""remove_identities."""

from __future__ import annotations

from dataclasses import replace

from exporter.passes.remove_identities import remove_identities
from tests import random_layers as layers
from tests import random_shape_layers as shapes
from tests.ops.harness import check_models
from tests.passes.models import Model, kinds, rewritten


def test_a_reshape_to_the_same_shape_goes() -> None:
    model = Model()
    last = model.relu(model.same(model.relu(model.x)))
    result = rewritten(remove_identities, model.graph(last))
    assert kinds(result) == ["RELU", "RELU"]
    assert result.ops[1].inputs == result.ops[0].outputs and result.ops[1].outputs == (last,)


def test_chains_go_as_a_whole() -> None:
    model = Model()
    last = model.relu(model.same(model.same(model.same(model.x))))
    result = rewritten(remove_identities, model.graph(last))
    assert kinds(result) == ["RELU"] and result.ops[0].inputs == (model.x,)


def test_all_readers_are_rewired() -> None:
    model = Model()
    same = model.same(model.x)
    last = layers.binary(model, model.rng, "ADD", same, same)
    result = rewritten(remove_identities, model.graph(last, model.relu(same)))
    assert [op.inputs for op in result.ops] == [(model.x, model.x), (model.x,)]


def test_quantize_to_the_same_quantization_goes() -> None:
    model = Model()
    same = layers.like(model, model.tensors[model.x], "same", model.tensors[model.x].shape)
    model.op("QUANTIZE", [model.x], [same])
    assert kinds(rewritten(remove_identities, model.graph(model.relu(same)))) == ["RELU"]


def test_what_changes_something_stays() -> None:
    model = Model()
    flat = shapes.reshape(model, model.rng, model.x, (1, 90))
    other = shapes.quantize(model, model.rng, flat)
    result = rewritten(remove_identities, model.graph(model.relu(other)))
    assert kinds(result) == ["RESHAPE", "QUANTIZE", "RELU"]


def test_a_reshape_that_changes_the_quantization_stays() -> None:
    model = Model()
    other = model.tensor("other", model.tensors[model.x].shape, scale=0.5)
    model.op("RESHAPE", [model.x], [other])
    assert kinds(rewritten(remove_identities, model.graph(model.relu(other)))) == [
        "RESHAPE",
        "RELU",
    ]


def test_outputs_keep_their_operator() -> None:
    model = Model()
    same = model.same(model.x)
    result = rewritten(remove_identities, model.graph(same, model.relu(same)))
    assert kinds(result) == ["RESHAPE", "RELU"] and same in result.outputs


def test_left_out_inputs_stay_left_out() -> None:
    model = Model(shape=(1, 4))
    dense = layers.fully_connected(model, model.rng, model.same(model.x), 2, bias=False)
    model.ops[-1] = replace(model.ops[-1], inputs=(*model.ops[-1].inputs, -1))
    result = rewritten(remove_identities, model.graph(dense))
    assert result.ops[0].inputs[0] == model.x and result.ops[0].inputs[2] is None


def test_an_identity_without_an_input_is_left_to_the_check() -> None:
    model = Model()
    broken = layers.like(model, model.tensors[model.x], "broken", (1, 6, 5, 3))
    model.op("RESHAPE", [], [broken])
    other = layers.like(model, model.tensors[model.x], "other", (1, 6, 5, 3))
    model.op("QUANTIZE", [-1], [other])
    last = layers.binary(model, model.rng, "ADD", broken, other)
    result = rewritten(remove_identities, model.graph(last))
    assert kinds(result) == ["RESHAPE", "QUANTIZE", "ADD"]


def test_numbers_are_kept() -> None:
    models = {}
    for seed in range(4):
        model = Model(seed)
        same = model.same(model.same(model.x))
        total = layers.binary(model, model.rng, "ADD", model.same(model.relu(same)), same)
        outputs = [model.same(total), model.relu(model.same(total)), same]
        models[f"seed {seed}"] = model.finish([model.x], outputs)
    check_models(models)
