"""Whole random models: one operator each, drawn from a seed, for every operator we support.

    model_bytes = random_model("CONV_2D", seed=7)

The same operator and seed always give the same bytes. Odd seeds are of the "extreme" style.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests import random_layers as layers
from tests import random_shape_layers as more
from tests.flatbuffer_builder import ModelBuilder
from tests.random_layers import Pair, Rng, Style

ACTIVATIONS = ["NONE", "RELU", "RELU6", "RELU_N1_TO_1"]

# Makes a model's only layer from (builder, rng, style); returns (inputs, outputs).
Recipe = Callable[[ModelBuilder, Rng, Style], tuple[list[int], list[int]]]


def random_model(operator: str, seed: int) -> bytes:
    """A model of one `operator` (a key of `RECIPES`) with random shape, options and constants."""
    rng = np.random.default_rng([seed, sum(operator.encode())])
    style: Style = "extreme" if seed % 2 else "realistic"
    builder = ModelBuilder(f"{operator} seed {seed}")
    inputs, outputs = RECIPES[operator](builder, rng, style)
    return builder.finish(inputs, outputs)


def _image(builder: ModelBuilder, rng: Rng, style: Style, smallest: Pair = (1, 1)) -> int:
    h, w = (max(int(rng.integers(1, 12)), s) for s in smallest)
    n = int(rng.choice([1, 1, 1, 2]))
    return layers.activation_tensor(builder, rng, (n, h, w, int(rng.integers(1, 11))), "x", style)


def _window(rng: Rng, largest: int = 5) -> tuple[Pair, Pair, Pair]:
    """Kernel, stride and dilation (one of the latter two is 1, as converters write it)."""
    kernel, stride = _pair(rng, largest), _pair(rng, 3)
    dilation = _pair(rng, 3) if rng.random() < 0.3 else (1, 1)
    return kernel, (1, 1) if dilation != (1, 1) else stride, dilation


def _pair(rng: Rng, largest: int) -> Pair:
    a, b = rng.integers(1, largest + 1, 2)
    return int(a), int(b)


def _extent(kernel: Pair, dilation: Pair) -> Pair:
    return (kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1


def _choice(rng: Rng, options: list[str]) -> str:
    return str(rng.choice(options))


def _conv_2d(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    kernel, stride, dilation = _window(rng)
    x = _image(b, rng, style, _extent(kernel, dilation))
    y = layers.conv_2d(
        b,
        rng,
        x,
        int(rng.integers(1, 20)),
        kernel,
        stride,
        dilation,
        _choice(rng, ["SAME", "VALID"]),
        _choice(rng, ACTIVATIONS),
        per_channel=bool(rng.random() < 0.8),
        style=style,
    )
    return [x], [y]


def _depthwise_conv_2d(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    kernel, stride, dilation = _window(rng)
    x = _image(b, rng, style, _extent(kernel, dilation))
    y = layers.depthwise_conv_2d(
        b,
        rng,
        x,
        int(rng.choice([1, 1, 2, 3])),
        kernel,
        stride,
        dilation,
        _choice(rng, ["SAME", "VALID"]),
        _choice(rng, ACTIVATIONS),
        per_channel=bool(rng.random() < 0.8),
        bias=bool(rng.random() < 0.8),
        style=style,
    )
    return [x], [y]


def _fully_connected(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    rank = int(rng.choice([2, 2, 3]))
    shape = (*more.random_shape(rng, rank - 1, 1, 3), int(rng.integers(1, 70)))
    x = layers.activation_tensor(b, rng, shape, "x", style)
    y = layers.fully_connected(
        b,
        rng,
        x,
        int(rng.integers(1, 20)),
        _choice(rng, ACTIVATIONS),
        per_channel=bool(rng.random() < 0.5),
        bias=bool(rng.random() < 0.8),
        keep_num_dims=rank > 2 and bool(rng.random() < 0.5),
        style=style,
    )
    return [x], [y]


def _average_pool_2d(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    kernel, stride, _ = _window(rng, 6)
    x = _image(b, rng, style, kernel)
    padding, activation = _choice(rng, ["SAME", "VALID"]), _choice(rng, ACTIVATIONS)
    y = layers.pool_2d(b, rng, "AVERAGE_POOL_2D", x, kernel, stride, padding, activation)
    return [x], [y]


def _max_pool_2d(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    kernel, stride, _ = _window(rng, 6)
    x = _image(b, rng, style, kernel)
    padding, activation = _choice(rng, ["SAME", "VALID"]), _choice(rng, ACTIVATIONS)
    y = layers.pool_2d(b, rng, "MAX_POOL_2D", x, kernel, stride, padding, activation)
    return [x], [y]


def _operands(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], int, int]:
    """Two operands: of one shape, or broadcast either way; the second may be a constant."""
    full = (1, *more.random_shape(rng, int(rng.integers(1, 4))))
    shapes = [full, full]
    if rng.random() < 0.5:
        shapes[int(rng.integers(2))] = tuple(
            d if rng.random() < 0.5 else 1 for d in full[int(rng.integers(len(full))) :]
        )
    x = layers.activation_tensor(b, rng, shapes[0], "a", style)
    if rng.random() < 0.3:
        return [x], x, layers.constant_tensor(b, rng, shapes[1], "k", style)
    y = layers.activation_tensor(b, rng, shapes[1], "b", style)
    return [x, y], x, y


def _add(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    inputs, left, right = _operands(b, rng, style)
    return inputs, [layers.binary(b, rng, "ADD", left, right, _choice(rng, ACTIVATIONS), style)]


def _mul(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    inputs, left, right = _operands(b, rng, style)
    return inputs, [layers.binary(b, rng, "MUL", left, right, _choice(rng, ACTIVATIONS), style)]


def _sub(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    inputs, left, right = _operands(b, rng, style)
    return inputs, [layers.binary(b, rng, "SUB", left, right, _choice(rng, ACTIVATIONS), style)]


def _scaled_input(b: ModelBuilder, rng: Rng, style: Style, shape: tuple[int, ...]) -> int:
    wide = more.wide_scale(rng) if style == "extreme" else layers.scale(rng, 0.01, 0.2)
    return b.tensor("x", shape, scale=wide, zero_point=layers.zero_point(rng, style))


def _softmax(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    shape = (*more.random_shape(rng, int(rng.integers(1, 4)), 1, 3), int(rng.integers(1, 40)))
    x = _scaled_input(b, rng, style, shape)
    return [x], [more.softmax(b, rng, x, float(rng.choice([1.0, 1.0, 0.5, 2.5])))]


def _logistic(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    x = _scaled_input(b, rng, style, (1, 300))
    return [x], [more.table(b, rng, "LOGISTIC", x)]


def _tanh(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    x = _scaled_input(b, rng, style, (1, 300))
    return [x], [more.table(b, rng, "TANH", x)]


def _relu(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    x = layers.activation_tensor(b, rng, (1, 300), "x", style)
    return [x], [more.rectifier(b, rng, "RELU", x, style)]


def _relu6(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    x = layers.activation_tensor(b, rng, (1, 300), "x", style)
    return [x], [more.rectifier(b, rng, "RELU6", x, style)]


def _relu_n1_to_1(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    x = layers.activation_tensor(b, rng, (1, 300), "x", style)
    return [x], [more.rectifier(b, rng, "RELU_N1_TO_1", x, style)]


def _quantize(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    x = layers.activation_tensor(b, rng, (1, 300), "x", style)
    return [x], [more.quantize(b, rng, x, style)]


def _mean(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    x = _image(b, rng, style)
    axes = [(1, 2), (1, 2), (2, 1), (3,), (1,), (-1, -2), (1, 2, 3)][int(rng.integers(7))]
    keep_dims, same = rng.random(2) < 0.5
    return [x], [more.mean(b, rng, x, axes, bool(keep_dims), bool(same), style)]


def _reshape(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    x = _image(b, rng, style)
    n, h, w, c = b.tensors[x].shape
    shape = [(n, h * w * c), (n, h * w, c), (n * h * w * c,), (n, c, h, w)][int(rng.integers(4))]
    return [x], [more.reshape(b, rng, x, shape)]


def _transpose(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    shape = more.random_shape(rng, int(rng.integers(2, 6)), 1, 6)
    x = layers.activation_tensor(b, rng, shape, "x", style)
    return [x], [more.transpose(b, rng, x, rng.permutation(len(shape)).tolist())]


def _pad(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    x = _image(b, rng, style)
    return [x], [more.pad(b, rng, x, _paddings(rng))]


def _padv2(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    x = _image(b, rng, style)
    return [x], [more.pad(b, rng, x, _paddings(rng), int(rng.integers(-128, 128)))]


def _paddings(rng: Rng) -> list[tuple[int, int]]:
    """Of height and width, or of any dimension."""
    every = rng.random() < 0.4
    some = [_pair(rng, 4) if every or i in (1, 2) else (1, 1) for i in range(4)]
    return [(before - 1, after - 1) for before, after in some]


def _concatenation(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    shape = (1, *more.random_shape(rng, int(rng.integers(1, 4))))
    axis = int(rng.integers(len(shape)))
    first = layers.activation_tensor(b, rng, shape, "x0", style)
    inputs = [first]
    for i in range(1, int(rng.integers(2, 5))):
        part = [*shape]
        part[axis] = int(rng.integers(1, 6))
        inputs.append(layers.like(b, b.tensors[first], f"x{i}", part))
    return inputs, [more.concatenation(b, rng, inputs, axis)]


def _split(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    shape = [*more.random_shape(rng, int(rng.integers(1, 5)))]
    axis, parts = int(rng.integers(len(shape))), int(rng.integers(1, 5))
    shape[axis] *= parts
    x = layers.activation_tensor(b, rng, shape, "x", style)
    return [x], more.split(b, rng, x, parts, axis - int(rng.integers(2)) * len(shape))


def _split_v(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    shape = [*more.random_shape(rng, int(rng.integers(1, 5)))]
    axis, sizes = int(rng.integers(len(shape))), more.random_shape(rng, int(rng.integers(1, 5)))
    shape[axis] = sum(sizes)
    given = [-1 if i == 0 and rng.random() < 0.4 else size for i, size in enumerate(sizes)]
    x = layers.activation_tensor(b, rng, shape, "x", style)
    return [x], more.split_v(b, rng, x, given, axis)


def _slice(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    shape = more.random_shape(rng, int(rng.integers(1, 5)))
    begin = [int(rng.integers(size)) if rng.random() < 0.6 else 0 for size in shape]
    ends = zip(shape, begin, strict=True)
    size = [-1 if rng.random() < 0.4 else int(rng.integers(1, s - b + 1)) for s, b in ends]
    x = layers.activation_tensor(b, rng, shape, "x", style)
    return [x], [more.slice_box(b, rng, x, begin, size)]


def _strided_slice(b: ModelBuilder, rng: Rng, style: Style) -> tuple[list[int], list[int]]:
    shape = more.random_shape(rng, int(rng.integers(1, 5)))
    ends: list[tuple[int | None, int | None, int]] = []
    for size in shape:
        begin, end = sorted(int(i) for i in rng.choice(size + 1, 2, replace=False))
        negative = rng.random() < 0.3 and end < size
        ends.append(
            (
                None if rng.random() < 0.3 else begin - size * int(begin > 0 and negative),
                None if rng.random() < 0.3 else end - size * int(negative),
                int(rng.integers(1, 4)),
            )
        )
    dropped = [i for i in range(1, len(shape)) if rng.random() < 0.2]
    for axis in dropped:
        begin = int(rng.integers(shape[axis]))
        ends[axis] = (begin - shape[axis] * int(rng.integers(2)), begin + 1, 1)
    x = layers.activation_tensor(b, rng, shape, "x", style)
    return [x], [more.strided_slice(b, rng, x, ends, dropped)]


RECIPES: dict[str, Recipe] = {
    "ADD": _add,
    "AVERAGE_POOL_2D": _average_pool_2d,
    "CONCATENATION": _concatenation,
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise_conv_2d,
    "FULLY_CONNECTED": _fully_connected,
    "LOGISTIC": _logistic,
    "MAX_POOL_2D": _max_pool_2d,
    "MEAN": _mean,
    "MUL": _mul,
    "PAD": _pad,
    "PADV2": _padv2,
    "QUANTIZE": _quantize,
    "RELU": _relu,
    "RELU6": _relu6,
    "RELU_N1_TO_1": _relu_n1_to_1,
    "RESHAPE": _reshape,
    "SLICE": _slice,
    "SOFTMAX": _softmax,
    "SPLIT": _split,
    "SPLIT_V": _split_v,
    "STRIDED_SLICE": _strided_slice,
    "SUB": _sub,
    "TANH": _tanh,
    "TRANSPOSE": _transpose,
}
