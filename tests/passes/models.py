"""What the tests of the passes share."""

from __future__ import annotations

import numpy as np

from exporter.graph.dump import dump
from exporter.graph.ir import Graph
from exporter.graph.tflite_reader import read
from exporter.graph.verify import verify
from exporter.passes import Pass
from tests import random_layers as layers
from tests import random_shape_layers as shapes
from tests.flatbuffer_builder import ModelBuilder


class Model(ModelBuilder):
    """A builder with random constants and an image `x` to begin with."""

    def __init__(self, seed: int = 0, shape: tuple[int, ...] = (1, 6, 5, 3)) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)
        self.x = layers.activation_tensor(self, self.rng, shape)

    def relu(self, x: int) -> int:
        return shapes.rectifier(self, self.rng, "RELU", x)

    def conv(
        self, x: int, kernel: tuple[int, int] = (3, 3), stride: tuple[int, int] = (1, 1)
    ) -> int:
        return layers.conv_2d(self, self.rng, x, 4, kernel, stride, padding="VALID")

    def pad(self, x: int, *amounts: int) -> int:
        """By (top, bottom, left, right)."""
        top, bottom, left, right = amounts or (1, 1, 1, 1)
        return shapes.pad(self, self.rng, x, [(0, 0), (top, bottom), (left, right), (0, 0)])

    def same(self, x: int, name: str = "same") -> int:
        """A RESHAPE that changes nothing."""
        return shapes.reshape(self, self.rng, x, self.tensors[x].shape, name)

    def graph(self, *outputs: int, inputs: tuple[int, ...] | None = None) -> Graph:
        return verify(read(self.finish(inputs or (self.x,), outputs)), after="reading")


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.ops]


def rewritten(rewrite: Pass, graph: Graph) -> Graph:
    """`graph` after one pass: verified, and the graph it was made from untouched."""
    before = dump(graph)
    result = verify(rewrite(graph), after=rewrite.__name__)
    assert dump(graph) == before, "the pass changed its input"
    assert dump(rewrite(graph)) == dump(result), "the pass is not deterministic"
    return result
