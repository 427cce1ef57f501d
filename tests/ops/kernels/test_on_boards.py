"""Every kernel variant, on every board that has its instruction set, is bit-exact."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.build.firmware import Settings, target_for
from exporter.toolchain import ToolchainName
from tests.ops.emulated import check_on_board
from tests.ops.kernels.shapes import GROUPS
from tests.ops.variants import variants

VECTORS = 6
BUILDS: tuple[tuple[str, ToolchainName, str], ...] = (
    ("mps2-an385", "gcc", "speed"),
    ("mps2-an386", "gcc", "speed"),
    ("mps2-an386", "clang", "size"),
    ("mps2-an500", "gcc", "speed"),
    ("mps2-an505", "gcc", "speed"),
    ("mps2-an505", "clang", "speed"),
    ("mps3-an547", "gcc", "speed"),
    ("mps3-an547", "clang", "speed"),
    ("riscv32-virt", "gcc", "speed"),
    ("riscv32-virt", "clang", "speed"),
)


@pytest.mark.emulator
@pytest.mark.toolchain
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(("board", "toolchain", "optimize"), BUILDS)
def test_every_kernel(
    tmp_path: Path, board: str, toolchain: ToolchainName, optimize: str, group: str
) -> None:
    target = target_for(load_board(board), Settings(optimize=optimize))
    cases = variants(GROUPS[group](), target, VECTORS)
    check_on_board(cases, board, tmp_path, toolchain=toolchain, optimize=optimize)
