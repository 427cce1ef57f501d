"""Random whole models: directed graphs of many layers, drawn from a seed.

    model_bytes = random_graph(seed=7)

Branches, residual additions, concatenations, views, several inputs and outputs, inputs that are
outputs or that nobody reads: what a planner of memory can get wrong.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests import random_layers as layers
from tests import random_shape_layers as shapes
from tests.flatbuffer_builder import ModelBuilder
from tests.random_layers import Rng

LARGEST_BYTES = 1200
"""A layer with a larger output is not offered: the models must compile and run fast."""

ACTIVATIONS = ("NONE", "NONE", "RELU", "RELU6")


class _Growing:
    """A model that grows by one layer at a time. `images` are its tensors [N,H,W,C] so far."""

    def __init__(
        self, seed: int, heights: tuple[int, int] | None = None, depth: int | None = None
    ) -> None:
        """`heights`: the range of the inputs' heights; `depth`: their channels. With either a batch
        is one image.
        """
        self.rng: Rng = np.random.default_rng([seed, 4711])
        self.builder = ModelBuilder(f"random graph {seed}")
        self.heights = heights
        self.depth = depth
        batch = 1 if heights or depth else int(self.rng.choice([1, 1, 1, 2]))
        self.inputs = [self._input(batch) for _ in range(int(self.rng.choice([1, 1, 2, 3])))]
        self.images = [*self.inputs]
        self.leaves: list[int] = []

    def _input(self, batch: int) -> int:
        height, width, depth = (int(size) for size in self.rng.integers(3, 9, 3))
        if self.heights is not None:
            height = int(self.rng.integers(*self.heights))
        shape = (batch, height, width, self.depth or depth)
        return layers.activation_tensor(self.builder, self.rng, shape, "input")

    def shape(self, tensor: int) -> tuple[int, ...]:
        return self.builder.tensors[tensor].shape

    def pick(self) -> int:
        """An image, more often a young one."""
        youth = self.rng.random() < 0.6
        return int(self.rng.choice(self.images[-3:] if youth else self.images))

    def unread(self) -> int:
        """An image that nobody reads yet, more often a young one; maybe none of them."""
        unread = self.unread_images()
        return int(self.rng.choice(unread[-4:])) if unread else self.pick()

    def unread_images(self) -> list[int]:
        read = {tensor for op in self.builder.ops for tensor in op.inputs}
        return [tensor for tensor in self.images if tensor not in read]

    def partner(self, tensor: int, same: slice) -> int:
        """An image whose shape agrees with that of `tensor` on the axes `same`; maybe itself."""
        fitting = [t for t in self.images if self.shape(t)[same] == self.shape(tensor)[same]]
        return int(self.rng.choice(fitting))

    def flip(self, probability: float = 0.5) -> bool:
        return bool(self.rng.random() < probability)

    def activation(self) -> str:
        return str(self.rng.choice(ACTIVATIONS))

    def window(self, image: int) -> tuple[tuple[int, int], tuple[int, int], str]:
        """Kernel, stride and padding that fit."""
        _, height, width, _ = self.shape(image)
        kernel = (int(self.rng.integers(1, min(height, 4) + 1)),
                  int(self.rng.integers(1, min(width, 4) + 1)))  # fmt: skip
        stride = (2, 2) if self.flip(0.25) else (1, 1)
        return kernel, stride, "SAME" if self.flip(0.6) else "VALID"


def _conv(g: _Growing, x: int) -> int:
    kernel, stride, padding = g.window(x)
    filters = int(g.rng.integers(1, 9))
    return layers.conv_2d(
        g.builder, g.rng, x, filters, kernel, stride, padding=padding, activation=g.activation()
    )


def _depthwise(g: _Growing, x: int) -> int:
    kernel, stride, padding = g.window(x)
    multiplier = 2 if g.shape(x)[3] <= 3 and g.flip() else 1
    return layers.depthwise_conv_2d(
        g.builder, g.rng, x, multiplier, kernel, stride, padding=padding, activation=g.activation()
    )


def _average_pool(g: _Growing, x: int) -> int:
    kernel, stride, padding = g.window(x)
    return layers.pool_2d(g.builder, g.rng, "AVERAGE_POOL_2D", x, kernel, stride, padding)


def _max_pool(g: _Growing, x: int) -> int:
    kernel, stride, padding = g.window(x)
    return layers.pool_2d(g.builder, g.rng, "MAX_POOL_2D", x, kernel, stride, padding)


def _add(g: _Growing, x: int) -> int:
    other = g.partner(x, slice(0, 4))
    return layers.binary(g.builder, g.rng, "ADD", x, other, g.activation())


def _sub(g: _Growing, x: int) -> int:
    return layers.binary(g.builder, g.rng, "SUB", g.partner(x, slice(0, 4)), x)


def _mul(g: _Growing, x: int) -> int:
    if g.flip():
        factor = layers.constant_tensor(g.builder, g.rng, (1, 1, 1, g.shape(x)[3]))
        return layers.binary(g.builder, g.rng, "MUL", x, factor)
    return layers.binary(g.builder, g.rng, "MUL", x, g.partner(x, slice(0, 4)))


def _concatenation(g: _Growing, x: int) -> int:
    tensors = [x, g.partner(x, slice(0, 3))]
    if g.flip(0.3):
        tensors.append(g.partner(x, slice(0, 3)))
    return shapes.concatenation(g.builder, g.rng, tensors, 3)


def _pointwise(g: _Growing, x: int) -> int:
    kind = int(g.rng.integers(4))
    if kind == 0:
        return shapes.rectifier(g.builder, g.rng, "RELU", x)
    if kind == 1:
        return shapes.table(g.builder, g.rng, "LOGISTIC", x)
    return shapes.table(g.builder, g.rng, "TANH", x) if kind == 2 else _quantize(g, x)


def _quantize(g: _Growing, x: int) -> int:
    return shapes.quantize(g.builder, g.rng, x)


def _reshape(g: _Growing, x: int) -> int:
    n, height, width, depth = g.shape(x)
    target = [(n, width, height, depth), (n, height, depth, width), (n, 1, height * width, depth)]
    return shapes.reshape(g.builder, g.rng, x, target[int(g.rng.integers(3))])


def _transpose(g: _Growing, x: int) -> int:
    return shapes.transpose(g.builder, g.rng, x, (0, 2, 1, 3) if g.flip() else (0, 3, 1, 2))


def _residual(g: _Growing, x: int) -> int:
    """A block whose output is added to its input."""
    inner, depth = x, g.shape(x)[3]
    for _ in range(int(g.rng.integers(1, 4))):
        kernel = (int(g.rng.choice([1, 3, 5])), 3)
        inner = layers.conv_2d(g.builder, g.rng, inner, depth, kernel, (1, 1), padding="SAME")
    return layers.binary(g.builder, g.rng, "ADD", inner, x, g.activation())


def _channels(g: _Growing, x: int) -> int:
    """1x1: fewer, more or as many channels."""
    return layers.conv_2d(g.builder, g.rng, x, int(g.rng.integers(1, 17)), (1, 1))


def _pad(g: _Growing, x: int) -> int:
    top, bottom, left, right = (int(amount) for amount in g.rng.integers(0, 3, 4))
    return shapes.pad(g.builder, g.rng, x, [(0, 0), (top, bottom), (left, right), (0, 0)])


LAYERS: tuple[Callable[[_Growing, int], int], ...] = (
    _conv, _conv, _depthwise, _average_pool, _max_pool, _add, _add, _sub, _mul,
    _concatenation, _pointwise, _reshape, _transpose, _pad,
)  # fmt: skip


def _split(g: _Growing, x: int) -> int:
    """Parts along any axis; all of them are images, one of them is returned."""
    axis = int(g.rng.integers(1, 4))
    size = g.shape(x)[axis]
    if size % 2 == 0 and g.flip():
        parts = shapes.split(g.builder, g.rng, x, 2 if g.flip() or size % 4 else 4, axis)
    else:
        first = int(g.rng.integers(1, size)) if size > 1 else size
        sizes = [first, -1] if first < size else [first]
        parts = shapes.split_v(g.builder, g.rng, x, sizes, axis)
    g.images += parts[:-1]
    return parts[-1]


def _slice(g: _Growing, x: int) -> int:
    shape = g.shape(x)
    begin = [0] + [int(g.rng.integers(size)) if g.flip(0.4) else 0 for size in shape[1:]]
    if g.flip():
        return shapes.slice_box(g.builder, g.rng, x, begin, [-1] * 4)
    steps = [1] + [int(g.rng.integers(1, 3)) for _ in range(3)]
    ends = [(b, None, step) for b, step in zip(begin, steps, strict=True)]
    return shapes.strided_slice(g.builder, g.rng, x, ends)


def _stacked(g: _Growing, x: int) -> int:
    """One image above the other: in one piece where there is one image."""
    return shapes.concatenation(g.builder, g.rng, [x, _row_partner(g, x)], 1)


def _row_partner(g: _Growing, x: int) -> int:
    n, _, *row = g.shape(x)
    return int(
        g.rng.choice([t for t in g.images if g.shape(t)[0] == n and [*g.shape(t)[2:]] == row])
    )


def _branches(g: _Growing, x: int) -> int:
    """Several ways from one tensor, of which one after another is best, written layer by layer.

    They are joined in one piece, or along the channels.
    """
    stem = _channels(g, x)
    ways = [stem] * int(g.rng.integers(2, 5))
    for _ in range(int(g.rng.integers(1, 4))):
        ways = [
            layers.conv_2d(g.builder, g.rng, way, int(g.rng.choice([1, 4, 8, 12])), (1, 1))
            if g.flip(0.7)
            else shapes.rectifier(g.builder, g.rng, "RELU", way)
            for way in ways
        ]
    axis = 1 if g.flip() else 3
    if axis == 1:
        ways = [layers.conv_2d(g.builder, g.rng, way, 4, (1, 1)) for way in ways]
    return shapes.concatenation(g.builder, g.rng, ways, axis)


def _rows_around(g: _Growing, x: int) -> int:
    """PAD or PADV2 above and below, sometimes with columns too."""
    above, below, left = (int(amount) for amount in g.rng.integers(0, 4, 3))
    amounts = [(0, 0), (above, below), (left if g.flip(0.2) else 0, 0), (0, 0)]
    value = int(g.rng.integers(-128, 128)) if g.flip(0.3) else None
    return shapes.pad(g.builder, g.rng, x, amounts, value)


def _stacked_with_constant(g: _Growing, x: int) -> int:
    """Constant rows above, below, or between an image and itself or another one."""
    n, _, *row = g.shape(x)
    constant = shapes.constant_like(g.builder, g.rng, x, (n, int(g.rng.integers(1, 3)), *row))
    others = [x] if g.flip() else [x, _row_partner(g, x)]
    others.insert(int(g.rng.integers(len(others) + 1)), constant)
    return shapes.concatenation(g.builder, g.rng, others, 1)


def _same_size(g: _Growing, x: int) -> int:
    """Rows as long as those of `x`, and often its quantisation."""
    if g.flip(0.6):
        return layers.pool_2d(g.builder, g.rng, "MAX_POOL_2D", x, (2, 2), (1, 1), "SAME")
    return layers.conv_2d(g.builder, g.rng, x, g.shape(x)[3], (3, 3), (1, 1), padding="SAME")


def _leaf(g: _Growing, x: int) -> int:
    """A layer whose output is no image: an end of the graph."""
    kind = int(g.rng.integers(4))
    if kind == 0:
        return shapes.mean(g.builder, g.rng, x, (1, 2))
    flat = shapes.reshape(g.builder, g.rng, x, (g.shape(x)[0], int(np.prod(g.shape(x)[1:]))))
    if kind == 1:
        return flat
    if kind == 2:
        return shapes.softmax(g.builder, g.rng, flat)
    return layers.fully_connected(g.builder, g.rng, flat, int(g.rng.integers(1, 9)))


def random_graph(seed: int, layer_count: int | None = None, *, show_all: bool = False) -> bytes:
    """A model of 5 to 25 layers. The same seed always gives the same bytes.

    With `show_all`, every computed tensor is an output.
    """
    g = _Growing(seed)
    for _ in range(layer_count or int(g.rng.integers(5, 26))):
        _grow(g)
    if g.flip(0.6):
        g.leaves.append(_leaf(g, g.images[-1]))
    outputs = _outputs(g)
    if show_all:
        outputs = [tensor for op in g.builder.ops for tensor in op.outputs]
    return g.builder.finish(g.inputs, outputs)


BRANCHED_LAYERS = (*LAYERS, _split, _split, _slice, _stacked, _stacked, _branches, _branches)


def random_branches(seed: int, layer_count: int = 12) -> bytes:
    """Splits, slices, wide branches and concatenations in one piece among `layer_count` layers or
    more. What nobody reads is an output. The same seed always gives the same bytes.
    """
    g = _Growing(seed)
    while len(g.builder.ops) < layer_count:
        _grow(g, BRANCHED_LAYERS, g.unread() if g.flip(0.7) else g.pick())
    return g.builder.finish(g.inputs, g.unread_images())


JOINING_LAYERS = (
    _rows_around, _rows_around, _stacked, _stacked, _stacked_with_constant, _same_size, _same_size,
    _same_size, _slice, _add,
)  # fmt: skip


def random_joins(seed: int, layer_count: int = 10) -> bytes:
    """Images that are part of larger ones, alone or with others or with constants, the graph's
    inputs and outputs among them. The same seed always gives the same bytes.
    """
    g = _Growing(seed, depth=4)
    while len(g.builder.ops) < layer_count:
        _grow(g, JOINING_LAYERS, g.unread() if g.flip(0.7) else g.pick())
    outputs = [*g.unread_images(), *(int(g.rng.choice(g.images)) for _ in range(2) if g.flip())]
    return g.builder.finish(g.inputs, list(dict.fromkeys(outputs)))


STACK_LAYERS: tuple[Callable[[_Growing, int], int], ...] = (
    _conv, _depthwise, _max_pool, _pointwise, _conv, _depthwise, _residual, _channels,
)  # fmt: skip


def random_stack(seed: int) -> bytes:
    """3 to 9 layers over taller images, one after another and with residual additions: what can be
    made row by row. The same seed always gives the same bytes.
    """
    g = _Growing(seed, (9, 30))
    tensor = g.inputs[0]
    for _ in range(int(g.rng.integers(3, 10))):
        tensor = STACK_LAYERS[int(g.rng.integers(len(STACK_LAYERS)))](g, tensor)
        g.images.append(tensor)
    return g.builder.finish(g.inputs[:1], [tensor])


def _grow(
    g: _Growing,
    offered: tuple[Callable[[_Growing, int], int], ...] = LAYERS,
    source: int | None = None,
) -> None:
    """One more layer, unless it would be too large. `source`: what it reads; else any image."""
    kept = len(g.builder.tensors), len(g.builder.ops), len(g.images)
    make = offered[int(g.rng.integers(len(offered)))]
    made = make(g, g.pick() if source is None else source)
    if np.prod(g.shape(made)) > LARGEST_BYTES:
        del g.builder.tensors[kept[0] :], g.builder.ops[kept[1] :], g.images[kept[2] :]
    else:
        g.images.append(made)


def _outputs(g: _Growing) -> list[int]:
    """The youngest tensors and some others: also inputs, also tensors that are read further on."""
    outputs = [*g.leaves] or [g.images[-1]]
    for _ in range(int(g.rng.choice([0, 0, 1, 2]))):
        outputs.append(int(g.rng.choice(g.images)))
    return list(dict.fromkeys(outputs))
