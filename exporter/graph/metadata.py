"""What a flatbuffer says of itself beyond its operators: labels, preprocessing, where it is from.

Stored as JSON in a buffer that the flatbuffer's metadata names `nanoexport`. What others wrote, or
what is damaged, must never keep a model from being compiled: see `tflite_reader`.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal, Self

import pydantic

ENTRY = "nanoexport"
"""The name of the metadata entry."""
SCHEMA_VERSION = 1
LARGEST_BYTES = 2**20

# The C names of a port that are taken: MODEL_INPUT_0_SCALE is the quantisation's.
RESERVED = frozenset(
    {"bytes", "scale", "zero_point", "rows", "row_bytes", "mean", "std", "min", "max", "classes"}
    | {"order", "labels"}
)


def _is_finite_in_c(value: float) -> float:
    """C has these as constants of type float."""
    if not math.isfinite(value) or abs(value) > 3.4e38 or 0 < abs(value) < 1.2e-38:
        raise ValueError(f"{value!r} is not a number that a float of 32 bits holds")
    return value


def _is_float(value: object) -> object:
    """Not an integer: one that is too large for C must not become a float on the quiet."""
    if not isinstance(value, float):
        raise ValueError("Input should be a number, an integer of 32 bits, true, false or a text")
    return value


def _is_printable(text: str) -> str:
    if not text.replace("\n", " ").isprintable():
        raise ValueError(f"{text!a} has characters that cannot be printed")
    return text


def _is_one_line(text: str) -> str:
    if "\n" in text:
        raise ValueError(f"{text!a} is of several lines")
    return _is_printable(text)


_Printable = pydantic.AfterValidator(_is_printable)
_OneLine = pydantic.AfterValidator(_is_one_line)
Number = Annotated[float, pydantic.AfterValidator(_is_finite_in_c)]
Text = Annotated[str, pydantic.Field(max_length=2000), _Printable]
Label = Annotated[str, pydantic.Field(min_length=1, max_length=200), _OneLine]
Integer = Annotated[int, pydantic.Field(strict=True, ge=-(2**31), lt=2**31)]
Fraction = Annotated[
    float,
    pydantic.BeforeValidator(_is_float),
    pydantic.AfterValidator(_is_finite_in_c),
]
Feature = (
    Annotated[bool, pydantic.Field(strict=True)]
    | Integer
    | Fraction
    | Annotated[str, pydantic.Field(strict=True, max_length=200), _OneLine]
)
Order = Literal["RGB", "BGR", "gray"]
Kind = Literal["classes", "regression", "embedding", "reconstruction", "other"]


class _Data(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class Preprocessing(_Data):
    """From raw values to what the model takes: (raw - mean) / std, before quantisation.

    `mean` and `std` have one number, or one per channel.
    """

    mean: tuple[Number, ...] = ()
    std: tuple[Number, ...] = ()
    range: tuple[Number, Number] | None = None
    """The least and the largest value that the model takes, after `mean` and `std`."""
    order: Order | None = None
    features: dict[str, Feature] = pydantic.Field(default_factory=dict)
    """How features are made of a signal: sample_rate_hz, window_ms, hop_ms, mel_bins and so on."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _spelled_shortly(cls, given: Any) -> Any:
        """One number stands for all channels; `scale` is 1 / std."""
        if not isinstance(given, dict):
            return given
        given = dict(given)
        for key in ("mean", "std", "scale"):
            if isinstance(given.get(key), int | float):
                given[key] = (given[key],)
        if "scale" in given:
            if "std" in given:
                raise ValueError("std and scale = 1 / std are both given")
            scales = given.pop("scale")
            if not isinstance(scales, list | tuple) or not all(
                isinstance(s, int | float) and s for s in scales
            ):
                raise ValueError(f"scale {scales!r} has what is no number, or is 0")
            given["std"] = tuple(1 / scale for scale in scales)
        return given

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        if 0 in self.std:
            raise ValueError("std is divided by: it is not 0")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range {list(self.range)}: the first is less than the second")
        if len(self.mean) > 1 and len(self.std) > 1 and len(self.mean) != len(self.std):
            raise ValueError(f"{len(self.mean)} means, but {len(self.std)} stds")
        return self

    @pydantic.field_validator("features")
    @classmethod
    def _names_that_c_can_have(cls, features: dict[str, Feature]) -> dict[str, Feature]:
        for name in features:
            if not name.isascii() or not name.isidentifier() or name != name.lower():
                raise ValueError(f"{name!r} is not of lower-case letters, digits and _")
            if name in RESERVED or name.startswith("_"):
                raise ValueError(f"{name!r} is the name of something else")
        return features


