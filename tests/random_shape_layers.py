"""More randomised int8 layers: reductions, tables, and operators that only move data.

The rules of `tests/random_layers.py` hold: each function adds one layer and returns its output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from tests.flatbuffer_builder import Array, ModelBuilder
from tests.random_layers import Rng, Style, like, scale, zero_point

# The kernels of these operators demand exactly this output quantisation (scale, zero point):
# activations.cc SoftmaxPrepare, SigmoidPrepare, TanhPrepare.
FIXED_OUTPUT = {
    "SOFTMAX": (1 / 256, -128),
    "LOGISTIC": (1 / 256, -128),
    "TANH": (1 / 128, 0),
}


def softmax(
    builder: ModelBuilder, rng: Rng, x: int, beta: float = 1.0, name: str = "softmax"
) -> int:
    """SOFTMAX over the last dimension."""
    y = _fixed_output(builder, "SOFTMAX", x, name)
    builder.op("SOFTMAX", [x], [y], beta=beta)
    return y


def table(
    builder: ModelBuilder,
    rng: Rng,
    operator: Literal["LOGISTIC", "TANH"],
    x: int,
    name: str = "table",
) -> int:
    """LOGISTIC or TANH."""
    y = _fixed_output(builder, operator, x, name)
    builder.op(operator, [x], [y])
    return y


def rectifier(
    builder: ModelBuilder,
    rng: Rng,
    operator: Literal["RELU", "RELU6", "RELU_N1_TO_1"],
    x: int,
    style: Style = "realistic",
    name: str = "relu",
) -> int:
    """RELU and kin; all three requantise to the output's scale (activations.cc QuantizedReluX)."""
    spec = builder.tensors[x]
    factor = 2.0 ** rng.uniform(-8, 4) if style == "extreme" else rng.uniform(0.4, 1.2)
    y = builder.tensor(
        name, spec.shape, scale=spec.scale * factor, zero_point=zero_point(rng, style)
    )
    builder.op(operator, [x], [y])
    return y


def quantize(
    builder: ModelBuilder, rng: Rng, x: int, style: Style = "realistic", name: str = "quantize"
) -> int:
    """QUANTIZE from int8 to int8 of another scale and zero point."""
    spec = builder.tensors[x]
    factor = 2.0 ** rng.uniform(-8, 8) if style == "extreme" else rng.uniform(0.5, 2.0)
    y = builder.tensor(
        name, spec.shape, scale=spec.scale * factor, zero_point=zero_point(rng, style)
    )
    builder.op("QUANTIZE", [x], [y])
    return y


def mean(
    builder: ModelBuilder,
    rng: Rng,
    x: int,
    axes: Sequence[int] = (1, 2),
    keep_dims: bool = False,
    same_quantization: bool = False,
    style: Style = "realistic",
    name: str = "mean",
) -> int:
    """MEAN over `axes`."""
    spec = builder.tensors[x]
    reduced = {axis % len(spec.shape) for axis in axes}
    shape = [1 if i in reduced else d for i, d in enumerate(spec.shape)]
    if not keep_dims:
        shape = [d for i, d in enumerate(spec.shape) if i not in reduced]
    if same_quantization:
        y = like(builder, spec, name, shape)
    else:
        factor = 2.0 ** rng.uniform(-6, 6) if style == "extreme" else rng.uniform(0.3, 1.1)
        y = builder.tensor(
            f"{name}/y", shape, scale=spec.scale * factor, zero_point=zero_point(rng, style)
        )
    axis = builder.constant(f"{name}/axes", list(axes))
    builder.op("MEAN", [x, axis], [y], keep_dims=keep_dims)
    return y


def reshape(
    builder: ModelBuilder, rng: Rng, x: int, shape: Sequence[int], name: str = "reshape"
) -> int:
    """RESHAPE to a shape without -1."""
    y = like(builder, builder.tensors[x], name, shape)
    builder.op(
        "RESHAPE", [x, builder.constant(f"{name}/shape", list(shape))], [y], new_shape=list(shape)
    )
    return y


def transpose(
    builder: ModelBuilder, rng: Rng, x: int, permutation: Sequence[int], name: str = "transpose"
) -> int:
    """TRANSPOSE by `permutation`."""
    spec = builder.tensors[x]
    y = like(builder, spec, name, [spec.shape[i] for i in permutation])
    builder.op("TRANSPOSE", [x, builder.constant(f"{name}/perm", list(permutation))], [y])
    return y


def pad(
    builder: ModelBuilder,
    rng: Rng,
    x: int,
    paddings: Sequence[tuple[int, int]],
    value: int | None = None,
    name: str = "pad",
) -> int:
    """PAD with the zero point, or PADV2 with int8 `value`; one (before, after) per dimension."""
    spec = builder.tensors[x]
    shape = [d + sum(p) for d, p in zip(spec.shape, paddings, strict=True)]
    y = like(builder, spec, name, shape)
    operands = [x, builder.constant(f"{name}/paddings", np.asarray(paddings))]
    if value is not None:
        operands.append(
            builder.tensor(
                f"{name}/value", [1], "int8", spec.scales, spec.zero_points, data=[value]
            )
        )
    builder.op("PAD" if value is None else "PADV2", operands, [y])
    return y


