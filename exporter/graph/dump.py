"""The graph as text that diffs well: one line per tensor and per operator, nothing that varies."""

from __future__ import annotations

import hashlib

from exporter.graph.ir import Graph, Quantization, Tensor


def dump(graph: Graph) -> str:
    """`graph` as text."""
    used = {t for op in graph.ops for t in (*op.inputs, *op.outputs) if t is not None}
    used |= {*graph.inputs, *graph.outputs}
    lines = [f"graph {graph.name}"]
    lines += [f"  input  %{tensor}" for tensor in graph.inputs]
    lines += [f"  output %{tensor}" for tensor in graph.outputs]
    lines += [_tensor_line(graph[tensor]) for tensor in sorted(used)]
    for op in graph.ops:
        outputs = ", ".join(f"%{tensor}" for tensor in op.outputs)
        inputs = ", ".join("-" if tensor is None else f"%{tensor}" for tensor in op.inputs)
        options = " ".join(f"{key}={value}" for key, value in sorted(op.options.items()))
        lines.append(f"  op {op.index}: {outputs} = {op.kind}({inputs}) {options}".rstrip())
    return "\n".join(lines) + "\n"


def _tensor_line(tensor: Tensor) -> str:
    line = (
        f"  %{tensor.id} {tensor.dtype} {list(tensor.shape)} {_quantization(tensor.quantization)}"
    )
    if tensor.data is not None:
        line += f" data={hashlib.sha256(tensor.data.tobytes()).hexdigest()[:12]}"
    return f"{line} '{tensor.name}'"


def _quantization(quantization: Quantization | None) -> str:
    if quantization is None:
        return "unquantised"
    if quantization.per_tensor:
        return f"scale={quantization.scale!r} zero_point={quantization.zero_point}"
    low, high = min(quantization.scales), max(quantization.scales)
    return f"scales[axis {quantization.axis}]={low!r}..{high!r}"
