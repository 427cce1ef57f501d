"""CONV_2D with SMLAD: every kernel that is offered, as C twins on the host and on the boards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exporter.toolchain import ToolchainName
from tests import random_layers as layers
from tests.flatbuffer_builder import ModelBuilder
from tests.ops.emulated import check_on_board
from tests.ops.harness import run_cases
from tests.ops.variants import kernels, variants
from tests.random_layers import Style
from tests.random_models import random_model

# Input [H,W,I], filters, kernel, stride, dilation: whole tiles and what is beside them, segments of
# every length modulo 4, more pairs than a loop unrolls and fewer, odd channels.
SHAPES = (
    ((4, 4, 4), 4, (1, 1), (1, 1), (1, 1)),
    ((5, 5, 8), 6, (1, 1), (1, 1), (1, 1)),
    ((3, 3, 36), 2, (1, 1), (1, 1), (1, 1)),
    ((1, 1, 64), 10, (1, 1), (1, 1), (1, 1)),
    ((6, 8, 3), 8, (3, 3), (2, 2), (1, 1)),
    ((6, 9, 1), 4, (5, 3), (1, 1), (1, 1)),
    ((7, 6, 2), 3, (3, 3), (1, 1), (1, 1)),
    ((4, 8, 4), 4, (3, 3), (1, 1), (1, 1)),
    ((3, 12, 12), 8, (3, 3), (1, 1), (1, 1)),
    ((5, 8, 8), 4, (1, 3), (2, 1), (1, 1)),
    ((9, 8, 4), 12, (5, 3), (1, 1), (2, 1)),
    ((7, 7, 5), 5, (3, 3), (1, 1), (2, 2)),
    ((9, 1, 6), 7, (4, 1), (1, 1), (1, 1)),
    ((6, 6, 16), 4, (5, 5), (1, 1), (1, 1)),
)


def shaped(number: int, style: Style, padding: str, activation: str) -> bytes:
    """The model of SHAPES[number]."""
    size, filters, kernel, stride, dilation = SHAPES[number]
    rng = np.random.default_rng([number, len(style), len(padding), len(activation)])
    builder = ModelBuilder()
    zero_point = -128 if activation == "RELU" else layers.zero_point(rng, style)
    x = builder.tensor("x", (1, *size), scale=layers.scale(rng), zero_point=zero_point)
    y = layers.conv_2d(
        builder, rng, x, filters, kernel, stride, dilation, padding, activation, style=style
    )
    return builder.finish([x], [y])


def models(numbers: range) -> dict[str, bytes]:
    return {
        f"{SHAPES[number]} {style} {padding} {activation}": shaped(
            number, style, padding, activation
        )
        for number in numbers
        for style in ("realistic", "extreme")
        for padding, activation in (("SAME", "RELU"), ("SAME", "NONE"), ("VALID", "RELU6"))
        if padding == "SAME" or _fits(number)
    }


def _fits(number: int) -> bool:
    (h, w, _), _, kernel, _, dilation = SHAPES[number]
    return h > (kernel[0] - 1) * dilation[0] and w > (kernel[1] - 1) * dilation[1]


def test_every_form_is_offered() -> None:
    """What the other tests run: int16 and int8 weights, both forms, Winograd."""
    found = kernels(variants(models(range(4, len(SHAPES))), "dsp", vectors=1))
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


@pytest.mark.parametrize("first", range(0, len(SHAPES), 5))
def test_twins_over_shapes(first: int) -> None:
    run_cases(variants(models(range(first, min(first + 5, len(SHAPES)))), "dsp"), "sanitized")


@pytest.mark.parametrize("seed", [0, 1])
def test_twins_over_random_models(seed: int) -> None:
    seeds = range(100 + 25 * seed, 125 + 25 * seed)
    drawn = {f"seed {n}": random_model("CONV_2D", n) for n in seeds}
    run_cases(variants(drawn, "dsp"), "sanitized")


@pytest.mark.emulator
@pytest.mark.toolchain
@pytest.mark.parametrize(
    ("board", "toolchain"),
    [("mps2-an386", "gcc"), ("mps2-an386", "clang"), ("mps2-an500", "gcc"), ("mps2-an505", "gcc")],
)
def test_on_boards(board: str, toolchain: ToolchainName, tmp_path: Path) -> None:
    drawn = {f"seed {n}": random_model("CONV_2D", n) for n in range(200, 230)}
    check_on_board(
        variants(models(range(len(SHAPES))) | drawn, "dsp"), board, tmp_path, toolchain=toolchain
    )
