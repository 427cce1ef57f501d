"""Randomised int8 layers for operator tests, reproducible from a numpy `Generator`.

Each function adds one layer to a `ModelBuilder` and returns the index of its output tensor. What a
test leaves to chance is quantisation, weights and biases, in one of two styles:

- "realistic": weights and scales as a converter gives them, outputs spread over the int8 range;
- "extreme": zero points at -128 and 127, weights of -128 and 127, channels of zeros, weight scales
  that differ by orders of magnitude, multipliers above one, outputs mostly saturated.

Both stay inside what the reference kernels define: no int32 accumulator overflows, nor does its
left shift by the multiplier's exponent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from tests.flatbuffer_builder import Array, ModelBuilder, TensorSpec

Rng = np.random.Generator
Style = Literal["realistic", "extreme"]
Pair = tuple[int, int]

ACCUMULATOR_LIMIT = 2.0**31 - 1
TYPICAL_SPREAD = 40.0  # standard deviation of an output in int8 steps, about what calibration gives


def zero_point(rng: Rng, style: Style = "realistic") -> int:
    """A zero point: often -128 (after a ReLU), always an end of the range in the extreme style."""
    if style == "extreme":
        return int(rng.choice([-128, 127]))
    return int(rng.choice([-128, 127, 0, int(rng.integers(-127, 127))], p=[0.35, 0.05, 0.1, 0.5]))


def scale(rng: Rng, low: float = 0.004, high: float = 0.4) -> float:
    """A log-uniform scale, rounded to float32."""
    return float(np.float32(np.exp(rng.uniform(np.log(low), np.log(high)))))


def activation_tensor(
    builder: ModelBuilder,
    rng: Rng,
    shape: Sequence[int],
    name: str = "x",
    style: Style = "realistic",
) -> int:
    """An int8 activation (a model input, usually) with random per-tensor quantisation."""
    return builder.tensor(name, shape, scale=scale(rng), zero_point=zero_point(rng, style))


def constant_tensor(
    builder: ModelBuilder,
    rng: Rng,
    shape: Sequence[int],
    name: str = "k",
    style: Style = "realistic",
) -> int:
    """An int8 constant operand, such as the second input of a MUL."""
    data = rng.integers(-128, 128, tuple(shape))
    return builder.tensor(
        name, shape, scale=scale(rng), zero_point=zero_point(rng, style), data=data
    )


def conv_2d(
    builder: ModelBuilder,
    rng: Rng,
    x: int,
    filters: int,
    kernel: Pair = (3, 3),
    stride: Pair = (1, 1),
    dilation: Pair = (1, 1),
    padding: str = "SAME",
    activation: str = "NONE",
    per_channel: bool = True,
    bias: bool = True,
    style: Style = "realistic",
    name: str = "conv",
) -> int:
    """CONV_2D on `x` int8 [N,H,W,C]; pairs are (height, width).

    TensorFlow 2.14's kernel refuses an int8 model without a bias (conv.cc Prepare), 2.19's not.
    """
    n, h, w, c = builder.tensors[x].shape
    weights = random_weights(rng, (filters, *kernel, c), 0, style)
    out_h, out_w = spatial_output((h, w), kernel, stride, dilation, padding)
    operands, y = _weighted(
        builder, rng, x, weights, 0, (n, out_h, out_w, filters), per_channel, bias, style, name
    )
    builder.op(
        "CONV_2D",
        operands,
        [y],
        padding=padding,
        stride_h=stride[0],
        stride_w=stride[1],
        dilation_h=dilation[0],
        dilation_w=dilation[1],
        activation=activation,
    )
    return y


def depthwise_conv_2d(
    builder: ModelBuilder,
    rng: Rng,
    x: int,
    multiplier: int = 1,
    kernel: Pair = (3, 3),
    stride: Pair = (1, 1),
    dilation: Pair = (1, 1),
    padding: str = "SAME",
    activation: str = "NONE",
    per_channel: bool = True,
    bias: bool = True,
    style: Style = "realistic",
    name: str = "depthwise",
) -> int:
    """DEPTHWISE_CONV_2D on `x` int8 [N,H,W,C] with `multiplier` outputs per input channel."""
    n, h, w, c = builder.tensors[x].shape
    weights = random_weights(rng, (1, *kernel, c * multiplier), 3, style)
    out_h, out_w = spatial_output((h, w), kernel, stride, dilation, padding)
    shape = (n, out_h, out_w, c * multiplier)
    operands, y = _weighted(builder, rng, x, weights, 3, shape, per_channel, bias, style, name)
    builder.op(
        "DEPTHWISE_CONV_2D",
        operands,
        [y],
        padding=padding,
        stride_h=stride[0],
        stride_w=stride[1],
        dilation_h=dilation[0],
        dilation_w=dilation[1],
        depth_multiplier=multiplier,
        activation=activation,
    )
    return y


def fully_connected(
    builder: ModelBuilder,
    rng: Rng,
    x: int,
    units: int,
    activation: str = "NONE",
    per_channel: bool = False,
    bias: bool = True,
    keep_num_dims: bool = False,
    style: Style = "realistic",
    name: str = "dense",
) -> int:
    """FULLY_CONNECTED on the last dimension of `x`; leading dimensions fold into the batch."""
    *leading, depth = builder.tensors[x].shape
    weights = random_weights(rng, (units, depth), 0, style)
    batch = tuple(leading) if keep_num_dims else (int(np.prod(leading)),)
    operands, y = _weighted(
        builder, rng, x, weights, 0, (*batch, units), per_channel, bias, style, name
    )
    builder.op("FULLY_CONNECTED", operands, [y], activation=activation, keep_num_dims=keep_num_dims)
    return y


def pool_2d(
    builder: ModelBuilder,
    rng: Rng,
    operator: Literal["AVERAGE_POOL_2D", "MAX_POOL_2D"],
    x: int,
    kernel: Pair = (2, 2),
    stride: Pair = (2, 2),
    padding: str = "VALID",
    activation: str = "NONE",
    name: str = "pool",
) -> int:
    """A pooling layer; its output has the quantisation of its input, as the kernels demand."""
    spec = builder.tensors[x]
    n, h, w, c = spec.shape
    out_h, out_w = spatial_output((h, w), kernel, stride, (1, 1), padding)
    y = like(builder, spec, name, (n, out_h, out_w, c))
    builder.op(
        operator,
        [x],
        [y],
        padding=padding,
        stride_h=stride[0],
        stride_w=stride[1],
        filter_h=kernel[0],
        filter_w=kernel[1],
        activation=activation,
    )
    return y


def binary(
    builder: ModelBuilder,
    rng: Rng,
    operator: Literal["ADD", "MUL", "SUB"],
    a: int,
    b: int,
    activation: str = "NONE",
    style: Style = "realistic",
    name: str = "binary",
) -> int:
    """ADD, MUL or SUB of two tensors whose shapes broadcast together."""
    left, right = builder.tensors[a], builder.tensors[b]
    largest = max(left.scale, right.scale)
    natural = 60 * left.scale * right.scale if operator == "MUL" else 1.5 * largest
    # The kernels of ADD and SUB abort where twice the larger input scale exceeds 2^20 output
    # scales (QuantizeMultiplierSmallerThanOneExp); 2^-4 of the natural scale is far from there.
    factor = 2.0 ** rng.uniform(-4, 6) if style == "extreme" else rng.uniform(0.5, 1.5)
    y = builder.tensor(
        name,
        np.broadcast_shapes(left.shape, right.shape),
        scale=natural * factor,
        zero_point=zero_point(rng, style),
    )
    builder.op(operator, [a, b], [y], activation=activation)
    return y


def random_weights(rng: Rng, shape: tuple[int, ...], axis: int, style: Style) -> Array:
    """int8 weights; in the extreme style each channel along `axis` is of an awkward kind."""
    if style == "realistic":
        noise: Array = np.clip(np.rint(rng.normal(0, 40, shape)), -127, 127)
        return noise.astype(np.int8)
    weights = np.moveaxis(np.zeros(shape, np.int8), axis, 0)
    for channel in weights:
        channel[...] = _extreme_channel(rng, channel.shape)
    return np.ascontiguousarray(np.moveaxis(weights, 0, axis))


def _extreme_channel(rng: Rng, shape: tuple[int, ...]) -> Array:
    kinds = {
        "noise": rng.integers(-128, 128, shape),
        "ends": rng.choice([-128, 127], shape),
        "lowest": np.full(shape, -128),
        "highest": np.full(shape, 127),
        "sparse": np.where(rng.random(shape) < 0.2, rng.integers(-128, 128, shape), 0),
        "zeros": np.zeros(shape, int),
    }
    kind: Array = kinds[str(rng.choice(list(kinds)))]
    return kind.astype(np.int8)


def spatial_output(
    size: Pair, kernel: Pair, stride: Pair, dilation: Pair, padding: str
) -> tuple[int, int]:
    """Height and width of a convolution's or pool's output (kernels/padding.h ComputeOutSize)."""
    lost = [0 if padding == "SAME" else (k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
    out = [-(-(i - less) // s) for i, less, s in zip(size, lost, stride, strict=True)]
    if min(out) < 1:
        raise ValueError(f"kernel {kernel} x dilation {dilation} does not fit into {size}")
    return out[0], out[1]


def like(builder: ModelBuilder, spec: TensorSpec, name: str, shape: Sequence[int]) -> int:
    """A tensor with the quantisation of another."""
    return builder.tensor(name, shape, spec.dtype, spec.scales, spec.zero_points)


def _weighted(
    builder: ModelBuilder,
    rng: Rng,
    x: int,
    weights: Array,
    axis: int,
    shape: tuple[int, ...],
    per_channel: bool,
    with_bias: bool,
    style: Style,
    name: str,
) -> tuple[list[int], int]:
    """Weights, bias and output of a layer that accumulates: (operands, output)."""
    spec = builder.tensors[x]
    spread, largest = _accumulator_range(spec.zero_point, weights, axis)
    bias = _random_bias(rng, spread, largest, style) if with_bias else np.zeros(len(spread), int)
    multipliers = _random_multipliers(rng, spread, largest + abs(bias), per_channel, style)
    y_scale = scale(rng)
    w_scales = np.maximum(multipliers * y_scale / spec.scale, 1e-30).astype(np.float32)
    operands = [
        x,
        builder.tensor(f"{name}/w", weights.shape, "int8", w_scales, None, axis, weights),
    ]
    if with_bias:
        b_scales = w_scales * np.float32(spec.scale)
        operands.append(
            builder.tensor(f"{name}/b", bias.shape, "int32", b_scales, None, 0, data=bias)
        )
    return operands, builder.tensor(name, shape, scale=y_scale, zero_point=zero_point(rng, style))


def _accumulator_range(x_zero_point: int, weights: Array, axis: int) -> tuple[Array, Array]:
    """Per channel: standard deviation for uniform inputs, and largest magnitude, without bias."""
    w = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1).astype(np.int64)
    spread = np.maximum(74.0 * np.sqrt((w * w).sum(axis=1)), 1.0)
    low, high = -128 - x_zero_point, 127 - x_zero_point
    largest = np.maximum(
        np.maximum(w * low, w * high).sum(axis=1), -np.minimum(w * low, w * high).sum(axis=1)
    )
    return spread, largest


def _random_bias(rng: Rng, spread: Array, largest: Array, style: Style) -> Array:
    """int32 biases of the accumulators' order; far beyond it, now and then, if extreme."""
    bias = rng.normal(0, spread)
    if style == "extreme":
        bias *= 2.0 ** rng.uniform(0, 6, spread.shape)
    room = ACCUMULATOR_LIMIT / 4 - largest
    return np.rint(np.clip(bias, -room, room)).astype(np.int64)


def _random_multipliers(
    rng: Rng, spread: Array, largest: Array, per_channel: bool, style: Style
) -> Array:
    """input scale * weight scale / output scale, for each channel (or one for all of them)."""
    if style == "realistic":
        multipliers = TYPICAL_SPREAD / spread * rng.uniform(0.25, 1.5, spread.shape)
    else:
        rare = rng.random(spread.shape) < 0.15
        powers = np.where(rare, rng.uniform(6, 16, spread.shape), rng.uniform(-9, 3, spread.shape))
        multipliers = TYPICAL_SPREAD / spread * 2.0**powers
    # An accumulator is shifted left by the exponent of a multiplier above one: stay in int32.
    multipliers = np.minimum(multipliers, ACCUMULATOR_LIMIT / 4 / np.maximum(largest, 1))
    return multipliers if per_channel else multipliers.min(keepdims=True)
