"""TANH: the hyperbolic tangent.

Source: `TanhPrepare` in tensorflow/lite/kernels/activations.cc; it calls the C library's `tanhf`.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from functools import cache

from exporter.graph.ir import Tensor
from exporter.ops.lookup import Int64Array, LookupOperator, sampled


class Tanh(LookupOperator):
    kind = "TANH"

    def table(self, source: Tensor, output: Tensor) -> Int64Array:
        return sampled(source, output, _tanhf())


@cache
def _tanhf() -> Callable[[float], float]:
    """The C library's float32 function: it is one unit away from the rounded tanh now and then."""
    try:
        function = ctypes.CDLL(None).tanhf
    except (AttributeError, OSError, TypeError):  # no such library on Windows
        return math.tanh
    function.argtypes, function.restype = [ctypes.c_float], ctypes.c_float
    return lambda x: float(function(x))


OPERATOR = Tanh()
