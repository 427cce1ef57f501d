"""SUB: left - right, with broadcasting and a fused activation."""

from __future__ import annotations

from exporter.ops.additive import AdditiveOperator


class Sub(AdditiveOperator):
    kind = "SUB"
    sign = -1


OPERATOR = Sub()
