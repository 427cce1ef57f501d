"""Batch normalisations folded into the layers before them, as the converter does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporter.compress.network import Call, Network, copied, read_network, rebuilt
from exporter.compress.rules import activation_of
from exporter.compress.trace import first_uses

FOLDABLE = ("Conv1D", "Conv2D", "Dense", "DepthwiseConv1D", "DepthwiseConv2D")


def folded(model: Any) -> Any:
    """The same function without the batch normalisations that follow a linear layer directly.

    The model must be one that compression can follow. It is left as it is; the result has weights
    of its own.
    """
    network = read_network(model)
    followers = {c.name: n for c in first_uses(network) if (n := _normalisation(network, c))}
    gone = {normalisation.name for normalisation in followers.values()}

    def layer_for(call: Call) -> Any:
        if call.name in gone:
            return None
        return copied(call.layer, **({"use_bias": True} if call.name in followers else {}))

    result = rebuilt(network, layer_for)
    for call in first_uses(network):
        if call.name in followers:
            weights = _folded_weights(call.layer, followers[call.name].layer)
            result.get_layer(call.name).set_weights(weights)
        elif call.name not in gone:
            result.get_layer(call.name).set_weights(call.layer.get_weights())
    return result


def _normalisation(network: Network, call: Call) -> Call | None:
    """The batch normalisation that alone reads what this layer computes, both used once."""
    readers = network.consumers(call.output)
    is_output = any(t is call.output for t in network.outputs)
    if call.kind not in FOLDABLE or activation_of(call.layer) != "linear" or is_output:
        return None
    if len(readers) != 1 or readers[0].kind != "BatchNormalization":
        return None
    if readers[0].layer.axis not in (-1, len(call.output.shape) - 1):
        return None
    names = [c.name for c in network.calls]
    used_once = names.count(call.name) == names.count(readers[0].name) == 1
    return readers[0] if used_once else None


def _folded_weights(layer: Any, normalisation: Any) -> list[NDArray[np.float32]]:
    """Kernel and bias of `layer` with the normalisation's affine map in them."""
    n = normalisation
    scale = 1.0 / np.sqrt(np.asarray(n.moving_variance, np.float64) + n.epsilon)
    scale = scale * (np.asarray(n.gamma, np.float64) if n.scale else 1.0)
    kernel = np.asarray(layer.kernel, np.float64)
    bias = np.asarray(layer.bias, np.float64) if layer.use_bias else np.zeros(len(scale))
    bias = (bias - np.asarray(n.moving_mean, np.float64)) * scale
    bias = bias + (np.asarray(n.beta, np.float64) if n.center else 0.0)
    # A depthwise kernel is [..., C, multiplier]: its last two axes are the output's channels.
    if type(layer).__name__.startswith("Depthwise"):
        kernel = kernel * scale.reshape(kernel.shape[-2:])
    else:
        kernel = kernel * scale
    return [kernel.astype(np.float32), bias.astype(np.float32)]
