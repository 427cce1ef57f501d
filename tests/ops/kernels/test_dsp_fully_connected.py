"""FULLY_CONNECTED with the DSP extension: which micro-kernels are taken, sums at their limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exporter.ops.base import Target
from tests.ops.harness import check_models, compile_graph, run_cases
from tests.ops.kernels.layers import dense
from tests.ops.kernels.shapes import fully_connected
from tests.ops.variants import offered, variants

DSP = Target(instruction_set="dsp")


def kernels_of(data: bytes) -> list[str]:
    """Names of the micro-kernels of the best kernel for this set."""
    first, *_ = offered(compile_graph(data, DSP)[0], DSP)
    return [micro.name for micro in first.micro_kernels]


def test_all_micro_kernels_are_reached() -> None:
    """Every form of them, by the layers that the tests of all kernels run."""
    found = {
        micro.name
        for target in (DSP, Target("dsp", dialect="litert"))
        for data in fully_connected().values()
        for candidate in offered(compile_graph(data, target)[0], target)
        for micro in candidate.micro_kernels
    }
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
    run_cases(variants({"large": data}, DSP, kernels="dsp/"), "sanitized")


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
    run_cases(variants({f"row {row}": data}, DSP, kernels="dsp/"), "sanitized")
