"""fuse_pad: which paddings are taken over, and that not a single output changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from exporter.passes.fuse_pad import fuse_pad
from tests import random_layers as layers
from tests import random_shape_layers as shapes
from tests.ops.harness import check_models
from tests.passes.models import Model, kinds, rewritten


def test_the_convolution_takes_over_the_padding() -> None:
    model = Model()
    result = rewritten(fuse_pad, model.graph(model.conv(model.pad(model.x, 1, 2, 3, 4))))
    (op,) = result.ops
    assert op.inputs[0] == model.x and op.options["padding"] == "EXPLICIT"
    amounts = [op.options[f"pad_{side}"] for side in ("top", "bottom", "left", "right")]
    assert amounts == [1, 2, 3, 4]


def test_so_does_a_depthwise_convolution() -> None:
    model = Model()
    last = layers.depthwise_conv_2d(model, model.rng, model.pad(model.x), padding="VALID")
    assert kinds(rewritten(fuse_pad, model.graph(last))) == ["DEPTHWISE_CONV_2D"]


def test_all_consumers_take_it_over() -> None:
    model = Model()
    padded = model.pad(model.x)
    result = rewritten(fuse_pad, model.graph(model.conv(padded), model.conv(padded, (1, 1))))
    assert kinds(result) == ["CONV_2D", "CONV_2D"]
    assert all(op.inputs[0] == model.x for op in result.ops)


def test_of_two_paddings_in_a_row_the_last_is_fused() -> None:
    model = Model()
    last = model.conv(model.pad(model.pad(model.x), 0, 1, 0, 1))
    assert kinds(rewritten(fuse_pad, model.graph(last))) == ["PAD", "CONV_2D"]


def _not_fused(model: Model, *outputs: int) -> None:
    graph = model.graph(*outputs)
    assert kinds(rewritten(fuse_pad, graph)) == kinds(graph) and "PAD" in kinds(graph)


def test_not_where_the_padded_tensor_is_an_output() -> None:
    model = Model()
    padded = model.pad(model.x)
    _not_fused(model, model.conv(padded), padded)


def test_not_where_channels_or_batch_are_padded() -> None:
    for amounts in ([(0, 0), (1, 1), (1, 1), (0, 1)], [(1, 0), (1, 1), (1, 1), (0, 0)]):
        model = Model()
        padded = shapes.pad(model, model.rng, model.x, amounts)
        _not_fused(model, model.conv(padded))


def test_not_where_the_quantization_changes() -> None:
    model = Model()
    padded = model.pad(model.x)
    model.tensors[padded] = replace(model.tensors[padded], zero_points=(5,))
    _not_fused(model, model.conv(padded))


def test_not_where_a_consumer_is_something_else() -> None:
    model = Model()
    padded = model.pad(model.x)
    _not_fused(model, model.conv(padded), model.relu(padded))
    _not_fused(model, layers.pool_2d(model, model.rng, "MAX_POOL_2D", padded))


def test_not_where_the_consumer_pads_itself() -> None:
    model = Model()
    _not_fused(model, layers.conv_2d(model, model.rng, model.pad(model.x), 2, padding="SAME"))


def test_not_with_a_value_of_its_own() -> None:
    model = Model()
    amounts = [(0, 0), (1, 1), (1, 1), (0, 0)]
    padded = shapes.pad(model, model.rng, model.x, amounts, value=9)
    graph = model.graph(model.conv(padded))
    assert kinds(rewritten(fuse_pad, graph)) == ["PADV2", "CONV_2D"]


def test_not_where_the_amounts_are_computed() -> None:
    model = Model()
    padded = model.pad(model.x)
    amounts = model.ops[-1].inputs[1]
    model.tensors[amounts] = replace(model.tensors[amounts], data=None)
    graph = model.graph(model.conv(padded), inputs=(model.x, amounts))
    assert kinds(rewritten(fuse_pad, graph)) == ["PAD", "CONV_2D"]


@pytest.mark.parametrize("amounts", [(-1, 1, 0, 0), (0, 0, 1, -1)])
def test_not_where_an_amount_is_negative(amounts: tuple[int, ...]) -> None:
    """No padding in TFLite; it must meet the check of PAD."""
    model = Model()
    _not_fused(model, model.conv(model.pad(model.x, *amounts)))


def test_not_as_weights_or_twice() -> None:
    model = Model(shape=(4, 3, 3, 4))
    padded = model.pad(model.x, 0, 0, 0, 0)
    y = layers.like(model, model.tensors[model.x], "y", (4, 1, 1, 4))
    model.op("CONV_2D", [padded, padded], [y], padding="VALID")
    _not_fused(model, y)


@pytest.mark.parametrize("operands", [0, 1, 3])
def test_a_malformed_pad_is_left_to_the_check(operands: int) -> None:
    model = Model()
    padded = layers.like(model, model.tensors[model.x], "padded", (1, 8, 7, 3))
    model.op("PAD", [model.x] * operands, [padded])
    _not_fused(model, model.conv(padded))


def _random_model(seed: int) -> bytes:
    """PAD and one or two VALID convolutions of random geometry."""
    rng = np.random.default_rng([seed, 99])
    shape = (int(rng.choice([1, 1, 2])), *(int(n) for n in rng.integers(2, 9, 2)), 3)
    model = Model(seed, shape)
    padded = model.pad(model.x, *(int(n) for n in rng.integers(0, 4, 4)))
    outputs = []
    for _ in range(int(rng.integers(1, 3))):
        height, width = model.tensors[padded].shape[1:3]
        kernel = (int(rng.integers(1, min(height, 5) + 1)), int(rng.integers(1, min(width, 5) + 1)))
        stride = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        if rng.random() < 0.5:
            outputs.append(model.conv(padded, kernel, stride))
        else:
            outputs.append(
                layers.depthwise_conv_2d(
                    model, model.rng, padded, 1, kernel, stride, padding="VALID"
                )
            )
    graph = model.graph(*outputs)
    assert "PAD" not in kinds(fuse_pad(graph))
    return model.finish([model.x], outputs)


@pytest.mark.parametrize("first", [0, 20])
def test_numbers_are_kept(first: int) -> None:
    seeds = range(first, first + 20)
    check_models({f"seed {seed}": _random_model(seed) for seed in seeds})


def test_dilated_convolutions_keep_their_numbers() -> None:
    models = {}
    for seed in range(6):
        model = Model(seed)
        padded = model.pad(model.x, seed % 3, 2, 2, seed // 3)
        last = layers.conv_2d(model, model.rng, padded, 3, (3, 2), dilation=(2, 3), padding="VALID")
        models[f"seed {seed}"] = model.finish([model.x], [last])
    check_models(models)
