"""MACs of layers, against counts by hand."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.compress.macs import count_macs, layer_macs
from tests.hil.support import DIGITS


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        (
            "plain",
            {
                "first": 8 * 6 * 9 * 3 * 8,
                "second": 4 * 3 * 9 * 8 * 12,
                "third": 4 * 3 * 12 * 16,
                "last": 16 * 5,
            },
        ),
        (
            "depthwise",
            {
                "stem": 7 * 3 * 3 * 8,
                "depthwise": 5 * 3 * 16,
                "pointwise": 5 * 16 * 8,
                "separable": 4 * 16 * (2 + 12),
                "last": 2 * 12 * 3,
            },
        ),
    ],
)
def test_macs_by_layer(networks: dict[str, Any], name: str, macs: dict[str, int]) -> None:
    assert {layer.name: layer.macs for layer in layer_macs(networks[name])} == macs


def test_a_layer_used_twice_counts_twice(networks: dict[str, Any]) -> None:
    twice = [layer.macs for layer in layer_macs(networks["shared"]) if layer.name == "twice"]
    assert twice == [25 * 9 * 64] * 2


def test_the_digits_have_as_many_as_their_readme_says(keras: Any) -> None:
    model = keras.saving.load_model(DIGITS / "digits.keras", compile=False)
    assert count_macs(model) == 153_344
