"""DEPTHWISE_CONV_2D for the DSP extension: twins against the oracle, assembly against twins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exporter.graph.ir import Graph
from exporter.ops.base import Dialect, Target
from exporter.ops.candidate import Candidate
from exporter.plan.program import Program
from exporter.toolchain import ToolchainName
from tests.ops.harness import check_models, check_operator, compile_graph
from tests.ops.kernels.twins import wrong_bytes
from tests.ops.test_depthwise_conv_2d import depthwise

DSP = Target(instruction_set="dsp")
FREE = Target(instruction_set="dsp", flash_price=0)

STRIDES = ((1, 1), (2, 2), (2, 1), (1, 2))


def compiled(data: bytes) -> tuple[Graph, Program]:
    """For the DSP extension, at any price in flash."""
    return compile_graph(data, FREE)


def chosen(data: bytes) -> Candidate:
    """What the planner takes for the only layer of a model."""
    return compile_graph(data, DSP)[1].steps[0].candidate


def three_by_three() -> dict[str, bytes]:
    """Shapes of every code path: rows per call, whole or looped rows, tails, strips, no words."""
    sizes = (
        (5, 5, 4),
        (7, 3, 8),
        (3, 3, 16),
        (6, 13, 3),
        (9, 9, 4),
        (4, 7, 5),
        (5, 44, 4),
        (4, 1, 4),
    )
    return {
        f"{size} by {stride} {padding}": depthwise(
            (1, *size), kernel=(3, 3), stride=stride, padding=padding, activation="RELU",
            seed=sum(size), zero_point=-128 if size[2] == 4 else 5,
        )
        for size in sizes
        for stride in STRIDES
        for padding in ("SAME", "VALID")
        if padding == "SAME" or size[1] >= 3
    }  # fmt: skip


def other_kernels() -> dict[str, bytes]:
    """Heights of either parity, with and without rows that share their pairs, every tail."""
    kernels = ((5, 5), (2, 2), (4, 3), (1, 4), (3, 1), (7, 1), (6, 2), (8, 1), (2, 4), (3, 3))
    return {
        f"{kernel} by {stride} {width} columns": depthwise(
            (1, 10, width, 4 if width % 2 else 6), kernel=kernel, stride=stride,
            activation="RELU" if width < 7 else "NONE", seed=width + sum(kernel),
        )
        for kernel in kernels
        for stride in (*STRIDES, (3, 3))
        for width in (5, 6, 8, 11)
    }  # fmt: skip


def extremes() -> dict[str, bytes]:
    """Weights of -128, zero points at both ends, scales far apart, channels that are constant."""
    return {
        f"{kernel} {zero_point} {activation} seed {seed}": depthwise(
            (1, 5, 6, 8), kernel=kernel, zero_point=zero_point, style="extreme", seed=seed,
            activation=activation,
        )
        for kernel in ((3, 3), (5, 5))
        for zero_point in (-128, 127)
        for activation in ("RELU", "NONE", "RELU_N1_TO_1")
        for seed in range(3)
    }  # fmt: skip


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_random_models(dialect: Dialect) -> None:
    check_operator("DEPTHWISE_CONV_2D", range(100, 140), dialect=dialect, instruction_set="dsp")


@pytest.mark.parametrize("build", ["sanitized", "clang"])
def test_three_by_three(build: str) -> None:
    models = three_by_three()
    kernels = [chosen(data).kernel for data in models.values()]
    assert kernels.count("dsp/depthwise_conv_2d") >= len(models) // 2
    check_models(models, instruction_set="dsp", build=build)


@pytest.mark.parametrize("make", [other_kernels, extremes])
def test_other_kernels_and_extremes(make: object) -> None:
    assert callable(make)
    models: dict[str, bytes] = make()
    kernels = [chosen(data).kernel for data in models.values()]
    assert kernels.count("dsp/depthwise_conv_2d") >= len(models) // 3
    check_models(models, instruction_set="dsp", build="gcc")


def test_a_batch() -> None:
    check_models({"batch": depthwise((3, 5, 6, 4), activation="RELU")}, instruction_set="dsp")


def test_the_form_follows_from_the_activation() -> None:
    """Negative sums of a layer without a ReLU round away from zero: no two-instruction form."""
    size = (1, 8, 8, 32)
    cheap = chosen(depthwise(size, activation="RELU"))
    assert "two-instruction" in cheap.choice and cheap.rows_per_call > 1
    dear = chosen(depthwise(size, activation="NONE", seed=1))
    assert "four-instruction" in dear.choice and "negative" in dear.choice


def test_what_is_left_to_generic_kernels() -> None:
    for data in (
        depthwise((1, 8, 8, 4), 2),
        depthwise((1, 8, 8, 4), dilation=(2, 1)),
        depthwise((1, 12, 8, 4), kernel=(9, 3)),
    ):
        assert chosen(data).kernel == "generic/depthwise_conv_2d"


def test_estimates_do_not_depend_on_the_weights() -> None:
    counts = {
        chosen(depthwise((1, 8, 8, 32), activation="RELU", seed=s)).instructions for s in (1, 2)
    }
    assert len(counts) == 1


BUILDS: tuple[tuple[str, ToolchainName, str], ...] = (
    ("mps2-an386", "gcc", "speed"),
    ("mps2-an386", "clang", "size"),
    ("mps2-an505", "clang", "speed"),
    ("mps2-an500", "gcc", "size"),
)


@pytest.mark.toolchain
@pytest.mark.emulator
@pytest.mark.parametrize(("board", "toolchain", "optimize"), BUILDS)
def test_assembly_equals_twins(
    tmp_path: Path, board: str, toolchain: ToolchainName, optimize: str
) -> None:
    programs = {}
    for make in (three_by_three, other_kernels, extremes):
        for name, data in make().items():
            program = compiled(data)[1]
            if program.steps[0].candidate.kernel == "dsp/depthwise_conv_2d":
                programs[f"{make.__name__} {name}"] = program
    micro_kernels = {m.template for p in programs.values() for m in p.micro_kernels}
    assert micro_kernels == {
        f"dsp/micro/depthwise_{stem}" for stem in ("pairs", "pairs_1", "3x3", "tile")
    }
    wrong = wrong_bytes(
        programs, tmp_path / "project", board=board, toolchain=toolchain, optimize=optimize
    )
    assert not {name: count for name, count in wrong.items() if count}


def test_requantisation_is_exact_where_it_is_offered() -> None:
    """Every sum near a step of the output, for weights that reach the proven limits."""
    data = depthwise((1, 3, 3, 8), activation="RELU", seed=5, padding="VALID")
    ends = [np.full((1, 3, 3, 8), value, np.int8) for value in (-128, 127)]
    rng = np.random.default_rng(0)
    inputs = [[end] for end in ends]
    inputs += [[rng.integers(-128, 128, (1, 3, 3, 8), np.int8)] for _ in range(3000)]
    check_models({"random sums": data}, instruction_set="dsp", inputs=inputs, build="gcc")
