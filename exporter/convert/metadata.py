"""Metadata of a model: from the user's file, into the flatbuffer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import pydantic
import tflite
import yaml

from exporter.errors import BadInput
from exporter.graph.ir import Graph
from exporter.graph.metadata import ENTRY, ModelMetadata, OutputMetadata, complaints, encode
from exporter.graph.tflite_reader import CORRUPT, read

ALIGNMENT = 16
"""Bytes; TFLite maps constants where they are (`force_align: 16` in its schema)."""

_EXAMPLE = "see docs/metadata.md for an example"
# Fields of the table Model, by their numbers in schema.fbs.
_BUFFERS, _METADATA, _FIELDS = 4, 6, 8


def load_metadata(path: Path) -> ModelMetadata:
    """The metadata in a YAML or JSON file.

    Raises BadInput where the file is absent, unreadable, or says something that is not known.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML
    except OSError as error:
        raise _refused(path, "cannot read the metadata file", error.strerror) from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise _refused(path, "cannot parse the metadata file", reason) from None
    if not isinstance(document, dict):
        found = "nothing" if document is None else type(document).__name__
        raise _refused(path, "there is no metadata in the file", found)
    try:
        return ModelMetadata.model_validate(document)
    except pydantic.ValidationError as error:
        raise _refused(path, "wrong metadata in the file", "; ".join(complaints(error))) from None


def _refused(path: Path, what: str, found: str | None) -> BadInput:
    return BadInput(
        f"{what} '{path}'",
        value=found,
        allowed=f"YAML or JSON with some of: {', '.join(ModelMetadata.model_fields)}",
        next_step=_EXAMPLE,
    )


def check_fits(metadata: ModelMetadata, graph: Graph) -> None:
    """Raises BadInput where `metadata` speaks of inputs, channels or entries that there are not."""
    misfits = metadata.misfits(*shapes(graph))
    if misfits:
        raise BadInput(
            f"the metadata does not fit the model '{graph.name}'",
            value="; ".join(misfits),
            allowed="what the model has: see nanoexport inspect",
            next_step="correct the metadata file, in the order of the model's inputs and outputs",
        )


def shapes(graph: Graph) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Shapes of the inputs and of the outputs."""
    return [graph[t].shape for t in graph.inputs], [graph[t].shape for t in graph.outputs]


def with_labels(metadata: ModelMetadata, labels: tuple[str, ...]) -> ModelMetadata:
    """`metadata` with the names of the sample folders as labels of the first output.

    What the user's file says of that output goes before.
    """
    first, *others = metadata.outputs or (OutputMetadata(),)
    if first.labels or not labels or first.kind not in ("other", "classes"):
        return metadata
    try:
        named = OutputMetadata(name=first.name, kind="classes", labels=labels)
    except pydantic.ValidationError:  # names that no header can have, such as empty ones
        return metadata
    return metadata.model_copy(update={"outputs": (named, *others)})


def where_it_fits(known: ModelMetadata, told: ModelMetadata, graph: Graph) -> ModelMetadata:
    """`known`, which goes beyond what the user `told`, unless it does not fit the model.

    Two folders of samples do not name the only score of a model, and means of the columns of a
    table are not those of a flat input's entries.
    """
    return told if known.misfits(*shapes(graph)) else known


def label_doubts(metadata: ModelMetadata, class_names: Sequence[str] | None) -> tuple[str, ...]:
    """A warning where the user's labels are the classes of the samples in another order."""
    labels = metadata.outputs[0].labels if metadata.outputs else ()
    if not class_names or labels == tuple(class_names) or set(labels) != set(class_names):
        return ()
    return (
        f"the labels of the metadata are {', '.join(labels)}, but the samples number their classes "
        f"as {', '.join(class_names)}: one of the two orders is not the model's",
    )


def add_metadata(flatbuffer: bytes, metadata: ModelMetadata) -> bytes:
    """`flatbuffer` with `metadata`, in place of what it had; everything else as it was.

    References in a flatbuffer are forwards and relative. So a new root with its two changed vectors
    goes in front, and what was there follows it byte for byte, at a distance of whole 16 bytes.

    Raises BadInput where `flatbuffer` is none, or `metadata` does not fit it.
    """
    check_fits(metadata, read(flatbuffer))
    try:
        return _Rewriter(flatbuffer).with_entry(encode(metadata))
    except CORRUPT as error:
        raise BadInput(
            "cannot add metadata to the model",
            value=f"{type(error).__name__}: {error}",
            allowed="a TFLite flatbuffer whose constants are inside of it",
            next_step="convert the trained model again",
        ) from error


