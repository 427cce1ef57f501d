"""int4 weights: two to a byte, for half of the flatbuffer's bytes of weights.

The weights of convolutions and dense layers are rounded anew from the float ones to [-7, 7] with
one scale per output channel (-8 stays unused: symmetric, as int8's -128 is). A bias is stated in
steps of input scale * weight scale, so it is rounded anew too. Operators keep the versions of their
int8 form: that is what every runtime that can unpack int4 accepts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from exporter.convert import flatbuffer as fb
from exporter.worker import Array

LARGEST = 7
"""Of the magnitudes of a weight."""

LARGEST_BIAS = 2**30
"""Of the magnitudes of an int32 bias: the other half is left to the sum that is added to it."""


def with_int4_weights(flatbuffer: bytes, trained: bytes) -> bytes:
    """An int8 flatbuffer with the weights of `trained`, the float one it was made of, as int4."""
    model, original = fb.parse(flatbuffer), fb.parse(trained)
    pairs = fb.paired(model, original)
    twins = {layer.weights: (layer, twin) for layer, twin in pairs}
    for index, (layer, twin) in twins.items():
        weights = _float_weights(model, layer, original, twin)
        if weights is not None:
            _repack(model, [other for other, _ in pairs if other.weights == index], weights)
    return fb.serialise(model)


def _float_weights(
    model: fb.Model, layer: fb.WeightLayer, original: fb.Model, float_layer: fb.WeightLayer | None
) -> Array | None:
    """The weights before rounding; where a quantiser of the training hides them, the int8 ones.

    None for weights that are no int8 constant: they are computed.
    """
    stored = fb.constant(model, layer.weights)
    if stored is None or stored.dtype != np.int8:
        return None
    found = None if float_layer is None else fb.constant(original, float_layer.weights)
    if found is not None and found.dtype == np.float32 and found.shape == stored.shape:
        return found
    return stored * _along(fb.scales(model, layer.weights), stored.ndim, layer.axis)


def _repack(model: fb.Model, layers: Sequence[fb.WeightLayer], weights: Array) -> None:
    """Replaces the weights of the layers that share them, and the biases of each."""
    index, axis = layers[0].weights, layers[0].axis
    scales = channel_scales(weights, axis)
    biases = {layer.bias: _real_bias(model, layer) for layer in layers if layer.bias is not None}
    for real, input_scale in biases.values():
        # A channel of next to no weights would state its bias in steps too small to count them.
        scales = np.maximum(scales, np.abs(real) / input_scale / LARGEST_BIAS).astype(np.float32)
    for bias, (real, input_scale) in biases.items():
        bias_scales = (input_scale * scales).astype(np.float32)
        fb.set_scales(model, bias, bias_scales, axis=0)
        fb.set_data(model, bias, np.rint(real / bias_scales).astype(np.int32))
    fb.set_scales(model, index, scales, axis=axis)
    fb.set_data(model, index, packed(rounded(weights, scales, axis)))
    fb.tensors(model)[index].type = fb.schema().TensorType.INT4


def _real_bias(model: fb.Model, layer: fb.WeightLayer) -> tuple[Array, Array]:
    """The bias of a layer as real numbers [C], and the scale [1] of its input."""
    assert layer.bias is not None
    bias = fb.constant(model, layer.bias)
    assert bias is not None, "the quantiser writes constant biases"
    return bias * fb.scales(model, layer.bias), fb.scales(model, layer.input)


def channel_scales(weights: Array, axis: int) -> npt.NDArray[np.float32]:
    """What takes the largest weight of each channel to 7, float32 [C]; 1 where all are zero."""
    others = tuple(k for k in range(weights.ndim) if k != axis)
    largest = np.abs(weights).max(axis=others)
    return np.where(largest > 0, largest / LARGEST, 1).astype(np.float32)


def rounded(weights: Array, scales: npt.NDArray[np.float32], axis: int) -> npt.NDArray[np.int8]:
    """The weights in steps of their channel's scale, int8 from -7 to 7."""
    steps = np.rint(weights / _along(scales, weights.ndim, axis))
    return np.clip(steps, -LARGEST, LARGEST).astype(np.int8)


def packed(values: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
    """Two values to a byte, the first in the low half; an odd last one alone."""
    flat = values.ravel()
    pairs = np.append(flat, np.zeros(flat.size % 2, np.int8)).reshape(-1, 2).view(np.uint8)
    low, high = pairs[:, 0], pairs[:, 1]
    return np.bitwise_or(low & 0xF, high << 4, dtype=np.uint8)


def _along(scales: Array, dimensions: int, axis: int) -> Array:
    """Scales [C] or [1] in the shape that multiplies along `axis`."""
    shape = [1] * dimensions
    shape[axis] = -1
    return scales.reshape(shape)
