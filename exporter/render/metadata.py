"""What a model's header says of labels and preprocessing: names, values and comments."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from exporter.graph.ir import Tensor
from exporter.graph.metadata import Feature, InputMetadata, ModelMetadata, OutputMetadata
from exporter.plan.program import Program
from exporter.render.c_format import c_comment

COMMENT_COLUMNS = 96


@dataclass(frozen=True)
class Definition:
    """A constant of a port: the end of its macro's name, and its value."""

    name: str
    value: Feature | tuple[float, ...]


@dataclass(frozen=True)
class PortNotes:
    """What the header says of an input or output beyond its quantisation."""

    comment: tuple[str, ...]
    definitions: tuple[Definition, ...] = ()
    labels: tuple[str, ...] = ()
    label_count: str = ""
    """The end of the name of the macro that counts the labels: it is one of `definitions`."""


def model_notes(program: Program) -> list[str]:
    """Lines for the comment on top of the header."""
    metadata = program.metadata
    if metadata is None:
        return []
    return [line for text in _paragraphs(metadata) for line in _wrapped(text)]


def _paragraphs(metadata: ModelMetadata) -> Iterator[str]:
    yield from (metadata.title, *metadata.description.splitlines())
    if metadata.source_sha256 or metadata.created_by:
        source = f" from the file with the SHA-256 {metadata.source_sha256}"
        by = f" by {metadata.created_by}" if metadata.created_by else ""
        yield f"Converted{by}{source if metadata.source_sha256 else ''}."
    if metadata.calibration is not None:
        calibration = metadata.calibration
        of = f" of {calibration.source}" if calibration.source else ""
        method = f", {calibration.method}" if calibration.method else ""
        yield f"Calibrated with {calibration.samples} samples{of}{method}."


def port_notes(program: Program, direction: str, index: int) -> PortNotes | None:
    """The notes of input or output `index`; None where there is nothing to say."""
    if program.metadata is None:
        return None
    if direction == "INPUT" and index < len(program.metadata.inputs):
        return _input_notes(program.metadata.inputs[index])
    if direction == "OUTPUT" and index < len(program.metadata.outputs):
        return _output_notes(program.metadata.outputs[index], program.outputs[index].tensor)
    return None


def _input_notes(source: InputMetadata) -> PortNotes | None:
    given = source.preprocessing
    definitions = [
        Definition(name, values[0] if len(values) == 1 else values)
        for name, values in (("MEAN", given.mean), ("STD", given.std))
        if values
    ]
    if given.range is not None:
        definitions += [Definition("MIN", given.range[0]), Definition("MAX", given.range[1])]
    if given.order is not None:
        definitions.append(Definition("ORDER", given.order))
    definitions += [Definition(name.upper(), value) for name, value in given.features.items()]
    comment = " ".join([*([f"{source.name}."] if source.name else []), *_formula(source)])
    if not definitions and not comment:
        return None
    return PortNotes(tuple(_wrapped(comment)), tuple(definitions))


def _formula(source: InputMetadata) -> Iterator[str]:
    """How raw values become real ones, as a sentence."""
    given = source.preprocessing
    difference = "raw - mean" if given.mean else "raw"
    if given.std:
        yield f"real = {f'({difference})' if given.mean else difference} / std."
    elif given.mean:
        yield f"real = {difference}."
    if given.order is not None:
        yield f"Channels: {given.order}."


def _output_notes(output: OutputMetadata, tensor: Tensor) -> PortNotes | None:
    is_classes = output.kind == "classes"
    count = "CLASSES" if is_classes else "LABELS"
    definitions: tuple[Definition, ...] = ()
    if is_classes or output.labels:
        definitions = (Definition(count, tensor.shape[-1] if tensor.shape else 1),)
    if not definitions and not output.name and output.kind == "other":
        return None
    words = [output.name, "" if output.kind == "other" else output.kind]
    comment = ", ".join(word for word in words if word)
    labels = ", ".join(f"{n} {label}" for n, label in enumerate(output.labels))
    text = ": ".join(part for part in (comment, labels) if part)
    return PortNotes(tuple(_wrapped(text)), definitions, output.labels, count)


def _wrapped(text: str) -> list[str]:
    """Lines of a comment. A backslash's trigraph at the end of one would join the next to it."""
    plain = c_comment(text).replace("??/", "? ?/")
    return textwrap.wrap(plain, COMMENT_COLUMNS, break_on_hyphens=False)
