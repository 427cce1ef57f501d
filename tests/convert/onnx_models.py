"""Small ONNX models, made with onnx.helper: those that must convert, and those that must not."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Shape = Sequence[int | str]


class Builder:
    """Nodes and random weights of one model, from a seed of its own."""

    def __init__(self) -> None:
        self._onnx: Any = importlib.import_module("onnx")
        self._random = np.random.default_rng(0)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        node = self._onnx.helper.make_node(op, list(inputs), [output], name=output, **attributes)
        self.nodes.append(node)
        return output

    def constant(self, name: str, array: Any) -> str:
        self.weights.append(self._onnx.numpy_helper.from_array(np.asarray(array), name))
        return name

    def weight(self, name: str, *shape: int) -> str:
        scale = 1 / np.sqrt(np.prod(shape[1:]))
        return self.constant(name, (self._random.normal(size=shape) * scale).astype(np.float32))

    def conv(self, x: str, name: str, shape: tuple[int, ...], **attributes: Any) -> str:
        size = shape[-1]
        attributes = {"kernel_shape": [size] * 2, "pads": [size // 2] * 4, **attributes}
        bias = self.constant(f"{name}_b", self._random.normal(size=shape[0]).astype("f4"))
        inputs = [x, self.weight(f"{name}_w", *shape), bias]
        return self.add("Conv", inputs, name, **attributes)

    def batch_norm(self, x: str, name: str, channels: int) -> str:
        rows = {k: self._random.uniform(0.5, 1.5, channels).astype("f4") for k in "sbmv"}
        return self.add(
            "BatchNormalization",
            [x, *(self.constant(f"{name}_{k}", v) for k, v in rows.items())],
            name,
        )

    def dense(self, x: str, name: str, shape: tuple[int, int]) -> str:
        bias = self.constant(f"{name}_b", self._random.normal(size=shape[0]).astype("f4"))
        return self.add("Gemm", [x, self.weight(f"{name}_w", *shape), bias], name, transB=1)

    def save(
        self, path: Path, inputs: dict[str, Shape], outputs: dict[str, Shape], **how: Any
    ) -> None:
        """`how`: dtype of the inputs, further domains."""
        helper, proto = self._onnx.helper, self._onnx.TensorProto
        dtype = getattr(proto, how.get("dtype", "FLOAT"))
        domains = [helper.make_opsetid(d, 1) for d in how.get("domains", ())]
        graph = helper.make_graph(
            self.nodes,
            path.stem,
            [helper.make_tensor_value_info(n, dtype, s) for n, s in inputs.items()],
            [helper.make_tensor_value_info(n, proto.FLOAT, s) for n, s in outputs.items()],
            self.weights,
        )
        opsets = [helper.make_opsetid("", 17), *domains]
        self._onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))


def save_good_models(folder: Path) -> None:
    """plain, depthwise, residual, pair, cube, map (an image as output)."""
    b = Builder()
    x = b.add("Relu", [b.batch_norm(b.conv("image", "c", (8, 3, 3, 3)), "n", 8)], "r")
    x = b.add("MaxPool", [x], "p", kernel_shape=[2, 2], strides=[2, 2])
    x = b.add("Flatten", [x], "f")
    b.dense(x, "y", (5, 8 * 4 * 3))
    b.save(folder / "plain.onnx", {"image": ["N", 3, 8, 6]}, {"y": ["N", 5]})

    b = Builder()
    x = b.conv("image", "d", (4, 1, 3, 3), group=4, strides=[2, 2])
    low, high = b.constant("low", np.float32(0)), b.constant("high", np.float32(6))
    x = b.conv(b.add("Clip", [x, low, high], "r"), "p", (6, 4, 1, 1))
    x = b.add("Flatten", [b.add("GlobalAveragePool", [x], "g")], "f")
    b.add("Softmax", [b.dense(x, "l", (3, 6))], "y", axis=-1)
    b.save(folder / "depthwise.onnx", {"image": [1, 4, 8, 8]}, {"y": [1, 3]})

    b = Builder()
    x = b.add("Relu", [b.conv("image", "a", (4, 2, 3, 3))], "ra")
    x = b.add("Relu", [b.add("Add", [b.conv(x, "b", (4, 4, 3, 3)), x], "sum")], "rb")
    x = b.add("AveragePool", [x], "p", kernel_shape=[2, 2], strides=[2, 2])
    b.dense(b.add("Flatten", [x], "f"), "y", (4, 4 * 3 * 3))
    b.save(folder / "residual.onnx", {"image": [1, 2, 6, 6]}, {"y": [1, 4]})

    b = Builder()
    x = b.add("GlobalAveragePool", [b.conv("image", "c", (4, 2, 3, 3))], "g")
    x = b.add("Concat", [b.add("Flatten", [x], "f"), "extra.1"], "both", axis=1)
    b.add("Sigmoid", [b.dense(x, "probability", (2, 7))], "second")
    # Against the alphabet, and with a name that is none in TensorFlow.
    inputs: dict[str, Shape] = {"image": ["N", 2, 5, 4], "extra.1": ["N", 3]}
    b.save(folder / "pair.onnx", inputs, {"second": ["N", 2], "probability": ["N", 2]})

    b = Builder()
    x = b.add("Flatten", [b.conv("image", "c", (3, 3, 3, 3))], "f")
    b.dense(x, "y", (4, 27))
    b.save(folder / "cube.onnx", {"image": [1, 3, 3, 3]}, {"y": [1, 4]})

    b = Builder()
    b.add("Relu", [b.conv("image", "c", (3, 2, 3, 3))], "y")
    b.save(folder / "map.onnx", {"image": [1, 2, 5, 4]}, {"y": [1, 3, 5, 4]})


def save_bad_models(folder: Path) -> None:
    """One model for each reason to refuse one; the names say which."""

    def relu(name: str, shape: Shape, **how: Any) -> None:
        b = Builder()
        b.add("Abs", ["x"], "y")
        b.save(folder / name, {"x": shape}, {"y": shape}, **how)

    relu("dynamic.onnx", ["N", 3, "H", 4])
    relu("batch.onnx", [8, 4])
    relu("scalar.onnx", [])

    b = Builder()
    b.add("Cast", ["x"], "y", to=1)
    b.save(folder / "integer.onnx", {"x": [1, 4]}, {"y": [1, 4]}, dtype="INT64")

    b = Builder()
    b.add("Mystery", ["x"], "y", domain="mine")
    b.save(folder / "custom.onnx", {"x": [1, 4]}, {"y": [1, 4]}, domains=["mine"])

    b = Builder()
    b.add("QuantizeLinear", ["x", b.constant("s", np.float32(0.1))], "q")
    b.add("DequantizeLinear", ["q", "s"], "y")
    b.save(folder / "quantised.onnx", {"x": [1, 4]}, {"y": [1, 4]})

    # onnx2tf makes an operator of TensorFlow proper of it, which the interpreter even runs.
    b = Builder()
    b.add("Det", ["x"], "y")
    b.save(folder / "no_form.onnx", {"x": [1, 4, 4]}, {"y": [1]})

    # ONNX's checker passes what cannot be computed: 4 features times weights for 5.
    b = Builder()
    b.dense("x", "y", (2, 5))
    b.save(folder / "misfit.onnx", {"x": [1, 4]}, {"y": [1, 2]})
