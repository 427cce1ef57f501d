"""CONV_2D with Helium: packing and C twins here, the assembly on the emulated board."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exporter.ops.base import Dialect, Target
from exporter.toolchain import ToolchainName
from tests.ops.harness import check_models, check_operator
from tests.ops.kernels.emulated import Branch, branches, check_on_board
from tests.ops.kernels.mve_layers import BOARD, chosen, linear_layer, micro_kernels, numbered


def conv(
    shape: tuple[int, int, int, int],
    filters: int,
    kernel: tuple[int, int],
    seed: int,
    **options: Any,
) -> Branch:
    return linear_layer("conv_2d", shape, filters, kernel, seed=seed, **options)


def shapes() -> list[Branch]:
    """Every way through the kernels: blocks, rests, looped and unrolled, one channel and many."""
    sizes = [
        ((1, 2, 5, 16), 8, (1, 1)),
        ((1, 3, 3, 5), 3, (1, 1)),
        ((1, 2, 4, 144), 4, (1, 1)),
        ((1, 2, 3, 160), 5, (1, 1)),
        ((1, 1, 5, 145), 2, (1, 1)),
        ((1, 5, 9, 3), 8, (3, 3)),
        ((1, 12, 6, 1), 9, (10, 4)),
        ((1, 5, 6, 7), 1, (5, 5)),
        ((1, 5, 7, 16), 7, (3, 3)),
        ((2, 4, 9, 32), 4, (3, 3)),
        ((1, 3, 6, 64), 2, (2, 3)),
        ((1, 4, 6, 48), 3, (3, 2)),
        ((1, 4, 5, 128), 2, (3, 3)),
        ((1, 1, 8, 16), 6, (1, 4)),
    ]
    return [conv(*size, seed=seed) for seed, size in enumerate([*sizes, *sizes])] + [
        conv((1, 9, 9, 16), 4, (3, 3), 30, stride=(2, 2)),
        conv((1, 9, 9, 8), 5, (3, 3), 31, stride=(1, 3), padding="VALID"),
        conv((1, 9, 9, 3), 4, (3, 3), 32, dilation=(2, 2)),
        conv((1, 9, 9, 16), 2, (3, 1), 33, dilation=(3, 1)),
        conv((3, 9, 1, 24), 2, (3, 1), 34, stride=(2, 1)),
    ]


def extremes() -> list[Branch]:
    """Weights of -128 and 127, zero points at both ends, every activation."""
    return [
        conv((1, 4, 5, 16 + seed % 3), 3, (3, 3), seed | 1, zero_point=zero_point)
        for zero_point in (-128, 127)
        for seed in range(0, 16, 2)
    ]


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_random_models(dialect: Dialect) -> None:
    check_operator("CONV_2D", range(30), dialect=dialect, instruction_set="mve")


def test_shapes() -> None:
    check_models(numbered([*shapes(), *extremes()]), instruction_set="mve", vectors=8)


def test_optimised_for_size() -> None:
    check_operator("CONV_2D", range(30, 40), optimize="size", instruction_set="mve")


@pytest.mark.parametrize("toolchain", ["gcc", "clang"])
@pytest.mark.toolchain
@pytest.mark.emulator
def test_shapes_on_the_board(toolchain: ToolchainName, tmp_path: Path) -> None:
    check_on_board(branches([*shapes(), *extremes()]), BOARD, tmp_path, toolchain=toolchain)


def test_what_is_chosen() -> None:
    neighbours = chosen(conv((1, 8, 8, 16), 8, (3, 3), 0))
    assert micro_kernels(neighbours) == ["tile_columns"]
    assert neighbours.scratch_bytes == 0
    assert micro_kernels(chosen(conv((1, 9, 9, 16), 8, (3, 3), 0, stride=(2, 2)))) == [
        "tile_4x2",
        "tile_1x8",
    ]
    first = chosen(conv((1, 16, 16, 3), 8, (3, 3), 0, stride=(2, 2)))
    assert micro_kernels(first) == ["tile_4x2", "pack_windows"]
    assert first.scratch_bytes == 4 * 32


def test_shifts_to_the_left_are_for_layers_that_have_them() -> None:
    """The plain form corrects nothing: ReLU clamps the ties that it rounds differently."""
    plain = chosen(conv((1, 4, 4, 16), 2, (1, 1), 2, activation="RELU", zero_point=-128))
    literals = dict(plain.micro_kernels[0].params)
    assert (literals["left"], literals["ties"]) == (False, "none")
    other = chosen(conv((1, 4, 4, 16), 2, (1, 1), 2, activation="NONE"))
    assert dict(other.micro_kernels[0].params)["ties"] != "none"


def test_other_cores_are_offered_none() -> None:
    layer = conv((1, 8, 8, 16), 8, (3, 3), 0)
    assert not chosen(layer, Target(instruction_set="dsp")).kernel.startswith("mve/")
