"""Settings of a conversion: what they may be, and what cannot go together."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.convert import ConvertSettings
from exporter.errors import BadInput


@pytest.mark.parametrize(
    ("mode", "edges", "edge_type"),
    [
        ("int8", None, "int8"),
        ("int16x8", None, "int16"),
        ("int8", "uint8", "uint8"),
        ("int16x8", "float", "float"),
    ],
)
def test_edges_are_by_default_of_the_modes_own_type(mode: Any, edges: Any, edge_type: str) -> None:
    assert ConvertSettings(mode=mode, edges=edges).edge_type == edge_type


@pytest.mark.parametrize(
    ("chosen", "what"),
    [
        ({"mode": "int4"}, "no such setting of mode"),
        ({"weights": "int2"}, "no such setting of weights"),
        ({"ranges": "guess"}, "no such setting of ranges"),
        ({"edges": "int16"}, "no such setting of edges in the mode int8"),
        ({"mode": "int16x8", "edges": "int8"}, "no such setting of edges in the mode int16x8"),
        ({"percentile": 50.0}, "this percentile cannot be a range"),
        ({"percentile": 100.1}, "this percentile cannot be a range"),
        ({"percentile": float("nan")}, "this percentile cannot be a range"),
        ({"mode": "int16x8", "weights": "int4"}, "int4 weights cannot go with the mode int16x8"),
        ({"weights": "int4", "per_tensor": True}, "int4 weights cannot be per tensor"),
        ({"mode": "int16x8", "ranges": "mse"}, "is searched for 8 bits"),
    ],
)
def test_what_cannot_be_is_refused(chosen: dict[str, Any], what: str) -> None:
    with pytest.raises(BadInput, match=what) as caught:
        ConvertSettings(**chosen)
    assert caught.value.allowed
