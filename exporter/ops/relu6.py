"""RELU6: min(max(0, x), 6), rescaled to the output's quantisation."""

from __future__ import annotations

from exporter.ops.lookup import Rectifier


class Relu6(Rectifier):
    kind = "RELU6"


OPERATOR = Relu6()
