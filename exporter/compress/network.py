"""A Keras model as a list of layer calls, and the same calls made with other layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from exporter.errors import BadInput


@dataclass(frozen=True, eq=False)
class Call:
    """One use of a layer. Tensors are Keras's symbolic ones, known by their identity."""

    layer: Any
    inputs: tuple[Any, ...]
    output: Any
    takes_list: bool

    @property
    def name(self) -> str:
        return str(self.layer.name)

    @property
    def kind(self) -> str:
        """The class of the layer, such as Conv2D."""
        return type(self.layer).__name__

    def arguments(self, values: dict[int, Any]) -> Any:
        """What the layer is called with, where `values` maps identities of tensors to values."""
        chosen = [values[id(t)] for t in self.inputs]
        return chosen if self.takes_list else chosen[0]


@dataclass(frozen=True, eq=False)
class Network:
    """The calls of a model, each after those that it needs."""

    model: Any
    calls: tuple[Call, ...]

    @property
    def inputs(self) -> list[Any]:
        return list(self.model.inputs)

    @property
    def outputs(self) -> list[Any]:
        return list(self.model.outputs)

    def consumers(self, tensor: Any) -> list[Call]:
        """The calls that read a tensor."""
        return [call for call in self.calls if any(t is tensor for t in call.inputs)]


def read_network(model: Any) -> Network:
    """The calls of a Sequential or functional model.

    Raises BadInput for what is not one: a subclassed model, a model inside of a model, an operation
    that is no layer (`x + y` instead of `Add()([x, y])`), a layer of several outputs.
    """
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise BadInput(
            f"the layers of the model '{model.name}' cannot be followed",
            value=type(model).__name__,
            allowed="a Sequential or functional Keras 3 model that states its input",
            next_step="write it with keras.Input and keras.Model(inputs, outputs)",
        )
    calls: list[Call] = []
    seen = {id(t) for t in model.inputs}
    for output in model.outputs:
        _visit(output, seen, calls)
    return Network(model, tuple(calls))


def _visit(tensor: Any, seen: set[int], calls: list[Call]) -> None:
    """Appends what computes `tensor`, inputs first."""
    if id(tensor) in seen:
        return
    history = tensor._keras_history
    layer = history.operation
    node = layer._inbound_nodes[history.node_index]
    _check_followable(layer, node)
    for needed in node.input_tensors:
        _visit(needed, seen, calls)
    seen.add(id(tensor))
    takes_list = bool(node.arguments.args) and isinstance(node.arguments.args[0], list | tuple)
    calls.append(Call(layer, tuple(node.input_tensors), tensor, takes_list))


def _check_followable(layer: Any, node: Any) -> None:
    if not isinstance(layer, keras.layers.Layer):
        what, value = "is an operation, not a layer", type(layer).__name__
        remedy = "use the layer of that name, such as keras.layers.Add"
    elif isinstance(layer, keras.Model):
        what, value = "is a model inside of the model", type(layer).__name__
        remedy = "call its layers one by one in the outer model"
    elif len(node.output_tensors) != 1:
        what, value = "has several outputs", f"{len(node.output_tensors)} outputs"
        remedy = "use layers of one output"
    else:
        return
    raise BadInput(
        f"'{layer.name}' {what}, which compression cannot follow",
        value=value,
        allowed="layers of one output",
        next_step=remedy,
    )


def rebuilt(network: Network, layer_for: Callable[[Call], Any]) -> Any:
    """The model of the same calls with other layers; `layer_for` gives None for one to leave out.

    Layers that are used twice are asked for once. The new model has weights of its own.
    """
    values: dict[int, Any] = {}
    for tensor in network.inputs:
        name = tensor.name.partition(":")[0]
        values[id(tensor)] = keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
    inputs = [values[id(t)] for t in network.inputs]
    layers: dict[str, Any] = {}
    for call in network.calls:
        if call.name not in layers:
            layers[call.name] = layer_for(call)
        layer = layers[call.name]
        arguments = call.arguments(values)
        values[id(call.output)] = arguments if layer is None else layer(arguments)
    outputs = [values[id(t)] for t in network.outputs]
    only = len(inputs) == 1, len(outputs) == 1
    return keras.Model(
        inputs[0] if only[0] else inputs,
        outputs[0] if only[1] else outputs,
        name=network.model.name,
    )


def copied(layer: Any, **changes: Any) -> Any:
    """A new layer of the same configuration but for `changes`, without weights yet."""
    return type(layer).from_config({**layer.get_config(), **changes})
