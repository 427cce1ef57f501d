"""Models some of whose channels are the same for every input, as filters that died in training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests import random_layers as layers
from tests import random_shape_layers as shapes
from tests.flatbuffer_builder import Array
from tests.passes.models import Model

DEADLY = 10_000_000
"""A bias that saturates every output of a realistic layer."""


class Dying(Model):
    """A builder whose layers have channels that are constant."""

    def __init__(self, seed: int = 0, shape: tuple[int, ...] = (1, 6, 5, 3)) -> None:
        super().__init__(seed, shape)

    def made(self, y: int, dead: tuple[int, ...], sign: int = -1, zero: int | None = None) -> int:
        """`y`, whose channels `dead` are always at the end `sign` of its range; and zero point.

        The others answer both ways to inputs around the middle of their range.
        """
        source, kernel, bias = self.ops[-1].inputs
        weights = self.values(kernel, np.int8).astype(np.int32)
        channel = 3 if self.ops[-1].operator == "DEPTHWISE_CONV_2D" else 0
        sums = np.moveaxis(weights, channel, 0).reshape(weights.shape[channel], -1).sum(axis=1)
        biases = sums * self.tensors[source].zero_point
        biases[list(dead)] = sign * DEADLY
        self.set(bias, biases.astype(np.int32))
        if zero is not None:
            self.tensors[y] = replace(self.tensors[y], zero_points=(zero,))
        return y

    def values(self, tensor: int, dtype: type[np.generic]) -> Array:
        """A copy of a constant."""
        spec = self.tensors[tensor]
        assert spec.data is not None
        return np.frombuffer(spec.data, dtype).reshape(spec.shape).copy()

    def set(self, tensor: int, values: Array) -> None:
        self.tensors[tensor] = replace(self.tensors[tensor], data=values.tobytes())

    def dying(
        self,
        x: int,
        *dead: int,
        filters: int = 8,
        size: int = 1,
        padding: str = "VALID",
        sign: int = -1,
        zero: int | None = -128,
    ) -> int:
        """CONV_2D with RELU. Dead channels are at the zero point, or at 127 where `sign` is 1."""
        y = layers.conv_2d(
            self, self.rng, x, filters, (size, size), padding=padding, activation="RELU"
        )
        return self.made(y, dead, sign, zero)

    def depthwise(
        self, x: int, *dead: int, multiplier: int = 1, padding: str = "SAME", sign: int = -1
    ) -> int:
        y = layers.depthwise_conv_2d(
            self, self.rng, x, multiplier, padding=padding, activation="RELU"
        )
        return self.made(y, dead, sign, -128)

    def reader(self, x: int, size: int = 1, padding: str = "VALID") -> int:
        return layers.conv_2d(self, self.rng, x, 3, (size, size), padding=padding)

    def dense(
        self,
        x: int,
        units: int = 3,
        activation: str = "NONE",
        per_channel: bool = False,
        bias: bool = True,
    ) -> int:
        return layers.fully_connected(self, self.rng, x, units, activation, per_channel, bias)


def random_dying_model(seed: int) -> bytes:
    """Blocks of depthwise and pointwise layers with dead channels, some of them residual."""
    model = Dying(seed, (1, 6, 5, 3))
    rng = np.random.default_rng([seed, 7])
    x = model.x
    for _ in range(int(rng.integers(2, 5))):
        count = int(rng.choice([4, 6, 8]))
        hidden = _conv(model, rng, x, count)
        if rng.random() < 0.5:
            multiplier = int(rng.choice([1, 1, 2]))
            dead = rng.choice(count, int(rng.integers(0, count)), replace=False).tolist()
            hidden = model.depthwise(
                hidden, *dead, multiplier=multiplier, sign=int(rng.choice([-1, 1]))
            )
        if rng.random() < 0.4:
            branch = _conv(model, rng, hidden, model.tensors[hidden].shape[3], "SAME")
            hidden = layers.binary(model, rng, "ADD", branch, hidden)
        x = hidden
    flat = shapes.reshape(model, rng, x, (1, int(np.prod(model.tensors[x].shape))))
    units = model.made(model.dense(flat, 5, per_channel=bool(rng.random() < 0.5)), (1, 3))
    return model.finish([model.x], [model.dense(units)])


def _conv(
    model: Dying, rng: np.random.Generator, x: int, count: int, padding: str | None = None
) -> int:
    dead = rng.choice(count, int(rng.integers(1, count)), replace=False).tolist()
    return model.dying(
        x,
        *dead,
        filters=count,
        size=int(rng.choice([1, 3])) if padding or model.tensors[x].shape[2] > 2 else 1,
        padding=padding or str(rng.choice(["SAME", "VALID"])),
        sign=int(rng.choice([-1, 1])),
        zero=int(rng.choice([-128, -128, -90])),
    )
