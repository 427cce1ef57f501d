"""What the layers do to channels, the last axis: one rule for each kind of layer.

To add a layer: find the rule that describes it, or write one, and add a line to RULES. A rule says
how identities of channels pass through (`trace`), which axes of which weights belong to them
(`axes`), which settings count them (`settings`) and how many MACs it takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exporter.compress.channels import Channels, Ids
from exporter.compress.network import Call
from exporter.errors import BadInput

_MIXING = ("softmax", "log_softmax", "sparsemax")
"""Activations that compute each channel from all of them."""


@dataclass(frozen=True, eq=False)
class Axis:
    """An axis of a weight whose entries belong to channels. `makes`: to those it computes."""

    weight: Any
    axis: int
    ids: Ids
    makes: bool


class Rule:
    """Layers that treat each channel alike and on its own, and have no weights."""

    has_channels = False
    """Whether weights or settings depend on the channels, so that all uses must agree on them."""

    def trace(self, call: Call, ids: Sequence[Ids], channels: Channels) -> Ids:
        """Identities of the output's channels. Raises BadInput for settings it does not know."""
        if activation_of(call.layer) in _MIXING:
            channels.pin(ids[0])
        return ids[0]

    def axes(self, layer: Any, inputs: Ids, output: Ids) -> list[Axis]:
        """The axes of the weights that belong to channels of the first input and the output."""
        return []

    def settings(self, call: Call, kept: int) -> dict[str, Any]:
        """Changes of the layer's configuration for an output of `kept` channels."""
        return {}

    def macs(self, call: Call, inputs: int, output: int) -> int:
        """Of one inference, with so many channels left of the first input and of the output."""
        return 0


class _Makes(Rule):
    """Layers that make new channels out of all channels of the input."""

    has_channels = True
    counted_by = "filters"

    def trace(self, call: Call, ids: Sequence[Ids], channels: Channels) -> Ids:
        _check_layout(call)
        made = channels.make(call.output.shape[-1], call.name)
        if activation_of(call.layer) in _MIXING:
            channels.pin(made)
        return made

    def settings(self, call: Call, kept: int) -> dict[str, Any]:
        return {self.counted_by: kept}


class Convolution(_Makes):
    """Kernel [..., in, out], bias [out]."""

    def axes(self, layer: Any, inputs: Ids, output: Ids) -> list[Axis]:
        found = [Axis(layer.kernel, -2, inputs, False), Axis(layer.kernel, -1, output, True)]
        return found + _bias(layer, output)

    def macs(self, call: Call, inputs: int, output: int) -> int:
        return _positions(call.output) * _taps(call) * inputs * output


class DenseRule(Convolution):
    """Kernel [in, out], bias [out]: a convolution without taps."""

    counted_by = "units"


class Depthwise(Rule):
    """Kernel [..., in, multiplier], bias [in * multiplier]: each channel on its own."""

    has_channels = True

    def trace(self, call: Call, ids: Sequence[Ids], channels: Channels) -> Ids:
        _check_layout(call)
        return np.repeat(super().trace(call, ids, channels), call.layer.depth_multiplier)

    def axes(self, layer: Any, inputs: Ids, output: Ids) -> list[Axis]:
        return [Axis(layer.kernel, -2, inputs, True), *_bias(layer, output)]

    def macs(self, call: Call, inputs: int, output: int) -> int:
        return _positions(call.output) * _taps(call) * output


class Separable(_Makes):
    """Depthwise kernel [..., in, multiplier], pointwise [..., in * multiplier, out], bias [out]."""

    def axes(self, layer: Any, inputs: Ids, output: Ids) -> list[Axis]:
        between = np.repeat(inputs, layer.depth_multiplier)
        return [
            Axis(layer.depthwise_kernel, -2, inputs, False),
            Axis(layer.pointwise_kernel, -2, between, False),
            Axis(layer.pointwise_kernel, -1, output, True),
            *_bias(layer, output),
        ]

    def macs(self, call: Call, inputs: int, output: int) -> int:
        between = inputs * int(call.layer.depth_multiplier)
        return _positions(call.output) * between * (_taps(call) + output)


class Normalisation(Rule):
    """Batch normalisation of the last axis: every weight is [C]."""

    has_channels = True

    def trace(self, call: Call, ids: Sequence[Ids], channels: Channels) -> Ids:
        axis = call.layer.axis
        if axis not in (-1, len(call.output.shape) - 1):
            raise refused(call, f"axis {axis}", "the last axis")
        return ids[0]

    def axes(self, layer: Any, inputs: Ids, output: Ids) -> list[Axis]:
        return [Axis(weight, -1, output, True) for weight in layer.weights]


class Pinned(Rule):
    """Layers that mix channels, or whose settings list them: their channels stay."""

    def trace(self, call: Call, ids: Sequence[Ids], channels: Channels) -> Ids:
        channels.pin(ids[0])
        return ids[0]