class _Rewriter:
    """Builds in front of an old flatbuffer, which is the end of the new one."""

    def __init__(self, old: bytes) -> None:
        self.model: Any = tflite.Model.GetRootAs(old, 0)
        self.tail = old + bytes(-len(old) % ALIGNMENT)
        self.b = flatbuffers.Builder(len(self.tail) + 4096)
        self.b.head = self.b.Head() - len(self.tail)
        self.b.Bytes[self.b.Head() :] = self.tail

    def with_entry(self, data: bytes) -> bytes:
        fields = {number: self._field(number) for number in range(1, _FIELDS)}
        self._require_only_known()
        fields[_BUFFERS] = self._vector([*self._old_buffers(), self._buffer(data)])
        entry = self._entry(self.model.BuffersLength())
        fields[_METADATA] = self._vector([*self._other_entries(), entry])
        self.b.StartObject(_FIELDS)
        self.b.PrependUint32Slot(0, self.model.Version(), 0)
        for number, offset in fields.items():
            self.b.PrependUOffsetTRelativeSlot(number, offset, 0)
        self.b.Finish(self.b.EndObject(), file_identifier=b"TFL3")
        return bytes(self.b.Output())

    def _require_only_known(self) -> None:
        """No fields that a new root would lose, no offsets that count from the file's start."""
        table = self.model._tab
        size = table.Get(flatbuffers.number_types.Uint16Flags, table.Pos - self._vtable_distance())
        if any(table.Offset(place) for place in range(4 + 2 * _FIELDS, size, 2)):
            raise ValueError("fields of a newer schema")
        buffers = (self.model.Buffers(n) for n in range(self.model.BuffersLength()))
        if any(buffer.Offset() > 1 for buffer in buffers):
            raise ValueError("constants behind the flatbuffer")

    def _vtable_distance(self) -> int:
        table = self.model._tab
        return int(table.Get(flatbuffers.number_types.SOffsetTFlags, table.Pos))

    def _from_end(self, position: int) -> int:
        """How the builder counts: bytes from `position` in the old flatbuffer to the end."""
        if not 0 <= position < len(self.tail):
            raise ValueError(f"a reference to byte {position}")
        return len(self.tail) - position

    def _field(self, number: int) -> int:
        """Where the field of the old root leads to; 0 where it is not set."""
        table = self.model._tab
        at = table.Offset(4 + 2 * number)
        return self._from_end(table.Indirect(table.Pos + at)) if at else 0

    def _old_buffers(self) -> list[int]:
        buffers = (self.model.Buffers(n) for n in range(self.model.BuffersLength()))
        return [self._from_end(buffer._tab.Pos) for buffer in buffers]

    def _other_entries(self) -> list[int]:
        entries = (self.model.Metadata(n) for n in range(self.model.MetadataLength()))
        return [self._from_end(e._tab.Pos) for e in entries if e.Name() != ENTRY.encode()]

    def _vector(self, tables: list[int]) -> int:
        self.b.StartVector(4, len(tables), 4)
        for offset in reversed(tables):
            self.b.PrependUOffsetTRelative(offset)
        return int(self.b.EndVector())

    def _buffer(self, data: bytes) -> int:
        self.b.StartVector(1, len(data), ALIGNMENT)  # also aligns the whole
        self.b.head = self.b.Head() - len(data)
        self.b.Bytes[self.b.Head() : self.b.Head() + len(data)] = data
        vector = self.b.EndVector()
        tflite.BufferStart(self.b)
        tflite.BufferAddData(self.b, vector)
        return int(tflite.BufferEnd(self.b))

    def _entry(self, buffer: int) -> int:
        name = self.b.CreateString(ENTRY)
        tflite.MetadataStart(self.b)
        tflite.MetadataAddName(self.b, name)
        tflite.MetadataAddBuffer(self.b, buffer)
        return int(tflite.MetadataEnd(self.b))
