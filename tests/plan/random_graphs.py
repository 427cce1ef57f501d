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

    def __init__(self, seed: int) -> None:
        self.rng: Rng = np.random.default_rng([seed, 4711])
        self.builder = ModelBuilder(f"random graph {seed}")
        batch = int(self.rng.choice([1, 1, 1, 2]))
        self.inputs = [self._input(batch) for _ in range(int(self.rng.choice([1, 1, 2, 3])))]
        self.images = [*self.inputs]
        self.leaves: list[int] = []

    def _input(self, batch: int) -> int:
        height, width, depth = (int(size) for size in self.rng.integers(3, 9, 3))
        shape = (batch, height, width, depth)
        return layers.activation_tensor(self.builder, self.rng, shape, "input")

    def shape(self, tensor: int) -> tuple[int, ...]:
        return self.builder.tensors[tensor].shape

    def pick(self) -> int:
        """An image, more often a young one."""
        youth = self.rng.random() < 0.6
        return int(self.rng.choice(self.images[-3:] if youth else self.images))

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


def _pad(g: _Growing, x: int) -> int:
    top, bottom, left, right = (int(amount) for amount in g.rng.integers(0, 3, 4))
    return shapes.pad(g.builder, g.rng, x, [(0, 0), (top, bottom), (left, right), (0, 0)])


LAYERS: tuple[Callable[[_Growing, int], int], ...] = (
    _conv, _conv, _depthwise, _average_pool, _max_pool, _add, _add, _sub, _mul,
    _concatenation, _pointwise, _reshape, _transpose, _pad,
)  # fmt: skip


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


def _grow(g: _Growing) -> None:
    """One more layer, unless it would be too large."""
    kept = len(g.builder.tensors), len(g.builder.ops)
    make = LAYERS[int(g.rng.integers(len(LAYERS)))]
    made = make(g, g.pick())
    if np.prod(g.shape(made)) > LARGEST_BYTES:
        del g.builder.tensors[kept[0] :], g.builder.ops[kept[1] :]
    else:
        g.images.append(made)


def _outputs(g: _Growing) -> list[int]:
    """The youngest tensors and some others: also inputs, also tensors that are read further on."""
    outputs = [*g.leaves] or [g.images[-1]]
    for _ in range(int(g.rng.choice([0, 0, 1, 2]))):
        outputs.append(int(g.rng.choice(g.images)))
    return list(dict.fromkeys(outputs))
