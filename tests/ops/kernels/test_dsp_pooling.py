"""Pooling and MEAN with the DSP extension: C twins here, the assembly on boards."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from exporter.ops.base import Target
from exporter.toolchain import ToolchainName
from tests import random_layers as layers
from tests import random_shape_layers as more
from tests.flatbuffer_builder import ModelBuilder
from tests.ops.harness import check_models, compile_graph
from tests.ops.kernels.emulated import DSP_BOARDS, Branch, branches, check_on_board

Pool = Literal["AVERAGE_POOL_2D", "MAX_POOL_2D"]
POOLS: tuple[Pool, ...] = ("AVERAGE_POOL_2D", "MAX_POOL_2D")


def pool(seed: int) -> Branch:
    """A pool over whole words of channels, every third one over the whole image."""
    rng = np.random.default_rng([seed, 11])

    def add(builder: ModelBuilder) -> tuple[list[int], int]:
        height, width = (int(size) for size in rng.integers(3, 9, 2))
        shape = (int(rng.choice([1, 1, 2])), height, width, 4 * int(rng.integers(1, 9)))
        x = layers.activation_tensor(builder, rng, shape, f"x{seed}")
        kernel = tuple(int(size) for size in rng.integers(1, 4, 2))
        y = layers.pool_2d(
            builder,
            rng,
            POOLS[seed % 2],
            x,
            (height, width) if seed % 3 == 0 else (kernel[0], kernel[1]),
            (int(rng.integers(1, 3)), int(rng.integers(1, 3))),
            str(rng.choice(["SAME", "VALID"])) if seed % 3 else "VALID",
            str(rng.choice(["NONE", "RELU"])),
            f"y{seed}",
        )
        return [x], y

    return add


def mean(seed: int) -> Branch:
    """A mean over height and width, or over height alone."""
    rng = np.random.default_rng([seed, 12])

    def add(builder: ModelBuilder) -> tuple[list[int], int]:
        shape = (int(rng.choice([1, 2])), *(int(size) for size in rng.integers(1, 16, 2)), 4 * seed)
        x = layers.activation_tensor(builder, rng, shape, f"x{seed}")
        axes = (1, 2) if seed % 2 else (1,)
        return [x], more.mean(builder, rng, x, axes, name=f"mean{seed}")

    return add


def constant_pool(operation: Pool, size: int) -> bytes:
    """One window of `size` x `size` positions, four channels."""
    builder = ModelBuilder()
    x = builder.tensor("x", (1, size, size, 4), scale=0.05, zero_point=-7)
    y = layers.pool_2d(builder, np.random.default_rng(0), operation, x, (size, size), (1, 1))
    return builder.finish([x], [y])


def kernel_of(data: bytes) -> str:
    return compile_graph(data, Target("dsp"))[1].functions[0].kernel


@pytest.mark.parametrize("layer", [pool, mean])
@pytest.mark.parametrize("instruction_set", ["generic", "dsp"])
def test_random_layers(layer: object, instruction_set: Literal["generic", "dsp"]) -> None:
    draw = pool if layer is pool else mean
    models = {f"seed {seed}": branches([draw(seed)]) for seed in range(1, 31)}
    check_models(models, instruction_set=instruction_set)


@pytest.mark.parametrize("toolchain", ["gcc", "clang"])
@pytest.mark.toolchain
@pytest.mark.emulator
def test_assembly(tmp_path: Path, toolchain: ToolchainName) -> None:
    drawn = [pool(seed) for seed in range(1, 24)] + [mean(seed) for seed in range(1, 8)]
    data = branches(drawn)
    kernels = {f.kernel for f in compile_graph(data, Target("dsp"))[1].functions}
    expected = ("average_pool_2d", "max_pool_2d", "global_average_pool_2d", "global_max_pool_2d")
    assert kernels == {f"dsp/{stem}" for stem in (*expected, "mean")}
    check_on_board(data, "mps2-an386", tmp_path, toolchain=toolchain)


@pytest.mark.parametrize("board", DSP_BOARDS[1:])
@pytest.mark.toolchain
@pytest.mark.emulator
def test_assembly_on_other_cores(tmp_path: Path, board: str) -> None:
    check_on_board(branches(pool(seed) for seed in range(30, 40)), board, tmp_path)


@pytest.mark.parametrize("operation", POOLS)
def test_sums_at_the_end_of_a_lane(operation: Pool) -> None:
    """225 positions of -128 fit an int16; 256 do not, and are summed one by one."""
    stem = operation.lower()
    assert kernel_of(constant_pool(operation, 15)) == f"dsp/global_{stem}"
    wide = "dsp" if operation == "MAX_POOL_2D" else "generic"
    assert kernel_of(constant_pool(operation, 16)) == f"{wide}/global_{stem}"
    for size in (15, 16):
        inputs = [
            [np.full((1, size, size, 4), value, np.int8)] for value in (-128, -127, -1, 0, 127)
        ]
        models = {f"{size}": constant_pool(operation, size)}
        check_models(models, instruction_set="dsp", inputs=inputs)
