"""Float flatbuffers made of functions of TensorFlow, for tests of what comes after the sources."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from exporter.convert.bias_correction import corrected
from exporter.convert.int4 import with_int4_weights
from exporter.convert.interchange import float_flatbuffer
from exporter.convert.observe import observe
from exporter.convert.quantize import quantized
from exporter.convert.ranges import chosen_range
from exporter.convert.settings import ConvertSettings
from exporter.convert.sources import Loaded, ModelInput
from exporter.worker import Array


def tf() -> Any:
    return importlib.import_module("tensorflow")


def silent(_: str) -> None:
    """A progress that nobody sees."""


def flatbuffer_of(function: Callable[..., Any], shape: Sequence[int]) -> bytes:
    """The float flatbuffer of a function of one input [N, *shape]."""
    model = Loaded((ModelInput("x", tuple(shape), "float32"),), lambda x: [function(x)])
    return float_flatbuffer(model, silent)


def converted(flatbuffer: bytes, samples: Array, settings: ConvertSettings) -> bytes:
    """What the worker does with a float flatbuffer, in this process."""
    seen = observe(flatbuffer, [samples], silent)
    ranges = {k: chosen_range(o, settings) for k, o in seen.items()}
    result = quantized(flatbuffer, ranges, settings)
    if settings.weights == "int4":
        result = with_int4_weights(result, flatbuffer)
    if settings.bias_correction:
        result = corrected(result, flatbuffer, [samples], silent)
    return result


def small_cnn(seed: int = 0) -> Callable[[Any], Any]:
    """Convolution, depthwise convolution, mean, dense layer, softmax; 7 classes."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> Any:
        return tf().constant(rng.normal(0, 0.4, shape).astype(np.float32))

    first, deep, dense = weights(3, 3, 2, 5), weights(3, 3, 5, 1), weights(5, 7)
    biases = [weights(5), weights(5), weights(7)]

    def call(x: Any) -> Any:
        nn = tf().nn
        x = nn.relu(nn.conv2d(x, first, 1, "SAME") + biases[0])
        x = nn.relu(nn.depthwise_conv2d(x, deep, [1, 1, 1, 1], "SAME") + biases[1])
        x = tf().reduce_mean(x, [1, 2])
        return nn.softmax(tf().matmul(x, dense) + biases[2])

    return call


IMAGE = (6, 6, 2)


def images(count: int = 40) -> Array:
    return np.random.default_rng(1).normal(size=(count, *IMAGE)).astype(np.float32)
