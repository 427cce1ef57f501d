"""One small model's complete C output, as a person reads it, kept to be compared.

After a wanted change: python -m tests.golden
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from exporter.render.model import render_model
from tests import random_layers as layers
from tests import random_shape_layers as shapes
from tests.flatbuffer_builder import ModelBuilder
from tests.ops.harness import compile_graph

FOLDER = Path(__file__).resolve().parent / "small_cnn"
COMMAND = "python -m tests.golden"


def golden_model() -> bytes:
    """A little of everything: padding, depthwise, residual addition, pooling, dense, softmax."""
    rng = np.random.default_rng(2026)
    builder = ModelBuilder("golden")
    x = layers.activation_tensor(builder, rng, (1, 6, 6, 2), "image")
    y = layers.conv_2d(builder, rng, x, 4, activation="RELU", name="conv/Relu;conv/BiasAdd")
    z = layers.depthwise_conv_2d(builder, rng, y, name="depthwise")
    y = layers.binary(builder, rng, "ADD", y, z, name="residual")
    y = layers.pool_2d(builder, rng, "MAX_POOL_2D", y)
    y = shapes.reshape(builder, rng, y, (1, 36))
    y = layers.fully_connected(builder, rng, y, 3, name="logits")
    return builder.finish([x], [shapes.softmax(builder, rng, y, name="scores")])


def golden_files() -> dict[str, str]:
    """The text of each file by name. Rendered with guards, as for a firmware with the link."""
    _, program = compile_graph(golden_model())
    files = render_model(program, prefix="small_cnn", guard_bytes=32)
    return {Path(path).name: text for path, text in files.items()}


def update() -> None:
    """Writes the golden files anew, and removes those that are no longer rendered."""
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.iterdir():
        path.unlink()
    for name, text in golden_files().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
