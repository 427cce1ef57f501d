"""The command `convert` offers what the library offers."""

from __future__ import annotations

from dataclasses import asdict, fields

import pytest

from exporter.commands.convert import convert
from exporter.convert import ConvertSettings
from exporter.convert.sources.tflite import is_converted
from exporter.errors import BadInput
from tests.convert.conftest import Zoo


def test_every_setting_is_an_option_of_the_same_default() -> None:
    arguments = ["m.keras", "--data", "d.npz", "-o", "m.tflite"]
    chosen = convert.make_context("convert", arguments).params
    assert {f.name: chosen[f.name] for f in fields(ConvertSettings)} == asdict(ConvertSettings())


@pytest.mark.parametrize(
    ("model", "converted"),
    [("int8.tflite", True), ("image.tflite", False), ("image.keras", False)],
)
def test_only_a_flatbuffer_of_integers_is_converted(zoo: Zoo, model: str, converted: bool) -> None:
    assert is_converted(zoo[model]) == converted


def test_a_hybrid_flatbuffer_is_neither(zoo: Zoo) -> None:
    with pytest.raises(BadInput, match="integer weights under float activations"):
        is_converted(zoo["hybrid.tflite"])
