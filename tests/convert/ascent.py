"""A process with TensorFlow that pushes inputs of a float classifier towards given classes.

    ascend    fields: path, low, high;
              arrays: samples float32 [N, ...], classes int64 [N],
                      leads float32 [N]             -> arrays: [samples float32 [N, ...]]

A sample's lead is the score (the softmax's input) of its class over the best other one. Samples are
changed until they have the lead that was asked for, so that small leads make hard samples.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from exporter.arrays import Array
from exporter.convert.sources import Loaded, find_source
from exporter.convert.sources.base import tensorflow
from exporter.worker import Message, Progress, serve

MOST_STEPS = 60
LARGEST_STEP = 0.02
"""Of one number in one step, as a share of the inputs' range."""

LeadOf = Callable[[Any, Any], tuple[Any, Any]]


def ascend(request: Message, progress: Progress) -> Message:
    """Steps along the gradient to where the lead would be the wanted one, were it linear."""
    samples, classes, leads = request.arrays
    low, high = request.fields["low"], request.fields["high"]
    path = Path(request.fields["path"])
    lead_of = _lead_and_gradient(find_source(path).load(path))
    moved = samples.copy()
    left = np.arange(len(moved))
    for _ in range(MOST_STEPS):
        lead, gradient = (np.asarray(t) for t in lead_of(moved[left], classes[left]))
        short = lead < leads[left]
        left = left[short]
        if not left.size:
            break
        step = _step(gradient[short], leads[left] - lead[short], LARGEST_STEP * (high - low))
        moved[left] = np.clip(moved[left] + step, low, high)
    return Message("done", {}, [moved])


def _step(gradient: Array, missing: Array, largest: float) -> Array:
    """For each sample the step that adds `missing` to its lead, no number by over `largest`."""
    axes = tuple(range(1, gradient.ndim))
    squares = np.sum(gradient**2, axis=axes)
    factor = missing / np.maximum(squares, np.finfo(np.float32).tiny)
    step: Array = gradient * np.expand_dims(factor, axes)
    return np.clip(step, -largest, largest)


def _lead_and_gradient(model: Loaded) -> LeadOf:
    """Of float32 [N, ...] samples and their classes int64 [N]: leads [N], gradients [N, ...]."""
    tf: Any = tensorflow()
    (edge,) = model.inputs
    spec = tf.TensorSpec((None, *edge.shape), tf.float32, name=edge.name)
    graph, fed, fetched = _scores(tf, model, spec)

    def lead_and_gradient(x: Any, classes: Any) -> tuple[Any, Any]:
        (scores,) = tf.import_graph_def(graph, {fed: x}, [fetched], name="")
        wanted = tf.one_hot(classes, scores.shape[-1])
        others = tf.reduce_max(tf.where(wanted > 0, -np.inf, scores), axis=-1)
        lead = tf.reduce_sum(wanted * scores, axis=-1) - others
        return lead, tf.gradients(lead, x)[0]

    signature = [spec, tf.TensorSpec((None,), tf.int64)]
    function: LeadOf = tf.function(lead_and_gradient, input_signature=signature)
    return function


def _scores(tf: Any, model: Loaded, spec: Any) -> tuple[Any, str, str]:
    """The model's graph, and the names of its input and of what its softmax reads.

    Frozen, because that leaves no function in which the softmax could hide.
    """
    freeze = importlib.import_module("tensorflow.python.framework.convert_to_constants")
    concrete = tf.function(model.call).get_concrete_function(spec)
    frozen = freeze.convert_variables_to_constants_v2(concrete)
    softmax = [op for op in frozen.graph.get_operations() if op.type == "Softmax"][-1]
    return frozen.graph.as_graph_def(), frozen.inputs[0].name, softmax.inputs[0].name


if __name__ == "__main__":
    serve({"ascend": ascend})
