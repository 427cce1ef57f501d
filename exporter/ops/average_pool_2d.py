"""AVERAGE_POOL_2D: the mean of each window, rounded, halves away from zero.

Source: `AveragePool` in tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h.
"""

from __future__ import annotations

from exporter.ops.pooling import Pool2D


class AveragePool2D(Pool2D):
    kind = "AVERAGE_POOL_2D"
    operation = "average"


OPERATOR = AveragePool2D()
