"""FULLY_CONNECTED with the DSP extension: packing and C twins here, the assembly on boards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.ops.base import Dialect, Target
from exporter.plan.program import Program
from exporter.toolchain import Optimize, ToolchainName
from tests import random_layers as layers
from tests.flatbuffer_builder import ModelBuilder
from tests.ops.harness import check_models, compile_graph
from tests.ops.kernels.emulated import DSP_BOARDS, Branch, branches, check_on_board
from tests.random_layers import Style

ACTIVATIONS = ["NONE", "RELU", "RELU6", "RELU_N1_TO_1"]
DSP = Target(instruction_set="dsp")


def random_dense(seed: int) -> Branch:
    """A dense layer of up to 30 outputs; odd seeds are of the extreme style."""
    rng = np.random.default_rng([seed, 77])
    style: Style = "extreme" if seed % 2 else "realistic"

    def add(builder: ModelBuilder) -> tuple[list[int], int]:
        shape = (int(rng.choice([1, 1, 2, 3])), int(rng.integers(1, 90)))
        x = layers.activation_tensor(builder, rng, shape, f"x{seed}", style)
        y = layers.fully_connected(
            builder,
            rng,
            x,
            int(rng.integers(1, 30)),
            activation=str(rng.choice(ACTIVATIONS)),
            per_channel=seed % 3 == 0,
            bias=seed % 5 > 0,
            style=style,
            name=f"y{seed}",
        )
        return [x], y

    return add


def dense(weights: Any, *, zero_point: int = -5, output_scale: float = 60.0) -> bytes:
    """A dense layer of given weights [O,K], all scales 1 but the output's."""
    weights = np.asarray(weights, np.int8)
    channels, depth = weights.shape
    builder = ModelBuilder()
    x = builder.tensor("x", (1, depth), scale=1.0, zero_point=zero_point)
    w = builder.tensor("w", weights.shape, scale=1.0, zero_point=0, data=weights)
    y = builder.tensor("y", (1, channels), scale=output_scale, zero_point=3)
    builder.op("FULLY_CONNECTED", [x, w, -1], [y])
    return builder.finish([x], [y])


def kernels_of(data: bytes, target: Target = DSP) -> list[str]:
    return micro_kernels(compile_graph(data, target)[1])


def micro_kernels(program: Program) -> list[str]:
    return [micro.name for micro in program.micro_kernels]


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
@pytest.mark.parametrize("optimize", ["speed", "size"])
def test_random_layers(dialect: Dialect, optimize: str) -> None:
    models = {f"seed {seed}": branches([random_dense(seed)]) for seed in range(48)}
    check_models(models, dialect=dialect, optimize=optimize, instruction_set="dsp")


@pytest.mark.parametrize("toolchain", ["gcc", "clang"])
@pytest.mark.parametrize("optimize", ["speed", "size"])
@pytest.mark.parametrize("dialect", ["tflite", "litert"])
@pytest.mark.toolchain
@pytest.mark.emulator
def test_assembly(
    tmp_path: Path, toolchain: ToolchainName, optimize: Optimize, dialect: Dialect
) -> None:
    data = branches(random_dense(seed) for seed in range(40))
    check_on_board(
        data, "mps2-an386", tmp_path, toolchain=toolchain, optimize=optimize, dialect=dialect
    )


@pytest.mark.parametrize("board", DSP_BOARDS[1:])
@pytest.mark.toolchain
@pytest.mark.emulator
def test_assembly_on_other_cores(tmp_path: Path, board: str) -> None:
    check_on_board(branches(random_dense(seed) for seed in range(40, 70)), board, tmp_path)


def test_all_micro_kernels_are_drawn() -> None:
    """Otherwise the tests above would not show what they claim."""
    data = branches(random_dense(seed) for seed in range(40))
    found = set(kernels_of(data)) | set(kernels_of(data, Target("dsp", dialect="litert")))
    blocks = {"dense_8", "dense_input_sum", *(f"dense_words_{n}" for n in (1, 2, 3, 4))}
    forms = {
        f"dense_requantize_{rounding}{channels}{clamped}"
        for rounding in ("right", "single")
        for channels in ("", "_per_channel")
        for clamped in ("", "_clamped")
    }
    assert found >= blocks | forms, sorted((blocks | forms) - found)


LIMIT = (2**31 - 1) // 257
"""The largest sum that two channels may share lanes for."""


def largest_weights(depth: int, magnitude: int) -> tuple[Any, Any]:
    """Weights [8,K] whose bound is at most `magnitude` and close, and the signs of each row."""
    rng = np.random.default_rng(depth)
    signs = rng.choice([-1, 1], (8, depth))
    size = min(127, magnitude // (133 * depth + 5 * depth))
    return signs * size, signs


def test_sums_at_the_proven_limit() -> None:
    """Inputs that drive each sum in turn to both of its ends."""
    depth = 470
    weights, signs = largest_weights(depth, LIMIT)
    assert kernels_of(dense(weights))[0] == "dense_8"
    assert 133 * np.abs(weights).sum(axis=1).max() > 0.9 * LIMIT
    inputs = [
        [np.where(s * row > 0, 127, -128)[None].astype(np.int8)] for row in signs for s in (1, -1)
    ]
    models = {f"{scale}": dense(weights, output_scale=scale) for scale in (70000.0, 3000.0)}
    check_models(models, instruction_set="dsp", inputs=inputs)


def test_sums_beyond_the_limit_take_plain_words() -> None:
    weights = np.full((8, 1000), 127)
    data = dense(weights)
    assert kernels_of(data)[0] == "dense_words_4"
    check_models({"large": data}, instruction_set="dsp")


@pytest.mark.parametrize(
    ("row", "following", "name"),
    [
        (0, 0, "dense_8"),
        (0, -1, "dense_words_4"),
        (1, -1, "dense_words_4"),
        (2, -1, "dense_8"),
        (3, 5, "dense_8"),
    ],
)
def test_a_weight_of_minus_128(row: int, following: int, name: str) -> None:
    """It fits the lanes where the channel in the low byte adds nothing negative to it."""
    weights = np.random.default_rng(3).integers(-127, 128, (8, 12))
    weights[row, 7], weights[(row + 1) % 8, 7] = -128, following
    data = dense(weights)
    assert kernels_of(data)[0] == name
    check_models({f"row {row}": data}, instruction_set="dsp")