class InputMetadata(_Data):
    """An input of the model, in the order of the flatbuffer's inputs."""

    name: Text = ""
    preprocessing: Preprocessing = Preprocessing()


class OutputMetadata(_Data):
    """An output of the model, in the order of the flatbuffer's outputs."""

    name: Text = ""
    kind: Kind = "other"
    labels: tuple[Label, ...] = ()
    """Names of the entries of the last axis."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _labels_are_of_classes(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("labels") and "kind" not in given:
            return {**given, "kind": "classes"}
        return given


class Calibration(_Data):
    """What the ranges come from."""

    samples: int = pydantic.Field(ge=0)
    source: Text = ""
    method: Text = ""


class ModelMetadata(_Data):
    """All that a flatbuffer says of itself."""

    title: Text = ""
    description: Text = ""
    inputs: tuple[InputMetadata, ...] = ()
    outputs: tuple[OutputMetadata, ...] = ()
    created_by: Text = ""
    """The program that converted the model, and its version."""
    source_sha256: Annotated[str, pydantic.Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """Of the trained model's file."""
    calibration: Calibration | None = None

    def misfits(self, inputs: list[tuple[int, ...]], outputs: list[tuple[int, ...]]) -> list[str]:
        """What does not fit a model whose inputs and outputs have these shapes."""
        found = []
        for what, told, shapes in (
            ("inputs", len(self.inputs), inputs),
            ("outputs", len(self.outputs), outputs),
        ):
            if told > len(shapes):
                found.append(f"{told} {what}, but the model has {len(shapes)}")
        for number, (source, shape) in enumerate(zip(self.inputs, inputs, strict=False)):
            found += _channel_misfits(number, source.preprocessing, shape)
        for number, (output, shape) in enumerate(zip(self.outputs, outputs, strict=False)):
            size = shape[-1] if shape else 1
            if output.labels and len(output.labels) != size:
                found.append(f"output {number}: {len(output.labels)} labels for {size} entries")
        return found


def _channel_misfits(number: int, given: Preprocessing, shape: tuple[int, ...]) -> list[str]:
    channels = shape[-1] if shape else 1
    found = [
        f"input {number}: {len(values)} {name} values for {channels} channels"
        for name, values in (("mean", given.mean), ("std", given.std))
        if len(values) not in (0, 1, channels)
    ]
    wanted = {"RGB": 3, "BGR": 3, "gray": 1, None: channels}[given.order]
    if wanted != channels:
        found.append(f"input {number}: order {given.order}, but {channels} channels")
    return found


def encode(metadata: ModelMetadata) -> bytes:
    """The JSON, without what is not set: the same metadata give the same bytes."""
    stated = metadata.model_dump(mode="json", exclude_defaults=True)
    document = {"schema_version": SCHEMA_VERSION, **stated}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def decode(data: bytes) -> ModelMetadata:
    """Raises ValueError, with the reason in one line, where `data` is not what `encode` makes."""
    if len(data) > LARGEST_BYTES:
        raise ValueError(f"{len(data)} bytes, at most {LARGEST_BYTES} are read")
    try:
        document = json.loads(data.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(document, dict) or document.pop("schema_version", None) != SCHEMA_VERSION:
        raise ValueError(f"not an object of schema_version {SCHEMA_VERSION}")
    try:
        return ModelMetadata.model_validate(document)
    except pydantic.ValidationError as error:
        raise ValueError("; ".join(complaints(error))) from None


def complaints(error: pydantic.ValidationError) -> list[str]:
    """What is wrong where, one phrase for each place."""
    told: dict[str, str] = {}
    for item in error.errors(include_url=False, include_input=False):
        place = ".".join(str(part) for part in item["loc"] if "[" not in str(part))
        told.setdefault(place, item["msg"].removeprefix("Value error, "))
    return [f"{place}: {message}" if place else message for place, message in told.items()]
