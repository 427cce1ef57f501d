"""QUANTIZE from int8 to int8: the same values at another scale and zero point.

Source: `Prepare` in tensorflow/lite/kernels/quantize.cc, which divides the scales in double, and
`Requantize` in tensorflow/lite/kernels/internal/reference/requantize.h.
"""

from __future__ import annotations

from exporter.graph.ir import Graph, Op, Tensor
from exporter.ops.arithmetic import Multiplier, quantize_multiplier
from exporter.ops.lookup import Int64Array, LookupOperator, rescaled, rescaling_fits


def scales_are_close(graph: Graph, op: Op) -> bool:
    """The input's scale is at most about 2^23 output scales: rescaling must not overflow int32."""
    source, output = graph[op.input(0)], graph[op.outputs[0]]
    return rescaling_fits(source, _multiplier(source, output))


class Quantize(LookupOperator):
    kind = "QUANTIZE"
    constraints = (*LookupOperator.constraints, scales_are_close)

    def table(self, source: Tensor, output: Tensor) -> Int64Array:
        return rescaled(source, output, _multiplier(source, output), "NONE")


def _multiplier(source: Tensor, output: Tensor) -> Multiplier:
    return quantize_multiplier(source.scale / output.scale)


OPERATOR = Quantize()
