"""Pruning removes channels and nothing else, those that belong together, down to the budget."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest

from exporter.compress.data import Data, Samples
from exporter.compress.macs import count_macs
from exporter.compress.prune import chosen, pruned, scaled
from exporter.compress.settings import Pruning, Training
from exporter.compress.trace import Trace, trace_model
from exporter.compress.training import deterministic
from exporter.errors import BadInput
from tests.compress.conftest import NETWORKS, randomised


def inputs_of(model: Any, count: int = 4) -> Any:
    rng = np.random.default_rng(1)
    return rng.normal(0, 1, (count, *model.inputs[0].shape[1:])).astype(np.float32)


def some_kept(trace: Trace, seed: int = 0) -> Any:
    """A mask without a random half of the channels that may go; one of each group stays."""
    rng = np.random.default_rng(seed)
    kept = trace.all_kept.copy()
    for group in trace.groups:
        kept[rng.permutation(group.classes)[: len(group.classes) // 2]] = False
    return kept


def silence(trace: Trace, kept: Any) -> Any:
    """The whole model, with the weights by which removed channels contribute at zero."""
    twin = trace.smaller(trace.all_kept)
    for axis in trace_model(twin).axes():
        if not axis.makes:
            array = np.array(axis.weight)
            np.moveaxis(array, axis.axis, 0)[~kept[axis.ids]] = 0
            axis.weight.assign(array)
    return twin


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_smaller_model_is_the_old_one_without_those_contributions(
    networks: dict[str, Any], name: str, seed: int
) -> None:
    model = networks[name]
    trace = trace_model(model)
    kept = some_kept(trace, seed)
    smaller, x = trace.smaller(kept), inputs_of(model)
    expected = np.asarray(silence(trace, kept)(x))
    assert np.allclose(np.asarray(smaller(x)), expected, rtol=1e-5, atol=1e-5)
    assert not np.allclose(expected, np.asarray(model(x)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_are_really_gone(networks: dict[str, Any], name: str) -> None:
    trace = trace_model(networks[name])
    kept = some_kept(trace)
    smaller = trace.smaller(kept)
    assert smaller.count_params() < networks[name].count_params()
    assert count_macs(smaller) == trace.macs(kept) < count_macs(networks[name])


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("plain", {("first",): 8, ("second",): 12, ("third",): 16}),
        ("residual", {("branch", "stem"): 12, ("inner",): 8}),
        ("depthwise", {("stem",): 8, ("pointwise",): 8, ("separable",): 12}),
        ("concatenated", {("left", "whole"): 8, ("right", "whole"): 12, ("after",): 8}),
        ("reshaped", {("stem",): 8, ("separable",): 8}),
        ("shared", {("stem", "twice"): 8}),
    ],
)
def test_channels_that_are_tied_go_together(
    networks: dict[str, Any], name: str, groups: dict[tuple[str, ...], int]
) -> None:
    found = trace_model(networks[name]).groups
    assert {group.makers: len(group.classes) for group in found} == groups


def test_the_least_channels_go_by_fours_down_to_the_budget(networks: dict[str, Any]) -> None:
    trace = trace_model(networks["plain"])
    whole = trace.macs(trace.all_kept)
    scores = np.arange(len(trace.all_kept), dtype=np.float64)
    kept = chosen(trace, scores, int(0.5 * whole))
    assert trace.macs(kept) <= 0.5 * whole
    for group in trace.groups:
        left = kept[group.classes]
        assert left.sum() % 4 == 0 and left.sum() >= 4
        assert left.tolist() == sorted(left.tolist()), "a more important channel went first"


def test_what_comes_back_leaves_a_multiple_of_four(keras: Any) -> None:
    """Of ten channels six are to go, first two, then four: two alone do not come back."""
    x = keras.Input((4, 4, 4))
    y = keras.layers.Conv2D(10, 1, name="ten")(x)
    trace = trace_model(keras.Model(x, keras.layers.Conv2D(4, 1, name="last")(y)))
    whole = trace.macs(trace.all_kept)
    kept = chosen(trace, np.arange(len(trace.all_kept), dtype=np.float64), whole * 7 // 10)
    assert kept[trace.groups[0].classes].sum() == 4


def test_a_width_scales_every_group(networks: dict[str, Any]) -> None:
    student = scaled(networks["residual"], 0.5)
    widths = {name: student.get_layer(name).filters for name in ("stem", "branch", "inner")}
    assert widths == {"stem": 8, "branch": 8, "inner": 4}
    assert student.output_shape == networks["residual"].output_shape


def two_classes(shape: tuple[int, ...], count: int = 64) -> Data:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (count, *shape)).astype(np.float32)
    y = (x.mean(axis=tuple(range(1, x.ndim))) > 0).astype(np.int64)
    return Data(Samples(x[16:], y[16:]), Samples(x[:16], y[:16]))


@pytest.mark.parametrize("importance", ["taylor", "norm"])
def test_a_budget_is_kept_and_the_model_trained(networks: dict[str, Any], importance: Any) -> None:
    model = networks["residual"]
    before = [np.array(w) for w in model.weights]
    lines: list[str] = []
    settings, training = Pruning(0.6, 2, importance), Training(epochs=1, batch_size=16)
    result = pruned(model, two_classes((6, 6, 2)), settings, training, lines.append)
    assert count_macs(result) <= 0.6 * count_macs(model)
    assert len(lines) == 4 and lines[1].startswith("round 1 of 2") and "epoch 1 of 1" in lines[1]
    assert all(np.array_equal(w, old) for w, old in zip(model.weights, before, strict=True))


def test_the_same_seed_gives_the_same_weights(networks: dict[str, Any]) -> None:
    def weights(seed: int) -> Any:
        deterministic(seed)
        training = Training(epochs=1, batch_size=16, seed=seed)
        data = two_classes((8, 6, 3))
        model = pruned(networks["plain"], data, Pruning(0.7, 1), training, lambda _: None)
        return np.concatenate([np.array(w).ravel() for w in model.get_weights()])

    assert np.array_equal(weights(3), weights(3))


def test_channels_without_effect_matter_least(keras: Any) -> None:
    """`taylor` and `norm` both see a dead channel."""
    importance: Any = import_module("exporter.compress.importance")
    task: Any = import_module("exporter.compress.task")
    x = keras.Input((4, 4, 2))
    y = keras.layers.Conv2D(8, 3, name="conv")(x)
    y = keras.layers.BatchNormalization(name="normal")(y)
    y = keras.layers.Dense(2)(keras.layers.Flatten()(y))
    model = randomised(keras.Model(x, y))
    for variable in (model.get_layer("normal").gamma, model.get_layer("normal").beta):
        variable.assign(np.where(np.arange(8) == 5, 0.0, np.asarray(variable)))
    trace, data = trace_model(model), two_classes((4, 4, 2))
    for scores in (
        importance.norm(trace),
        importance.taylor(trace, data.train, task.task_of(model, data).loss),
    ):
        assert scores[trace.groups[0].classes].argmin() == 5


def test_frozen_channels_matter_as_much_as_others(keras: Any) -> None:
    importance: Any = import_module("exporter.compress.importance")
    task: Any = import_module("exporter.compress.task")
    model = randomised(NETWORKS["plain"](keras))
    trace, data = trace_model(model), two_classes(tuple(model.inputs[0].shape[1:]))
    loss = task.task_of(model, data).loss
    expected = importance.taylor(trace, data.train, loss)
    model.trainable = False
    assert np.allclose(importance.taylor(trace, data.train, loss), expected) and expected.any()


def test_an_unreachable_budget_says_what_can_be_reached(networks: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="cannot be pruned to 1") as caught:
        pruned(networks["residual"], two_classes((6, 6, 2)), Pruning(0.01), Training(), print)
    assert "% or more" in str(caught.value.allowed)


# --- models that cannot be followed --------------------------------------------------------------


def unknown_layer(k: Any) -> Any:
    x = k.Input((6, 3))
    return k.Model(x, k.layers.LSTM(4, name="memory")(x))


def grouped(k: Any) -> Any:
    x = k.Input((6, 6, 4))
    return k.Model(x, k.layers.Conv2D(8, 3, groups=2, name="halves")(x))


def operation(k: Any) -> Any:
    x = k.Input((6,))
    return k.Model(x, k.ops.add(k.layers.Dense(6)(x), x))


def nested(k: Any) -> Any:
    x = k.Input((6,))
    return k.Model(x, k.Sequential([k.layers.Dense(6)], name="inside")(x))


def broadcast(k: Any) -> Any:
    x = k.Input((6, 6, 4))
    return k.Model(x, k.layers.Multiply(name="mask")([x, k.layers.Conv2D(1, 1)(x)]))


def first_axis(k: Any) -> Any:
    x = k.Input((6, 4))
    return k.Model(x, k.layers.BatchNormalization(axis=1, name="rows")(x))


def other_layout(k: Any) -> Any:
    x = k.Input((4, 6, 6))
    return k.Model(x, k.layers.ZeroPadding2D(1, data_format="channels_first", name="border")(x))


@pytest.mark.parametrize(
    ("build", "name", "value"),
    [
        (unknown_layer, "memory", "LSTM"),
        (grouped, "halves", "groups 2"),
        (operation, "add", "Add"),
        (nested, "inside", "Sequential"),
        (broadcast, "mask", "4, 1 channels"),
        (first_axis, "rows", "axis 1"),
        (other_layout, "border", "8 channels instead of 6"),
    ],
)
def test_what_cannot_be_followed_is_named(keras: Any, build: Any, name: str, value: str) -> None:
    with pytest.raises(BadInput) as caught:
        trace_model(build(keras))
    assert f"'{name}" in caught.value.what and value in str(caught.value.value)
    assert caught.value.allowed and caught.value.next_step


def test_a_subclassed_model_is_refused(keras: Any) -> None:
    model = type("Own", (keras.Model,), {"call": lambda self, x: x})()
    with pytest.raises(BadInput, match="cannot be followed"):
        trace_model(model)
