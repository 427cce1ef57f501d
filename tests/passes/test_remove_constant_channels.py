"""remove_constant_channels: which channels go, which must stay, and that no output changes."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest

from exporter import ops, passes
from exporter.board import load_board
from exporter.build.firmware import Settings, compile_for
from exporter.graph.dump import dump
from exporter.graph.ir import Graph
from exporter.graph.tflite_reader import read
from exporter.ops.base import Dialect
from exporter.passes.remove_constant_channels import remove_constant_channels
from tests import random_layers as layers
from tests import random_shape_layers as shapes
from tests.benchmarks.measure import SHARED_MODELS, model_path
from tests.flatbuffer_builder import Array
from tests.ops.harness import check_models
from tests.passes.dying_models import Dying, random_dying_model
from tests.passes.models import rewritten

NAME = remove_constant_channels.__name__
MODULE = importlib.import_module(remove_constant_channels.__module__)
"""The package's attribute of this name is the function."""

SEEDS = 30


@pytest.fixture
def all_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """No channel is kept for the sake of a round count."""
    monkeypatch.setattr(MODULE, "CHANNEL_MULTIPLE", 1)


def _shrunk(model: Dying, *outputs: int, dialect: Dialect = "litert") -> Graph:
    """The graph after the pass alone; the compiled model equals the oracle."""
    check_models({"model": model.finish([model.x], outputs)}, dialect=dialect)
    return rewritten(remove_constant_channels, model.graph(*outputs))


def _channels(graph: Graph, *tensors: int) -> list[int]:
    return [graph[tensor].shape[-1] for tensor in tensors]


def _weights(graph: Graph, op: int) -> Array:
    return graph[graph.ops[op].input(1)].constant


# --- what goes -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("all_that_can")
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_constant_channel_goes_into_the_bias_of_its_reader(sign: int) -> None:
    model = Dying()
    hidden = model.dying(model.x, 0, 2, 7, sign=sign)
    last = model.reader(hidden, 3)
    before, result = model.graph(last), _shrunk(model, last)
    assert _channels(result, hidden) == [5]
    assert _weights(result, 0).shape == (5, 1, 1, 3) and _weights(result, 1).shape == (3, 3, 3, 5)
    assert (_weights(result, 0) == _weights(before, 0)[[1, 3, 4, 5, 6]]).all()
    scales = [result[op.input(1)].quantization for op in result.ops]
    assert scales[0] is not None and len(scales[0].scales) == 5
    biases = [graph[graph.ops[1].input(2)].constant.astype(int) for graph in (before, result)]
    folded = _weights(before, 1)[..., [0, 2, 7]].astype(int).sum(axis=(1, 2, 3))
    assert (biases[1] - biases[0] == folded * (0 if sign < 0 else 255)).all()


@pytest.mark.usefixtures("all_that_can")
def test_in_both_dialects() -> None:
    model = Dying()
    hidden = model.dying(model.x, 1, sign=1)
    assert _channels(_shrunk(model, model.reader(hidden), dialect="tflite"), hidden) == [7]


@pytest.mark.usefixtures("all_that_can")
def test_it_goes_through_depthwise_pooling_and_views() -> None:
    model = Dying()
    first = model.dying(model.x, 2, 3, filters=6)
    second = model.depthwise(first)
    pool = layers.pool_2d(model, model.rng, "AVERAGE_POOL_2D", second)
    other = layers.pool_2d(model, model.rng, "MAX_POOL_2D", pool, (1, 1), (1, 1))
    relu = model.relu(other)
    view = shapes.reshape(model, model.rng, relu, (1, 2, 3, 6))
    mean = shapes.mean(model, model.rng, view)
    result = _shrunk(model, model.dense(mean))
    counts = set(_channels(result, first, second, pool, other, relu, view, mean))
    assert len(counts) == 1 and max(counts) <= 4, "the rectifiers may have ended more of them"


