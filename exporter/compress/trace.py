"""The channels of every tensor of a network, and the network with some of them removed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporter.compress.channels import Channels, Group, Ids, Mask
from exporter.compress.network import Call, Network, copied, read_network, rebuilt
from exporter.compress.rules import Axis, refused, rule_of


@dataclass(frozen=True, eq=False)
class Trace:
    """A network with the class of each channel of each tensor, by the tensor's identity."""

    network: Network
    classes_of: dict[int, Ids]
    groups: tuple[Group, ...]
    all_kept: Mask
    """A mask by class that keeps all: what `macs` and `smaller` take."""

    def indices(self, tensor: Any, kept: Mask) -> NDArray[np.int64]:
        """The channels of a tensor that are left."""
        return np.flatnonzero(kept[self.classes_of[id(tensor)]])

    def macs(self, kept: Mask) -> int:
        """Multiply-accumulates of one inference of what is left."""
        return sum(
            rule_of(c).macs(c, self._count(c.inputs[0], kept), self._count(c.output, kept))
            for c in self.network.calls
        )

    def _count(self, tensor: Any, kept: Mask) -> int:
        return int(kept[self.classes_of[id(tensor)]].sum())

    def axes(self) -> Iterator[Axis]:
        """Every axis of a weight that belongs to channels, once; `ids` are classes."""
        for call in first_uses(self.network):
            yield from self._axes(call)

    def _axes(self, call: Call) -> list[Axis]:
        inputs, output = self.classes_of[id(call.inputs[0])], self.classes_of[id(call.output)]
        return rule_of(call).axes(call.layer, inputs, output)

    def smaller(self, kept: Mask, *, weights: bool = True) -> Any:
        """A new model of the channels that are left, with their weights or with fresh ones."""
        model = rebuilt(
            self.network,
            lambda call: copied(
                call.layer, **rule_of(call).settings(call, self._count(call.output, kept))
            ),
        )
        for call in first_uses(self.network) if weights else ():
            model.get_layer(call.name).set_weights(self._weights(call, kept))
        return model

    def _weights(self, call: Call, kept: Mask) -> list[NDArray[np.float32]]:
        """The layer's weights without the entries of channels that go."""
        axes = self._axes(call)
        arrays = []
        for weight in call.layer.weights:
            array = np.asarray(weight)
            for axis in axes:
                if axis.weight is weight:
                    array = np.take(array, np.flatnonzero(kept[axis.ids]), axis.axis)
            arrays.append(array)
        return arrays


def trace_model(model: Any) -> Trace:
    """The channels of a model. Raises BadInput for layers that cannot be followed."""
    network, channels = read_network(model), Channels()
    ids: dict[int, Ids] = {}
    for tensor in network.inputs:
        ids[id(tensor)] = channels.make(tensor.shape[-1], f"input {tensor.name}")
        channels.pin(ids[id(tensor)])
    uses: dict[str, tuple[Ids, Ids]] = {}
    for call in network.calls:
        ids[id(call.output)] = _traced(call, [ids[id(t)] for t in call.inputs], channels, uses)
    for tensor in network.outputs:
        channels.pin(ids[id(tensor)])
    classes = channels.classes()
    return Trace(
        network,
        {tensor: classes[found] for tensor, found in ids.items()},
        tuple(channels.groups()),
        np.ones(len(channels), np.bool_),
    )


def _traced(
    call: Call, inputs: list[Ids], channels: Channels, uses: dict[str, tuple[Ids, Ids]]
) -> Ids:
    """Identities of the output; a layer that is used twice has the same channels both times."""
    rule = rule_of(call)
    if not rule.has_channels:
        return _checked(call, rule.trace(call, inputs, channels))
    if call.name not in uses:
        uses[call.name] = inputs[0], _checked(call, rule.trace(call, inputs, channels))
    else:
        channels.unite(uses[call.name][0], inputs[0])
    return uses[call.name][1]


def _checked(call: Call, output: Ids) -> Ids:
    """Raises BadInput unless there is an identity for each channel of the output."""
    if len(output) != call.output.shape[-1]:
        value = f"{call.output.shape[-1]} channels instead of {len(output)}"
        raise refused(call, value, "as many channels as in the input, the last axis")
    return output


def first_uses(network: Network) -> list[Call]:
    """One call of each layer."""
    return list({call.name: call for call in reversed(network.calls)}.values())[::-1]
