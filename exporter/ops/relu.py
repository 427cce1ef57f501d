"""RELU: max(0, x), rescaled to the output's quantisation."""

from __future__ import annotations

from exporter.ops.lookup import Rectifier


class Relu(Rectifier):
    kind = "RELU"


OPERATOR = Relu()
