"""LOGISTIC: 1 / (1 + exp(-x)).

Source: `SigmoidPrepare` in tensorflow/lite/kernels/activations.cc.
"""

from __future__ import annotations

import math

import numpy as np

from exporter.graph.ir import Graph, Op, Tensor
from exporter.ops.lookup import Int64Array, LookupOperator, sampled


def output_scale_is_1_256(graph: Graph, op: Op) -> bool:
    """The output's scale is 1/256."""
    return graph[op.outputs[0]].scale == 1 / 256


class Logistic(LookupOperator):
    kind = "LOGISTIC"
    constraints = (*LookupOperator.constraints, output_scale_is_1_256)

    def table(self, source: Tensor, output: Tensor) -> Int64Array:
        return sampled(source, output, _logistic)


def _logistic(x: float) -> float:
    """In float32, rounded after every operation. Above 88, exp(-x) nears the end of float32."""
    exponential = np.float32(math.exp(min(-x, 88.0)))
    return float(np.float32(1) / (np.float32(1) + exponential))


OPERATOR = Logistic()
