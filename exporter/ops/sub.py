"""SUB: left - right, with broadcasting and a fused activation."""

from __future__ import annotations

from exporter.ops.additive import AdditiveOperator


class Sub(AdditiveOperator):
    kind = "SUB"
    input_counts = (2, 2)
    sign = -1


OPERATOR = Sub()