@pytest.mark.usefixtures("all_that_can")
def test_a_rectifier_of_its_own_makes_channels_constant() -> None:
    model = Dying()
    convolved = model.made(layers.conv_2d(model, model.rng, model.x, 4, (1, 1)), (), zero=127)
    relu = model.relu(convolved)  # at a zero point of 127, nothing lies above
    last = model.reader(relu)
    assert _channels(_shrunk(model, last), convolved, relu) == [1, 1]


@pytest.mark.usefixtures("all_that_can")
def test_a_channel_that_only_constants_read_goes() -> None:
    """The depthwise channels die; what they read is alive, and of no use."""
    model = Dying()
    first = model.dying(model.x)
    second = model.depthwise(first, 0, 5, 6)
    result = _shrunk(model, model.reader(second))
    assert _channels(result, first, second) == [5, 5]
    assert _weights(result, 1).shape == (1, 3, 3, 5)


@pytest.mark.usefixtures("all_that_can")
def test_a_channel_whose_weights_are_zero_goes() -> None:
    model = Dying()
    hidden = model.dying(model.x)
    last = model.reader(hidden)
    weights = model.ops[-1].inputs[1]
    values = model.values(weights, np.int8)
    values[..., 4] = 0
    model.set(weights, values)
    assert _channels(_shrunk(model, last), hidden) == [7]


@pytest.mark.usefixtures("all_that_can")
def test_with_a_depth_multiplier_all_outputs_of_an_input_go_or_none() -> None:
    model = Dying()
    first = model.dying(model.x, filters=4)
    second = model.depthwise(first, 0, 1, 3, multiplier=2)
    result = _shrunk(model, model.reader(second))
    assert _channels(result, first, second) == [3, 6]
    assert not _weights(result, 1)[..., 1].any(), "channel 3 stays beside 2, with nothing to do"


@pytest.mark.usefixtures("all_that_can")
@pytest.mark.parametrize("as_view", [True, False])
def test_flattened_channels_repeat(as_view: bool) -> None:
    model = Dying()
    image = model.dying(model.x, 0, 5, filters=6, sign=1)
    size = 6 * 5 * 6
    flat = shapes.reshape(model, model.rng, image, (1, size))
    last = model.dense(flat)
    if not as_view:  # the reader flattens by itself
        dense = model.ops.pop()
        model.ops[-1] = replace(dense, inputs=(image, *dense.inputs[1:]))
    result = _shrunk(model, last)
    assert _channels(result, image) == [4]
    assert result[result.ops[-1].input(1)].shape == (3, 6 * 5 * 4)


@pytest.mark.usefixtures("all_that_can")
@pytest.mark.parametrize("per_channel", [True, False])
def test_hidden_units_go(per_channel: bool) -> None:
    model = Dying(shape=(2, 9))
    hidden = model.dense(model.x, 7, "RELU", per_channel)
    model.made(hidden, (0, 1, 2, 3, 4, 5), zero=-100)
    last = model.dense(hidden)
    # A single scale would be taken as per tensor, whose multiplier is rounded differently.
    assert _channels(_shrunk(model, last), hidden) == [2 if per_channel else 1]


@pytest.mark.usefixtures("all_that_can")
def test_a_reader_without_a_bias_gets_one() -> None:
    model = Dying(shape=(1, 5))
    hidden = model.made(model.dense(model.x, 4), (1,), sign=1)
    result = _shrunk(model, model.dense(hidden, bias=False))
    assert len(result.ops[1].inputs) == 3 and result[result.ops[1].input(2)].dtype == "int32"


@pytest.mark.usefixtures("all_that_can")
@pytest.mark.parametrize("value", [None, 9])
def test_a_border_of_the_same_value_keeps_a_constant(value: int | None) -> None:
    """PAD fills with the zero point. PADV2 with another value: the channel is constant no more."""
    model = Dying()
    hidden = model.dying(model.x, 4)
    amounts = [(0, 0), (1, 1), (0, 2), (0, 0)]
    padded = shapes.pad(model, model.rng, hidden, amounts, value=value)
    result = _shrunk(model, model.reader(padded))
    assert _channels(result, hidden, padded) == ([7, 7] if value is None else [8, 8])


