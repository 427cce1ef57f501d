"""TANH: the hyperbolic tangent.

Source: `TanhPrepare` in tensorflow/lite/kernels/activations.cc.
"""

from __future__ import annotations

import math

from exporter.graph.ir import Tensor
from exporter.ops.lookup import Int64Array, LookupOperator, sampled


class Tanh(LookupOperator):
    kind = "TANH"

    def table(self, source: Tensor, output: Tensor) -> Int64Array:
        return sampled(source, output, math.tanh)


OPERATOR = Tanh()
