"""Multiply-accumulates of a Keras model, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from exporter.compress.network import read_network
from exporter.compress.rules import rule_of


@dataclass(frozen=True)
class LayerMacs:
    """One use of a layer: the channels of its output, and the MACs of one inference."""

    name: str
    kind: str
    channels: int
    macs: int


def layer_macs(model: Any) -> list[LayerMacs]:
    """The layers that multiply, in order. Raises BadInput for a layer that is not known."""
    found = []
    for call in read_network(model).calls:
        channels = call.output.shape[-1]
        macs = rule_of(call).macs(call, call.inputs[0].shape[-1], channels)
        if macs:
            found.append(LayerMacs(call.name, call.kind, channels, macs))
    return found


def count_macs(model: Any) -> int:
    """Multiply-accumulates of one inference. Raises BadInput for a layer that is not known."""
    return sum(layer.macs for layer in layer_macs(model))
