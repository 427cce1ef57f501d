"""DEPTHWISE_CONV_2D with Helium: packing and C twins here, the assembly on the emulated board."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exporter.ops.base import Dialect
from exporter.ops.kernels.mve.depthwise_conv_2d import MOST_SCRATCH_BYTES
from exporter.toolchain import ToolchainName
from tests.ops.harness import check_models, check_operator
from tests.ops.kernels.emulated import Branch, branches, check_on_board
from tests.ops.kernels.mve_layers import BOARD, chosen, linear_layer, micro_kernels, numbered


def depthwise(
    shape: tuple[int, int, int, int], kernel: tuple[int, int], seed: int, **options: Any
) -> Branch:
    return linear_layer("depthwise_conv_2d", shape, 1, kernel, seed=seed, **options)


def shapes() -> list[Branch]:
    """Odd and even rows, columns and channels; several chunks of columns and blocks of channels."""
    sizes = [
        ((1, 4, 5, 16), (3, 3)),
        ((1, 5, 4, 17), (3, 3)),
        ((2, 3, 3, 32), (3, 3)),
        ((1, 3, 2, 1), (3, 3)),
        ((1, 3, 61, 5), (3, 3)),
        ((1, 6, 3, 3), (3, 1)),
        ((1, 2, 7, 18), (1, 3)),
        ((1, 4, 1, 8), (3, 3)),
        ((1, 7, 6, 9), (5, 5)),
        ((1, 12, 2, 4), (9, 1)),
        ((1, 3, 45, 2), (5, 5)),
        ((1, 2, 9, 6), (1, 7)),
    ]
    return [depthwise(*size, seed) for seed, size in enumerate(sizes * 2)] + [
        depthwise((1, 7, 9, 16), (3, 3), 30, stride=(2, 2)),
        depthwise((1, 8, 8, 21), (3, 3), 31, stride=(2, 2), padding="VALID"),
        depthwise((1, 6, 6, 2), (3, 3), 32, stride=(2, 2)),
        depthwise((1, 9, 9, 5), (3, 3), 33, dilation=(2, 2)),
        depthwise((1, 5, 80, 4), (4, 4), 34, stride=(1, 2)),
        depthwise((1, 8, 3, 7), (3, 3), 35, stride=(3, 1)),
    ]


def extremes() -> list[Branch]:
    """Weights of -128 and 127, zero points at both ends, every activation."""
    return [
        depthwise((1, 4, 5, 3), (3, 3), seed | 1, zero_point=zero_point)
        for zero_point in (-128, 127)
        for seed in range(0, 16, 2)
    ]


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_random_models(dialect: Dialect) -> None:
    check_operator("DEPTHWISE_CONV_2D", range(30), dialect=dialect, instruction_set="mve")


def test_shapes() -> None:
    check_models(numbered([*shapes(), *extremes()]), instruction_set="mve", vectors=8)


def test_rows_too_far_apart_for_places_of_16_bits() -> None:
    check_models(
        {"70,000": branches([depthwise((1, 2, 140, 500), (3, 3), 2)])},
        instruction_set="mve",
        vectors=2,
    )


@pytest.mark.parametrize("toolchain", ["gcc", "clang"])
@pytest.mark.toolchain
@pytest.mark.emulator
def test_shapes_on_the_board(toolchain: ToolchainName, tmp_path: Path) -> None:
    check_on_board(branches([*shapes(), *extremes()]), BOARD, tmp_path, toolchain=toolchain)


def test_what_is_chosen() -> None:
    two_rows = chosen(depthwise((1, 48, 48, 8), (3, 3), 0))
    assert micro_kernels(two_rows) == ["lay_rows", "depthwise_2x2x2"]
    assert (two_rows.rows_per_call, two_rows.ring) == (2, None)
    assert two_rows.scratch_bytes <= MOST_SCRATCH_BYTES
    strided = chosen(depthwise((1, 48, 48, 8), (3, 3), 0, stride=(2, 2)))
    assert micro_kernels(strided) == ["lay_rows", "depthwise_4x2"]
    doubled = linear_layer("depthwise_conv_2d", (1, 8, 8, 8), 2, (3, 3))
    assert not chosen(doubled).kernel.startswith("mve/")
