"""Quantisation-aware training: the model feels the rounding to int8 while it learns.

Weights are rounded as the converter rounds them: symmetric, -127..127, a scale for each output
channel. Activations: asymmetric, 256 steps, ranges that are moving averages. Gradients pass through
the rounding as if it were not there, inside of the range (Y. Bengio et al., 2013; B. Jacob et al.,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
CVPR 2018). Batch normalisations are folded before, so the weights are those that will be rounded.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from exporter.compress.data import Data
from exporter.compress.fold import folded
from exporter.compress.network import Call, read_network
from exporter.compress.rules import activation_of, rule_of
from exporter.compress.settings import Training
from exporter.compress.task import task_of
from exporter.compress.training import Progress, Trainee, fit

MOMENTUM = 0.99
_OBSERVED = 512
_SMALLEST_RANGE = 1e-6

# Their output has the range of their input, or is never stored between two layers.
_SAME_RANGE = (
    "Flatten", "Reshape", "Identity", "Dropout", "SpatialDropout1D", "SpatialDropout2D",
    "GaussianDropout", "GaussianNoise", "MaxPooling1D", "MaxPooling2D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "ZeroPadding1D", "ZeroPadding2D", "Cropping1D", "Cropping2D",
)  # fmt: skip
_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


def quantisation_aware(model: Any, data: Data, training: Training, progress: Progress) -> Any:
    """A copy of the model, batch normalisations folded, trained to be rounded to int8.

    Raises BadInput for layers that compression does not know and samples that do not fit.
    """
    task = task_of(model, data)
    rounded = RoundedModel(folded(model))
    rounded.observe(data.train.x[:_OBSERVED])
    fit(rounded.trainee(), data, task, training, progress)
    return rounded.model


class RoundedModel:
    """A model whose weights and activations are rounded as in int8. Its variables stay float."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._network = read_network(model)
        for call in self._network.calls:
            rule_of(call)
        tensors = [*self._network.inputs, *(c.output for c in self._network.calls)]
        self._ranges = {id(t): _Range() for t in tensors if self._is_stored(t)}

    def _is_stored(self, tensor: Any) -> bool:
        """Whether int8 values of its own range are stored for a tensor."""
        if any(tensor is t for t in self._network.outputs):
            return False  # its scale is fixed, or nothing computes with it
        makers = [c for c in self._network.calls if c.output is tensor]
        if makers and makers[0].kind in _SAME_RANGE:
            return False
        readers = self._network.consumers(tensor)
        return not (makers and len(readers) == 1 and is_fused(makers[0], readers[0]))

    def trainee(self) -> Trainee:
        """For `fit`."""
        ranges = [v for r in self._ranges.values() for v in (r.low, r.high)]
        return Trainee(self, self.model.trainable_variables, [*self.model.variables, *ranges])

    def observe(self, x: Any) -> None:
        """Sets the ranges to those of the samples."""
        for key, value in self._run(tf.constant(x), training=False, rounds=False).items():
            if key in self._ranges:
                self._ranges[key].set(value)

    def __call__(self, x: Any, training: bool) -> Any:
        """The output of the rounded model; moves the ranges while training."""
        return self._run(x, training=training, rounds=True)[id(self._network.outputs[0])]

    def _run(self, x: Any, *, training: bool, rounds: bool) -> dict[int, Any]:
        """The value of each tensor."""

        def stored(tensor: Any, value: Any) -> Any:
            return self._stored(tensor, value, training) if rounds else value

        values = {id(self._network.inputs[0]): stored(self._network.inputs[0], x)}
        for call in self._network.calls:
            value = _called(call, call.arguments(values), training, rounds)
            values[id(call.output)] = stored(call.output, value)
        return values

    def _stored(self, tensor: Any, value: Any, training: bool) -> Any:
        if id(tensor) not in self._ranges:
            return value
        return self._ranges[id(tensor)].rounded(value, training)


class _Range:
    """The moving range of an activation; it always holds zero."""

    def __init__(self) -> None:
        self.low = keras.Variable(0.0, trainable=False)
        self.high = keras.Variable(0.0, trainable=False)

    def set(self, value: Any) -> None:
        self.low.assign(ops.minimum(ops.min(value), 0.0))
        self.high.assign(ops.maximum(ops.max(value), 0.0))

    def rounded(self, value: Any, training: bool) -> Any:
        if training:
            low, high = ops.minimum(ops.min(value), 0.0), ops.maximum(ops.max(value), 0.0)
            self.low.assign(MOMENTUM * self.low + (1 - MOMENTUM) * ops.stop_gradient(low))
            self.high.assign(MOMENTUM * self.high + (1 - MOMENTUM) * ops.stop_gradient(high))
        return rounded_activation(value, self.low.value, self.high.value)


def rounded_activation(value: Any, low: Any, high: Any) -> Any:
    """Rounded to the 256 steps of a range around zero, whose zero point is a whole number."""
    scale = ops.maximum((high - low) / 255.0, _SMALLEST_RANGE)
    zero_point = ops.round(-low / scale)
    low, high = -zero_point * scale, (255.0 - zero_point) * scale
    clipped = ops.clip(value, low, high)
    return _straight_through(clipped, ops.round(clipped / scale) * scale)


def rounded_kernel(kernel: Any, channel_axes: int) -> Any:
    """Rounded to -127..127 times a scale for each output channel, the last axes of the kernel."""
    inner = tuple(range(len(kernel.shape) - channel_axes))
    largest = ops.max(ops.abs(kernel), axis=inner, keepdims=True)
    scale = ops.stop_gradient(ops.maximum(largest / 127.0, 1e-12))
    return _straight_through(kernel, ops.round(kernel / scale) * scale)


def _straight_through(value: Any, rounded: Any) -> Any:
    return value + ops.stop_gradient(rounded - value)


def _called(call: Call, arguments: Any, training: bool, rounds: bool) -> Any:
    """The layer's output; batch normalisations that could not be folded keep their statistics."""
    layer = call.layer
    learns = training and call.kind != "BatchNormalization"
    options = {"training": learns} if "training" in signature(layer.call).parameters else {}
    if not rounds or not any(v.name in _KERNELS for v in layer.trainable_variables):
        return layer(arguments, **options)
    weights = [_rounded_weight(call, v) for v in layer.trainable_variables]
    output, _ = layer.stateless_call(weights, layer.non_trainable_variables, arguments, **options)
    return output


def _rounded_weight(call: Call, variable: Any) -> Any:
    if variable.name not in _KERNELS:
        return variable.value
    is_depthwise = variable.name == "depthwise_kernel" or call.kind.startswith("Depthwise")
    return rounded_kernel(variable.value, 2 if is_depthwise else 1)


def is_fused(maker: Call, reader: Call) -> bool:
    """Whether only the reader's output is stored: an activation right after a linear layer.

    A normalisation that was not folded is an operator of its own, whose input is stored.
    """
    makes = any(v.name in _KERNELS for v in maker.layer.variables) or maker.kind == "Add"
    activation = activation_of(reader.layer)
    is_relu = reader.kind == "ReLU" or (reader.kind == "Activation" and "relu" in activation)
    return makes and is_relu