def concatenation(
    builder: ModelBuilder, rng: Rng, tensors: Sequence[int], axis: int, name: str = "concat"
) -> int:
    """CONCATENATION; inputs of another quantisation than the first are requantised before it."""
    first = builder.tensors[tensors[0]]
    operands = [_as_quantized_like(builder, tensors[0], t) for t in tensors]
    shape = list(first.shape)
    shape[axis] = sum(builder.tensors[t].shape[axis] for t in tensors)
    y = like(builder, first, name, shape)
    builder.op("CONCATENATION", operands, [y], axis=axis)
    return y


def constant_like(
    builder: ModelBuilder, rng: Rng, x: int, shape: Sequence[int], name: str = "rows"
) -> int:
    """A constant of the quantisation of `x`."""
    spec = builder.tensors[x]
    data = rng.integers(-128, 128, tuple(shape))
    return builder.tensor(name, shape, "int8", spec.scales, spec.zero_points, data=data)


def split(
    builder: ModelBuilder, rng: Rng, x: int, parts: int, axis: int, name: str = "split"
) -> list[int]:
    """SPLIT into `parts` equal parts."""
    spec = builder.tensors[x]
    shape = list(spec.shape)
    shape[axis] //= parts
    outputs = [like(builder, spec, f"{name}/{part}", shape) for part in range(parts)]
    where = builder.constant(f"{name}/axis", np.asarray(axis))
    builder.op("SPLIT", [where, x], outputs, num_splits=parts)
    return outputs


def split_v(
    builder: ModelBuilder, rng: Rng, x: int, sizes: Sequence[int], axis: int, name: str = "split"
) -> list[int]:
    """SPLIT_V into parts of these sizes; -1 stands for the rest."""
    spec, outputs = builder.tensors[x], []
    rest = spec.shape[axis] - sum(size for size in sizes if size >= 0)
    for part, size in enumerate(sizes):
        shape = list(spec.shape)
        shape[axis] = rest if size < 0 else size
        outputs.append(like(builder, spec, f"{name}/{part}", shape))
    where = builder.constant(f"{name}/axis", np.asarray(axis))
    lengths = builder.constant(f"{name}/sizes", list(sizes))
    builder.op("SPLIT_V", [x, lengths, where], outputs, num_splits=len(sizes))
    return outputs


def slice_box(
    builder: ModelBuilder,
    rng: Rng,
    x: int,
    begin: Sequence[int],
    size: Sequence[int],
    name: str = "slice",
) -> int:
    """SLICE; a size of -1 is the rest."""
    spec = builder.tensors[x]
    ends = zip(spec.shape, begin, size, strict=True)
    y = like(builder, spec, name, [whole - b if s < 0 else s for whole, b, s in ends])
    operands = [builder.constant(f"{name}/begin", list(begin)),
                builder.constant(f"{name}/size", list(size))]  # fmt: skip
    builder.op("SLICE", [x, *operands], [y])
    return y


def strided_slice(
    builder: ModelBuilder,
    rng: Rng,
    x: int,
    ends: Sequence[tuple[int | None, int | None, int]],
    dropped: Sequence[int] = (),
    name: str = "slice",
) -> int:
    """STRIDED_SLICE of (begin, end, stride) for each axis; None sets the axis's bit in a mask.

    `dropped`: axes of which only index `begin` is taken, and which the output does not have.
    """
    spec, shape = builder.tensors[x], []
    for axis, (size, (begin, end, stride)) in enumerate(zip(spec.shape, ends, strict=True)):
        if axis not in dropped:
            shape.append(len(range(size)[begin:end:stride]))
    y = like(builder, spec, name, shape)
    columns = [[value or 0 for value in column] for column in zip(*ends, strict=True)]
    named = zip(("begin", "end", "strides"), columns, strict=True)
    operands = [builder.constant(f"{name}/{what}", column) for what, column in named]
    builder.op(
        "STRIDED_SLICE",
        [x, *operands],
        [y],
        begin_mask=sum(1 << axis for axis, (begin, _, _) in enumerate(ends) if begin is None),
        end_mask=sum(1 << axis for axis, (_, end, _) in enumerate(ends) if end is None),
        ellipsis_mask=0,
        new_axis_mask=0,
        shrink_axis_mask=sum(1 << axis for axis in dropped),
    )
    return y


def _as_quantized_like(builder: ModelBuilder, model: int, x: int) -> int:
    wanted, spec = builder.tensors[model], builder.tensors[x]
    if (spec.scales, spec.zero_points) == (wanted.scales, wanted.zero_points):
        return x
    y = like(builder, wanted, f"{spec.name}/requantized", spec.shape)
    builder.op("QUANTIZE", [x], [y])
    return y


def _fixed_output(builder: ModelBuilder, operator: str, x: int, name: str) -> int:
    y_scale, y_zero_point = FIXED_OUTPUT[operator]
    return builder.tensor(name, builder.tensors[x].shape, scale=y_scale, zero_point=y_zero_point)


def wide_scale(rng: Rng) -> float:
    """A scale from far below to far above the useful: for the inputs of tables and softmax."""
    return scale(rng, 1e-4, 4.0)


def random_shape(rng: Rng, rank: int, low: int = 1, high: int = 7) -> tuple[int, ...]:
    """A small random shape."""
    return tuple(int(d) for d in rng.integers(low, high + 1, rank))


def full_range(rng: Rng, shape: Sequence[int]) -> Array:
    """Uniform int8 noise over the whole range."""
    return rng.integers(-128, 128, tuple(shape)).astype(np.int8)
