"""What `inspect` says of a model's metadata."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from exporter.console import Output
from exporter.graph.metadata import InputMetadata, ModelMetadata, OutputMetadata

_SHOWN = 12
"""Labels; the document has all of them."""


def show_metadata(output: Output, metadata: ModelMetadata | None) -> None:
    """Lines for people; none where the model says nothing of itself."""
    if metadata is None:
        return
    for name, text in _lines(metadata):
        for number, line in enumerate(text.splitlines()):
            output.text(f"{'' if number else name:<12} {line}".rstrip())
    output.text()


def metadata_document(metadata: ModelMetadata | None) -> dict[str, Any] | None:
    """What is set, for programs."""
    return None if metadata is None else metadata.model_dump(mode="json", exclude_defaults=True)


def _lines(metadata: ModelMetadata) -> Iterator[tuple[str, str]]:
    yield "title", metadata.title
    yield "description", metadata.description
    for number, source in enumerate(metadata.inputs):
        yield f"input {number}", "; ".join(_input_parts(source))
    for number, result in enumerate(metadata.outputs):
        yield f"output {number}", "; ".join(_output_parts(result))
    yield "created by", metadata.created_by
    yield "source", metadata.source_sha256
    if metadata.calibration is not None:
        stated = metadata.calibration.model_dump(exclude_defaults=True)
        yield "calibration", _pairs(stated)


def _input_parts(source: InputMetadata) -> Iterator[str]:
    given = source.preprocessing
    if source.name:
        yield source.name
    for name, values in (("mean", given.mean), ("std", given.std)):
        if values:
            yield f"{name} {', '.join(f'{value:g}' for value in values)}"
    if given.range is not None:
        yield f"range {given.range[0]:g} to {given.range[1]:g}"
    if given.order is not None:
        yield f"channels {given.order}"
    if given.features:
        yield _pairs(given.features)


def _output_parts(result: OutputMetadata) -> Iterator[str]:
    if result.name:
        yield result.name
    if result.kind != "other":
        yield result.kind
    if result.labels:
        more = f" and {len(result.labels) - _SHOWN} more" if len(result.labels) > _SHOWN else ""
        yield f"{', '.join(result.labels[:_SHOWN])}{more}"


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
