"""How much the channels of a model matter.

`taylor`: the first-order estimate of how the loss changes without a channel (P. Molchanov et al.,
"Importance Estimation for Neural Network Pruning", CVPR 2019): of each weight that
makes the channel, frozen or not, the square of the sum of its entries times their gradients; these
summed over weights and batches.
`norm`: the length of the filters that make it times its scales of batch normalisation (Z. Liu et
al., "Learning Efficient Convolutional Networks through Network Slimming", ICCV 2017), each relative
to its layer's mean. Needs no data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from exporter.compress.data import Samples
from exporter.compress.rules import Axis
from exporter.compress.trace import Trace

Scores = NDArray[np.float64]
"""By class of channels, as the masks of `Trace`."""

BATCH = 32
MOST_BATCHES = 64
STATISTICS = ("moving_mean", "moving_variance")
"""Of batch normalisations: nothing is learnt there."""


def taylor(trace: Trace, samples: Samples, loss: Callable[[Any, Any], Any]) -> Scores:
    """First-order scores over at most 64 batches of 32 samples."""
    axes = [a for a in trace.axes() if a.makes and a.weight.name not in STATISTICS]
    variables = list({id(axis.weight): axis.weight for axis in axes}.values())
    position = {id(variable): index for index, variable in enumerate(variables)}
    model = trace.network.model

    def gradients(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([v.value for v in variables])
            value = tf.reduce_mean(loss(y, model(x, training=False)))
        return tape.gradient(value, [v.value for v in variables])

    compiled = tf.function(gradients, reduce_retracing=True)
    scores = np.zeros(len(trace.all_kept))
    for start in range(0, min(len(samples), BATCH * MOST_BATCHES), BATCH):
        batch = samples[slice(start, start + BATCH)]
        found = [np.asarray(g) for g in compiled(tf.constant(batch.x), tf.constant(batch.y))]
        for axis in axes:
            terms = np.asarray(axis.weight) * found[position[id(axis.weight)]]
            np.add.at(scores, axis.ids, _sums(terms, axis) ** 2)
    return scores


def norm(trace: Trace) -> Scores:
    """Scores from the weights alone."""
    filters, scales = np.zeros(len(trace.all_kept)), np.zeros(len(trace.all_kept))
    is_scaled = np.zeros(len(trace.all_kept), np.bool_)
    for axis in trace.axes():
        if axis.makes and axis.weight.name in ("kernel", "pointwise_kernel"):
            np.add.at(filters, axis.ids, _relative(np.sqrt(_sums(_array(axis) ** 2, axis))))
        elif axis.weight.name == "gamma":
            np.add.at(scales, axis.ids, _relative(np.abs(_array(axis))))
            is_scaled[axis.ids] = True
    return np.asarray(filters * np.where(is_scaled, scales, 1.0))


def _array(axis: Axis) -> NDArray[np.float64]:
    return np.asarray(axis.weight, np.float64)


def _sums(values: NDArray[np.float64], axis: Axis) -> NDArray[np.float64]:
    """Over all axes but this one."""
    moved = np.moveaxis(values, axis.axis, 0)
    sums: Scores = moved.reshape(len(moved), -1).sum(axis=1)
    return sums


def _relative(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values / max(float(values.mean()), 1e-12))
