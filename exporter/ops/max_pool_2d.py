"""MAX_POOL_2D: the largest value of each window.

Source: `MaxPool` in tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h.
"""

from __future__ import annotations

from exporter.ops.pooling import Pool2D


class MaxPool2D(Pool2D):
    kind = "MAX_POOL_2D"
    operation = "max"


OPERATOR = MaxPool2D()
