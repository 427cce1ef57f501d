"""ADD: left + right, with broadcasting and a fused activation."""

from __future__ import annotations

from exporter.ops.additive import AdditiveOperator


class Add(AdditiveOperator):
    kind = "ADD"
    input_counts = (2, 2)
    sign = 1


OPERATOR = Add()
