"""Operators without weights on boards: what compilers for them make of the C, SSAT included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exporter.toolchain import ToolchainName
from tests.flatbuffer_builder import ModelBuilder
from tests.ops.kernels.emulated import Branch, branches, check_on_board
from tests.random_models import RECIPES

KINDS = (
    "ADD",
    "AVERAGE_POOL_2D",
    "LOGISTIC",
    "MAX_POOL_2D",
    "MEAN",
    "MUL",
    "SOFTMAX",
    "SUB",
    "TRANSPOSE",
)


def drawn(kind: str, seed: int) -> Branch:
    """A random layer of one operator; odd seeds are of the extreme style."""

    def add(builder: ModelBuilder) -> tuple[list[int], int]:
        rng = np.random.default_rng([seed, sum(kind.encode())])
        inputs, (output,) = RECIPES[kind](builder, rng, "extreme" if seed % 2 else "realistic")
        return inputs, output

    return add


@pytest.mark.parametrize("toolchain", ["gcc", "clang"])
@pytest.mark.parametrize("board", ["mps2-an385", "mps2-an386", "riscv32-virt"])
@pytest.mark.toolchain
@pytest.mark.emulator
def test_operators_without_weights(tmp_path: Path, board: str, toolchain: ToolchainName) -> None:
    data = branches(drawn(kind, seed) for kind in KINDS for seed in range(6))
    check_on_board(data, board, tmp_path, toolchain=toolchain)
