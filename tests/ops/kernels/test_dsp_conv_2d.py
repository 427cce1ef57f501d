"""CONV_2D with SMLAD: the forms that are offered."""

from __future__ import annotations

from tests.ops.harness import compile_graph
from tests.ops.kernels.layers import TARGETS
from tests.ops.kernels.shapes import conv_2d
from tests.ops.variants import offered


def test_every_form_is_offered() -> None:
    """What the tests of all kernels run: int16 and int8 weights, both forms, Winograd."""
    target = TARGETS["dsp"]
    found = {
        f"{candidate.kernel}: {candidate.choice}"
        for data in conv_2d().values()
        for candidate in offered(compile_graph(data, target)[0], target)
    }
    for words in (
        ("int16 weights, scaled",),
        ("int16 weights, shifted",),
        ("int8 weights, shifted",),
        ("Winograd F(2,3)", "scaled"),
        ("Winograd F(2,3)", "shifted"),
        ("Winograd F(4,3)", "scaled"),
        ("Winograd F(4,3)", "shifted"),
    ):
        assert any(all(word in text for word in words) for text in found), words
