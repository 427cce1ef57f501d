"""What the audit asks of a flatbuffer and the graph does not carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tflite

from exporter.errors import BadInput
from exporter.graph.ir import TensorId
from exporter.graph.tflite_reader import CORRUPT


@dataclass(frozen=True)
class Facts:
    """Beside the graph of the first subgraph."""

    signatures: Mapping[TensorId, tuple[int, ...]]
    """Shapes as the model states them where a size is open (-1); the graph has resolved ones."""
    variables: frozenset[TensorId]
    other_subgraphs: tuple[str, ...]
    unused_buffers: Mapping[int, int]
    """Bytes of each buffer, by its number, that neither a tensor nor a metadata entry names."""


def read_facts(data: bytes) -> Facts:
    """Raises BadInput where the flatbuffer is corrupt in what the reader does not look at."""
    try:
        return _facts(tflite.Model.GetRootAs(data, 0))
    except CORRUPT as error:
        raise BadInput(
            "the model is a corrupt TFLite flatbuffer",
            value=f"{len(data)} bytes; {type(error).__name__}: {error}",
            next_step="convert or copy the model again",
        ) from error


def _facts(model: Any) -> Facts:
    subgraphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
    tensors = [subgraphs[0].Tensors(i) for i in range(subgraphs[0].TensorsLength())]
    signatures = {
        i: tuple(t.ShapeSignature(axis) for axis in range(t.ShapeSignatureLength()))
        for i, t in enumerate(tensors)
    }
    return Facts(
        signatures={i: sizes for i, sizes in signatures.items() if min(sizes, default=0) < 0},
        variables=frozenset(i for i, t in enumerate(tensors) if t.IsVariable()),
        other_subgraphs=tuple(
            (subgraph.Name() or b"").decode() or f"subgraph {number}"
            for number, subgraph in enumerate(subgraphs[1:], start=1)
        ),
        unused_buffers=_unused_buffers(model, subgraphs),
    )


def _unused_buffers(model: Any, subgraphs: list[Any]) -> dict[int, int]:
    """Empty ones cost nothing: converters leave one for each activation."""
    used = {g.Tensors(i).Buffer() for g in subgraphs for i in range(g.TensorsLength())}
    used |= {model.Metadata(i).Buffer() for i in range(model.MetadataLength())}
    used |= {model.MetadataBuffer(i) for i in range(model.MetadataBufferLength())}
    sizes = {i: model.Buffers(i).DataLength() for i in range(model.BuffersLength())}
    return {number: size for number, size in sizes.items() if size and number not in used}