class Merge(Rule):
    """Sums and the like: channel i of every input is one channel."""

    def trace(self, call: Call, ids: Sequence[Ids], channels: Channels) -> Ids:
        if len({len(i) for i in ids}) != 1:
            widths = ", ".join(str(len(i)) for i in ids)
            raise refused(call, f"inputs of {widths} channels", "inputs of as many channels")
        for other in ids[1:]:
            channels.unite(ids[0], other)
        return ids[0]


class ConcatenateRule(Merge):
    """Channels of one input after those of the other; along another axis they are the same."""

    def trace(self, call: Call, ids: Sequence[Ids], channels: Channels) -> Ids:
        if call.layer.axis in (-1, len(call.output.shape) - 1):
            return np.concatenate(ids)
        return super().trace(call, ids, channels)


class ReshapeRule(Rule):
    """Flatten and Reshape. Where places of one channel mix with another's, all of them stay."""

    has_channels = True

    def trace(self, call: Call, ids: Sequence[Ids], channels: Channels) -> Ids:
        _check_layout(call)
        placed = np.broadcast_to(ids[0], call.inputs[0].shape[1:])
        rows: Ids = placed.reshape(-1, call.output.shape[-1])
        if (rows == rows[0]).all():
            return np.array(rows[0])
        made = channels.make(call.output.shape[-1], call.name)
        channels.pin(np.concatenate([ids[0], made]))
        return made

    def settings(self, call: Call, kept: int) -> dict[str, Any]:
        if call.kind == "Flatten":
            return {}
        return {"target_shape": (*call.output.shape[1:-1], kept)}


def _bias(layer: Any, output: Ids) -> list[Axis]:
    return [Axis(layer.bias, -1, output, True)] if layer.use_bias else []


def _positions(tensor: Any) -> int:
    """Places of a tensor [N, ..., C] at which channels are computed."""
    return math.prod(tensor.shape[1:-1])


def _taps(call: Call) -> int:
    """Places of the kernel; 1 for a dense layer."""
    return math.prod(getattr(call.layer, "kernel_size", ()))


def activation_of(layer: Any) -> str:
    """The name of the function that ends a layer; empty where it has none, or a layer does it."""
    return getattr(getattr(layer, "activation", None), "__name__", "")


def _check_layout(call: Call) -> None:
    if getattr(call.layer, "data_format", "channels_last") == "channels_first":
        raise refused(call, "data_format channels_first", "channels_last")
    if getattr(call.layer, "groups", 1) != 1:
        raise refused(call, f"groups {call.layer.groups}", "groups 1, or DepthwiseConv2D")
    if None in call.output.shape[1:] or None in call.inputs[0].shape[1:]:
        raise refused(call, f"the shape {call.output.shape}", "fixed sizes")


def refused(call: Call, value: str, allowed: str) -> BadInput:
    """The error for a layer whose channels are not understood."""
    return BadInput(
        f"the channels of the layer '{call.name}' ({call.kind}) cannot be followed",
        value=value,
        allowed=allowed,
        next_step="replace this layer",
    )


_CONVOLUTION, _DEPTHWISE, _SEPARABLE = Convolution(), Depthwise(), Separable()
_ALIKE, _PINNED, _MERGE, _RESHAPE = Rule(), Pinned(), Merge(), ReshapeRule()

RULES: dict[str, Rule] = {
    "Conv1D": _CONVOLUTION,
    "Conv2D": _CONVOLUTION,
    "Dense": DenseRule(),
    "DepthwiseConv1D": _DEPTHWISE,
    "DepthwiseConv2D": _DEPTHWISE,
    "SeparableConv1D": _SEPARABLE,
    "SeparableConv2D": _SEPARABLE,
    "BatchNormalization": Normalisation(),
    "Softmax": _PINNED,
    "LayerNormalization": _PINNED,
    "Normalization": _PINNED,
    "Rescaling": _PINNED,
    "Add": _MERGE,
    "Average": _MERGE,
    "Maximum": _MERGE,
    "Minimum": _MERGE,
    "Multiply": _MERGE,
    "Subtract": _MERGE,
    "Concatenate": ConcatenateRule(),
    "Flatten": _RESHAPE,
    "Reshape": _RESHAPE,
    **dict.fromkeys(
        (
            "Activation", "ReLU", "LeakyReLU", "ELU", "Identity",
            "Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianDropout", "GaussianNoise",
            "ZeroPadding1D", "ZeroPadding2D", "Cropping1D", "Cropping2D",
            "UpSampling1D", "UpSampling2D",
            "MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D",
            "GlobalAveragePooling1D", "GlobalAveragePooling2D",
            "GlobalMaxPooling1D", "GlobalMaxPooling2D",
        ),
        _ALIKE,
    ),
}  # fmt: skip


def rule_of(call: Call) -> Rule:
    """The rule of a layer. Raises BadInput that names the layer."""
    rule = RULES.get(call.kind)
    if rule is None:
        raise BadInput(
            f"the layer '{call.name}' is of a kind that compression does not know",
            value=call.kind,
            allowed=sorted(RULES),
            next_step="replace it, or add a rule for it in exporter/compress/rules.py",
        )
    return rule