@pytest.mark.usefixtures("all_that_can")
def test_where_everything_is_constant_one_channel_remains() -> None:
    model = Dying()
    hidden = model.dying(model.x, *range(8), sign=1)
    result = _shrunk(model, model.reader(hidden))
    assert _channels(result, hidden) == [1] and not _weights(result, 0).any()


# --- borders -------------------------------------------------------------------------------------


def _bordered(zero: int) -> tuple[Dying, int, int]:
    """A dead channel at -128 before a convolution with a border: model, hidden tensor, output."""
    model = Dying()
    y = layers.conv_2d(model, model.rng, model.x, 4, (1, 1))
    hidden = model.made(y, (2,), -1, zero)
    return model, hidden, model.reader(hidden, 3, "SAME")


@pytest.mark.usefixtures("all_that_can")
def test_the_zero_point_goes_under_a_border() -> None:
    model, hidden, last = _bordered(-128)
    assert _channels(_shrunk(model, last), hidden) == [3]


@pytest.mark.usefixtures("all_that_can")
def test_any_other_constant_stays_under_a_border() -> None:
    model, hidden, last = _bordered(-127)
    result = _shrunk(model, last)
    assert _channels(result, hidden) == [4]
    assert not _weights(result, 0)[2].any(), "it needs no weights to be constant"
    assert _weights(result, 1)[..., 2].any()


