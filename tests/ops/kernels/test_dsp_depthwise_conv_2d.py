"""DEPTHWISE_CONV_2D for the DSP extension: what is chosen, and requantisation at its limits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from exporter.ops.candidate import Candidate
from tests.ops.emulated import check_on_board
from tests.ops.harness import check_models
from tests.ops.kernels import layers
from tests.ops.kernels.layers import TARGETS
from tests.ops.kernels.shapes import other_kernels, three_by_three
from tests.ops.test_depthwise_conv_2d import depthwise
from tests.ops.variants import variants

DSP = TARGETS["dsp"]
FREE = replace(DSP, flash_price=0)


def chosen(data: bytes) -> Candidate:
    """What the planner takes for the only layer of a model."""
    return layers.chosen(data, DSP)


def test_layers_of_three_by_three_are_taken() -> None:
    """Most, where flash costs nothing: the layers are small."""
    kernels = [layers.chosen(data, FREE).kernel for data in three_by_three().values()]
    assert kernels.count("dsp/depthwise_conv_2d") >= len(kernels) // 2


@pytest.mark.emulator
@pytest.mark.toolchain
def test_words_are_loaded_from_aligned_addresses(tmp_path: Path) -> None:
    models = dict(list(three_by_three().items())[::2]) | dict(list(other_kernels().items())[::7])
    cases = variants(models, DSP, 3, kernels="dsp/")
    check_on_board(cases, "mps2-an386", tmp_path, options=["NANO_TRAP_UNALIGNED=ON"])


def test_the_form_follows_from_the_activation() -> None:
    """Negative sums of a layer without a ReLU round away from zero: no scaled form."""
    size = (1, 8, 8, 32)
    cheap = chosen(depthwise(size, activation="RELU"))
    assert "scaled" in cheap.choice and cheap.rows_per_call > 1
    dear = chosen(depthwise(size, activation="NONE", seed=1))
    assert "shifted" in dear.choice and "no ReLU" in dear.choice


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


def test_requantisation_is_exact_where_it_is_offered() -> None:
    """Every sum near a step of the output, for weights that reach the proven limits."""
    data = depthwise((1, 3, 3, 8), activation="RELU", seed=5, padding="VALID")
    ends = [np.full((1, 3, 3, 8), value, np.int8) for value in (-128, 127)]
    rng = np.random.default_rng(0)
    inputs = [[end] for end in ends]
    inputs += [[rng.integers(-128, 128, (1, 3, 3, 8), np.int8)] for _ in range(3000)]
    check_models({"random sums": data}, instruction_set="dsp", inputs=inputs, build="gcc")
