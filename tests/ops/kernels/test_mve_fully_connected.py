"""FULLY_CONNECTED with Helium: packing and C twins here, the assembly on the emulated board."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.ops.base import Dialect, Target
from exporter.toolchain import ToolchainName
from tests.ops.harness import check_models
from tests.ops.kernels.emulated import Branch, branches, check_on_board
from tests.ops.kernels.mve_layers import BOARD, chosen, linear_layer, micro_kernels, numbered


def shapes() -> list[Branch]:
    """Batches and units beside the tiles, depths beside the blocks; loops and straight lines."""
    sizes = [(1, 640, 9), (1, 64, 10), (1, 8, 16), (1, 5, 1), (2, 37, 7), (4, 32, 2), (7, 200, 3)]
    return [
        linear_layer("fully_connected", (batch, depth), units, seed=seed, per_channel=seed % 3 == 0)
        for seed, (batch, depth, units) in enumerate(sizes * 3)
    ]


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_shapes(dialect: Dialect) -> None:
    check_models(numbered(shapes()), instruction_set="mve", dialect=dialect)


@pytest.mark.parametrize("toolchain", ["gcc", "clang"])
@pytest.mark.toolchain
@pytest.mark.emulator
def test_shapes_on_the_board(toolchain: ToolchainName, tmp_path: Path) -> None:
    check_on_board(branches(shapes()), BOARD, tmp_path, toolchain=toolchain)


def test_what_is_chosen() -> None:
    one = linear_layer("fully_connected", (1, 64), 16)
    assert micro_kernels(chosen(one)) == ["tile_1x8"]
    assert micro_kernels(chosen(linear_layer("fully_connected", (4, 64), 16))) == ["tile_4x2"]
    single_rounding = Target(instruction_set="mve", dialect="litert")
    assert not chosen(one, single_rounding).kernel.startswith("mve/")