@pytest.mark.usefixtures("all_that_can")
def test_without_that_rule_outputs_change(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _, last = _bordered(-127)
    monkeypatch.setattr(MODULE, "_has_border", lambda *_: False)
    with pytest.raises(AssertionError, match="1 of 1 models differ"):
        _shrunk(model, last)


@pytest.mark.usefixtures("all_that_can")
def test_without_the_fold_outputs_change(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Dying()
    last = model.reader(model.dying(model.x, 1, sign=1))
    monkeypatch.setattr(
        MODULE, "_offsets", lambda analysis, source: np.zeros(source.shape[-1], np.int64)
    )
    with pytest.raises(AssertionError, match=r"1 of 1 models differ|too narrow"):
        _shrunk(model, last)


@pytest.mark.usefixtures("all_that_can")
def test_a_depthwise_convolution_may_end_what_its_border_differs_in() -> None:
    """The first layer's constant is not the zero point; the second layer's is proven all the same.

    Its other input channels are constant inside and differ along the border: they stay.
    """
    model = Dying()
    first = model.dying(model.x, 0, 1, 2, sign=1)
    second = model.depthwise(first, 1)
    result = _shrunk(model, model.reader(second, 3, "SAME"))
    bounds = ops.tensor_intervals(model.graph(second))[second]
    assert (bounds.low == bounds.high).tolist()[:2] == [False, True]
    assert _channels(result, first, second) == [8 - int((bounds.low == bounds.high).sum())] * 2


@pytest.mark.usefixtures("all_that_can")
def test_a_fused_pad_is_a_border() -> None:
    for zero, remaining in ((-128, 3), (-127, 4)):
        model = Dying()
        y = layers.conv_2d(model, model.rng, model.x, 4, (1, 1))
        hidden = model.made(y, (2,), -1, zero)
        last = model.reader(model.pad(hidden), 3)
        check_models({"model": model.finish([model.x], [last])}, dialect="litert")
        result = passes.run(model.graph(last))
        assert len(result.ops) == 2 and _channels(result, hidden) == [remaining]


# --- what stays ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("all_that_can")
def test_only_where_all_readers_can_do_without() -> None:
    for second, remaining in (("VALID", 7), ("SAME", 8)):
        model = Dying()
        hidden = model.dying(model.x, 3, sign=1)
        outputs = [model.reader(hidden), model.reader(hidden, 3, second)]
        assert _channels(_shrunk(model, *outputs), hidden) == [remaining]


@pytest.mark.usefixtures("all_that_can")
def test_what_is_added_or_joined_stays() -> None:
    model = Dying()
    left, right = model.dying(model.x, 3), model.dying(model.x, 3)
    inner = model.dying(left, 0, 1)
    total = layers.binary(model, model.rng, "ADD", model.dying(inner, 3), right)
    joined = shapes.concatenation(model, model.rng, [total, left], 3)
    result = _shrunk(model, model.reader(joined))
    assert _channels(result, left, right, total, joined) == [8, 8, 8, 16]
    assert _channels(result, inner)[0] <= 6


@pytest.mark.usefixtures("all_that_can")
def test_inputs_and_outputs_stay_as_they_are() -> None:
    model = Dying()
    hidden = model.dying(model.x, 3)
    graph = model.graph(model.reader(hidden), hidden)
    assert dump(rewritten(remove_constant_channels, graph)) == dump(graph)
    assert _channels(_shrunk(model, model.depthwise(model.x, 0, 1)), model.x) == [3]


@pytest.mark.usefixtures("all_that_can")
def test_not_across_views_that_mix_channels() -> None:
    model = Dying()
    hidden = model.dying(model.x, 0, 7)
    graph = model.graph(model.reader(shapes.reshape(model, model.rng, hidden, (1, 6, 8, 5))))
    assert dump(rewritten(remove_constant_channels, graph)) == dump(graph)


@pytest.mark.usefixtures("all_that_can")
def test_constants_that_others_read_stay_whole() -> None:
    """Two convolutions of the same weights and bias, of which one loses input channels."""
    model = Dying()
    hidden, other = model.dying(model.x, 1), model.dying(model.x)
    model.tensors[other] = replace(model.tensors[hidden], name="other")
    outputs = [model.reader(hidden), model.reader(other)]
    first, second = model.ops[-2:]
    model.ops[-1] = replace(second, inputs=(other, *first.inputs[1:]))
    model.tensors[outputs[1]] = replace(model.tensors[outputs[0]], name="second")
    result = _shrunk(model, *outputs)
    assert _channels(result, hidden, other) == [7, 8]
    assert [_weights(result, op).shape[-1] for op in (2, 3)] == [7, 8]


def _one_reader(bias: int) -> tuple[Dying, int, int]:
    """A channel at 255 above its zero point, read with positive weights and `bias`."""
    model = Dying(shape=(1, 2, 2, 2))
    hidden = model.dying(model.x, 0, sign=1, filters=2)
    last = layers.conv_2d(model, model.rng, hidden, 1, (1, 1))
    model.set(model.ops[-1].inputs[1], np.array([100, 1], np.int8))
    model.set(model.ops[-1].inputs[2], np.array([bias], np.int32))
    return model, hidden, last


@pytest.mark.usefixtures("all_that_can")
@pytest.mark.parametrize(("room", "remaining"), [(60_000, 1), (20_000, 2)])
def test_a_fold_that_could_leave_int32_is_not_made(room: int, remaining: int) -> None:
    model, hidden, last = _one_reader(-(2**31) + room)
    assert _channels(_shrunk(model, last), hidden) == [remaining]


@pytest.mark.usefixtures("all_that_can")
def test_a_graph_that_could_overflow_is_left_to_be_refused() -> None:
    model, _, last = _one_reader(2**31 - 100)
    graph = model.graph(last)
    assert dump(rewritten(remove_constant_channels, graph)) == dump(graph)


def test_a_graph_that_cannot_be_compiled_is_left_to_the_check() -> None:
    model = Dying()
    hidden = model.dying(model.x, 3)
    model.op("HARD_SWISH", [model.reader(hidden)], [last := model.tensor("h", (1, 6, 5, 3))])
    graph = model.graph(last)
    assert dump(rewritten(remove_constant_channels, graph)) == dump(graph)


# --- round counts, typical scales ----------------------------------------------------------------


@pytest.mark.parametrize(("filters", "dead", "remaining"), [(8, 3, 8), (8, 4, 4), (8, 8, 4),
                                                            (10, 3, 7), (16, 9, 8)])  # fmt: skip
def test_a_multiple_of_four_stays_one(filters: int, dead: int, remaining: int) -> None:
    model = Dying()
    hidden = model.dying(model.x, *range(dead), filters=filters)
    assert _channels(_shrunk(model, model.reader(hidden)), hidden) == [remaining]


def test_an_idle_channel_has_a_typical_scale() -> None:
    """A dead filter's own scale would decide how its layer is requantised."""
    model = Dying()
    hidden = model.dying(model.x, 5, sign=1)
    weights = model.ops[-1].inputs[1]
    scales = list(model.tensors[weights].scales)
    scales[5] = max(scales) * 1e-3
    model.tensors[weights] = replace(model.tensors[weights], scales=tuple(scales))
    bias = model.ops[-1].inputs[2]
    values = model.values(bias, np.int32)
    values[5] = 2**30
    model.set(bias, values)
    result = _shrunk(model, model.reader(hidden, 3, "SAME"))
    assert _channels(result, hidden) == [8]
    found = result[result.ops[0].input(1)].quantization
    assert found is not None and found.scales[5] in np.delete(scales, 5).astype(np.float32)
    assert abs(int(result[result.ops[0].input(2)].constant[5])) < 2**24


# --- whole models --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "dialect"),
    [
        (0, "tflite"),
        (15, "litert"),
        pytest.param(0, "litert", marks=pytest.mark.long),
        pytest.param(15, "tflite", marks=pytest.mark.long),
    ],
)
def test_numbers_are_kept(first: int, dialect: Dialect) -> None:
    models = {f"seed {seed}": random_dying_model(seed) for seed in range(first, first + 15)}
    check_models(models, dialect=dialect, vectors=16)


@pytest.mark.parametrize("multiple", [1, 4])
def test_models_shrink_once_and_prove_as_much(
    multiple: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODULE, "CHANNEL_MULTIPLE", multiple)
    smaller = 0
    for seed in range(SEEDS):
        graph = passes.run(read(random_dying_model(seed)), without=[NAME])
        once = rewritten(remove_constant_channels, graph)
        smaller += ops.macs(once) < ops.macs(graph)
        assert dump(rewritten(remove_constant_channels, once)) == dump(once)
        before, after = ops.tensor_intervals(graph), ops.tensor_intervals(once)
        for op in once.ops:
            wide, tight = before[op.outputs[0]].whole(), after[op.outputs[0]].whole()
            assert wide[0] <= tight[0] and tight[1] <= wide[1]
    assert smaller > SEEDS * 3 // 5, "the models no longer test what they should"


@pytest.mark.skipif(not SHARED_MODELS.is_dir(), reason="needs ../shared/models")
class TestVisualWakeWords:
    """The one benchmark model with dead filters: 1,650 of 2,736 channels are constant."""

    MODEL = model_path("vww_96_int8")

    def graph(self, *without: str) -> Graph:
        return passes.run(read(self.MODEL.read_bytes()), without=without)

    @pytest.mark.usefixtures("all_that_can")
    def test_what_remains(self) -> None:
        assert ops.macs(self.graph(NAME)) == 7_489_664
        assert ops.macs(self.graph()) == 3_727_313
        assert _size(self.graph()) == (1012, 29_066)

    def test_what_remains_in_fours(self) -> None:
        assert ops.macs(self.graph()) == 3_766_476
        assert _size(self.graph()) == (1040, 30_340)

    def test_its_figures_without_the_pass(self) -> None:
        board = load_board("mps2-an386")
        plain = compile_for(self.MODEL, board, Settings(without_passes=(NAME,))).program
        program = compile_for(self.MODEL, board, Settings()).program
        assert (plain.macs, program.macs) == (7_489_664, 3_766_476)
        assert program.weights_bytes < plain.weights_bytes / 4

    @pytest.mark.parametrize("dialect", ["tflite", "litert"])
    def test_numbers_are_kept(self, dialect: Dialect) -> None:
        check_models({"vww": self.MODEL.read_bytes()}, dialect=dialect, build="gcc", vectors=16)


def _size(graph: Graph) -> tuple[int, int]:
    """Channels of all convolutions, and weights."""
    weighted = [op for op in graph.ops if op.kind in MODULE.WEIGHTED]
    channels = [graph[op.outputs[0]].shape[-1] for op in weighted if op.kind != "FULLY_CONNECTED"]
    return sum(channels), sum(graph[op.input(1)].elements for op in weighted)
