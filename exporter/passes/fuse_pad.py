"""Makes a PAD that only feeds VALID convolutions their own padding.

PAD fills with the zero point of its input, which is what a convolution sees as padding, so the
results are the same integers and the padded copy of the input is never made.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from exporter.graph.ir import Graph, Op, TensorId

CONSUMERS = ("CONV_2D", "DEPTHWISE_CONV_2D")


def fuse_pad(graph: Graph) -> Graph:
    """`graph` without the PADs that their consumers can take over."""
    fused = {op.outputs[0]: op for op in graph.ops if _can_fuse(graph, op)}
    ops = tuple(_padded(graph, op, fused) for op in graph.ops if op.outputs[0] not in fused)
    return graph.with_ops(ops)


def _can_fuse(graph: Graph, op: Op) -> bool:
    if op.kind != "PAD" or len(op.inputs) != 2 or None in op.inputs:
        return False
    if op.outputs[0] in graph.outputs or not graph[op.input(1)].is_constant:
        return False
    source, output = graph[op.input(0)], graph[op.outputs[0]]
    amounts = graph[op.input(1)].constant
    consumers = graph.consumers(op.outputs[0])
    return (
        source.quantization == output.quantization
        and amounts.shape == (4, 2)
        and not amounts[0].any()
        and not amounts[3].any()
        and int(np.min(amounts.astype(np.int64))) >= 0
        and all(_takes_padding(op.outputs[0], consumer) for consumer in consumers)
    )


def _takes_padding(padded: TensorId, consumer: Op) -> bool:
    """Only as the activation: a padded tensor could also be some other operand."""
    return (
        consumer.kind in CONSUMERS
        and consumer.options["padding"] == "VALID"
        and consumer.inputs[0] == padded
        and padded not in consumer.inputs[1:]
    )


def _padded(graph: Graph, op: Op, fused: dict[TensorId, Op]) -> Op:
    pad = fused.get(op.inputs[0]) if op.inputs and op.inputs[0] is not None else None
    if pad is None:
        return op
    amounts = graph[pad.input(1)].constant
    options = {
        **op.options,
        "padding": "EXPLICIT",
        "pad_top": int(amounts[1][0]),
        "pad_bottom": int(amounts[1][1]),
        "pad_left": int(amounts[2][0]),
        "pad_right": int(amounts[2][1]),
    }
    return replace(op, inputs=(pad.inputs[0], *op.inputs[1:]), options=options)
