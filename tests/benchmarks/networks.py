"""Networks other than the four benchmark models: other widths, depths, kernel sizes and blocks.

Random weights, calibrated scales. What counts is the shapes: `limit` says how many instructions per
multiply-accumulate a layer of a shape may take on a Cortex-M4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from exporter.graph.ir import Graph, Op
from tests import random_layers as layers
from tests import random_shape_layers as more
from tests.flatbuffer_builder import ModelBuilder
from tests.random_layers import Rng

Pair = tuple[int, int]


class Network:
    """A model under construction; each method adds a layer on top of the last one."""

    def __init__(self, name: str, shape: tuple[int, int, int]) -> None:
        self.builder = ModelBuilder(name)
        self.rng: Rng = np.random.default_rng(sum(name.encode()))
        self.inputs = self.last = self.builder.tensor(
            "input", (1, *shape), scale=1 / 64, zero_point=-3
        )
        self.count = 0

    def name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}_{self.count}"

    def conv(
        self, filters: int, kernel: Pair, stride: Pair = (1, 1), activation: str = "RELU",
        padding: str = "SAME",
    ) -> Network:  # fmt: skip
        self.last = layers.conv_2d(
            self.builder, self.rng, self.last, filters, kernel, stride, (1, 1), padding, activation,
            name=self.name("conv"),
        )  # fmt: skip
        return self._relu_zero_point(activation)

    def depthwise(self, kernel: Pair, stride: Pair = (1, 1)) -> Network:
        self.last = layers.depthwise_conv_2d(
            self.builder, self.rng, self.last, 1, kernel, stride, activation="RELU",
            name=self.name("depthwise"),
        )  # fmt: skip
        return self._relu_zero_point("RELU")

    def dense(self, units: int, activation: str = "RELU") -> Network:
        shape = self.builder.tensors[self.last].shape
        if len(shape) > 2:
            self.last = more.reshape(
                self.builder, self.rng, self.last, (1, int(np.prod(shape))), self.name("flat")
            )
        self.last = layers.fully_connected(
            self.builder, self.rng, self.last, units, activation, name=self.name("dense")
        )
        return self._relu_zero_point(activation)

    def add(self, other: int) -> Network:
        self.last = layers.binary(self.builder, self.rng, "ADD", self.last, other)
        return self

    def finish(self) -> bytes:
        return self.builder.finish([self.inputs], [self.last])

    def _relu_zero_point(self, activation: str) -> Network:
        """As calibration leaves it: what a ReLU gives starts at the bottom of the range."""
        if activation == "RELU":
            spec = self.builder.tensors[self.last]
            self.builder.tensors[self.last] = replace(spec, zero_points=(-128,))
        return self


def mobilenet_v2() -> bytes:
    """Two inverted residual blocks, the second with its shortcut."""
    net = Network("mobilenet_v2", (32, 32, 3)).conv(16, (3, 3), (2, 2))
    net.conv(96, (1, 1)).depthwise((3, 3), (2, 2)).conv(32, (1, 1), activation="NONE")
    shortcut = net.last
    net.conv(192, (1, 1)).depthwise((3, 3)).conv(32, (1, 1), activation="NONE").add(shortcut)
    return net.finish()


def temporal() -> bytes:
    """Temporal convolutions over 98 frames of 40 features, as in keyword spotting."""
    net = Network("temporal", (1, 98, 40)).conv(16, (1, 3))
    net.conv(24, (1, 9), (1, 2)).conv(24, (1, 9)).conv(32, (1, 9), (1, 2)).conv(32, (1, 9))
    return net.dense(12, "NONE").finish()


def five_by_five() -> bytes:
    """LeNet's shape: 5x5 kernels, then dense layers of odd widths."""
    net = Network("five_by_five", (28, 28, 1)).conv(8, (5, 5), (2, 2)).conv(16, (5, 5))
    net.conv(32, (5, 5), (2, 2), padding="VALID").dense(120).dense(84)
    return net.dense(10, "NONE").finish()


def widths() -> bytes:
    """3x3 and 1x1 layers of widths and maps that no tile divides."""
    net = Network("widths", (26, 26, 3)).conv(24, (3, 3), (2, 2)).conv(40, (3, 3)).conv(36, (1, 1))
    net.depthwise((3, 3)).conv(52, (3, 3), (2, 2)).conv(50, (1, 1)).depthwise((3, 3), (2, 2))
    return net.conv(66, (1, 1)).conv(30, (3, 3)).finish()


def first_layers() -> bytes:
    """Layers with one to three input channels."""
    net = Network("first_layers", (40, 24, 1)).conv(2, (3, 3)).conv(3, (3, 3)).conv(16, (3, 3))
    return net.finish()


NETWORKS: dict[str, Callable[[], bytes]] = {
    make.__name__: make for make in (mobilenet_v2, temporal, five_by_five, widths, first_layers)
}


def limit(graph: Graph, op: Op) -> float | None:
    """Most instructions per multiply-accumulate on a Cortex-M4; None where nothing is promised."""
    if op.kind == "FULLY_CONNECTED":
        return 1.1 if graph[op.input(1)].shape[0] > 16 else None
    if op.kind == "DEPTHWISE_CONV_2D":
        return 2.3 if op.options["stride_h"] == 1 else 3.6
    if op.kind != "CONV_2D":
        return None
    filters, kernel_h, kernel_w, depth = graph[op.input(1)].shape
    if depth <= 3:
        return 1.6 if filters > 3 else None
    wide_enough = depth >= (32 if (kernel_h, kernel_w) == (1, 1) else 16)
    return 1.0 if wide_enough or (kernel_h, kernel_w) == (5, 5) else None
