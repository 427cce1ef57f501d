"""RELU_N1_TO_1: min(max(-1, x), 1), rescaled to the output's quantisation."""

from __future__ import annotations

from exporter.ops.lookup import Rectifier


class ReluN1To1(Rectifier):
    kind = "RELU_N1_TO_1"


OPERATOR = ReluN1To1()
