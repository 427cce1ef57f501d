"""Kernels with Helium: what is chosen and why, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.ops.base import Target
from exporter.ops.candidate import Candidate
from exporter.ops.kernels.mve.depthwise_conv_2d import MOST_SCRATCH_BYTES
from tests import random_shape_layers as more
from tests.flatbuffer_builder import ModelBuilder
from tests.ops.emulated import check_on_board
from tests.ops.harness import check_models, compile_graph, make_case
from tests.ops.kernels.layers import (
    POOLS,
    TARGETS,
    additive,
    chosen,
    constant_pool,
    conv,
    depthwise,
    linear,
    mean,
    micro_kernels,
    multiplied,
    pooled,
    softmax,
    table,
)
from tests.ops.kernels.shapes import TRANSPOSES
from tests.ops.test_transpose import transpose
from tests.ops.variants import offered


def taken(data: bytes, target: Target = TARGETS["mve"]) -> Candidate:
    return chosen(data, target)


def test_convolutions() -> None:
    neighbours = taken(conv((1, 8, 8, 16), 8, (3, 3), 0))
    assert micro_kernels(neighbours) == ["tile_columns"]
    assert neighbours.scratch_bytes == 0
    assert micro_kernels(taken(conv((1, 9, 9, 16), 8, (3, 3), 0, stride=(2, 2)))) == [
        "tile_4x2",
        "tile_1x8",
    ]
    first = taken(conv((1, 16, 16, 3), 8, (3, 3), 0, stride=(2, 2)))
    assert micro_kernels(first) == ["tile_4x2", "pack_windows"]
    assert first.scratch_bytes == 4 * 32


def test_shifts_to_the_left_are_for_layers_that_have_them() -> None:
    """The plain form corrects nothing: ReLU clamps the ties that it rounds differently."""
    plain = taken(conv((1, 4, 4, 16), 2, (1, 1), 2, activation="RELU", zero_point=-128))
    literals = dict(plain.micro_kernels[0].params)
    assert (literals["left"], literals["ties"]) == (False, "none")
    other = taken(conv((1, 4, 4, 16), 2, (1, 1), 2, activation="NONE"))
    assert dict(other.micro_kernels[0].params)["ties"] != "none"


def test_other_cores_are_offered_none() -> None:
    layer = conv((1, 8, 8, 16), 8, (3, 3), 0)
    assert not taken(layer, Target(instruction_set="dsp")).kernel.startswith("mve/")


def test_depthwise_convolutions() -> None:
    two_rows = taken(depthwise((1, 48, 48, 8), (3, 3), 0))
    assert micro_kernels(two_rows) == ["lay_rows", "depthwise_2x2x2"]
    assert (two_rows.rows_per_call, two_rows.ring) == (2, None)
    assert two_rows.scratch_bytes <= MOST_SCRATCH_BYTES
    strided = taken(depthwise((1, 48, 48, 8), (3, 3), 0, stride=(2, 2)))
    assert micro_kernels(strided) == ["lay_rows", "depthwise_4x2"]
    doubled = linear("depthwise_conv_2d", (1, 8, 8, 8), 2, (3, 3))
    assert not taken(doubled).kernel.startswith("mve/")


def test_rows_too_far_apart_for_places_of_16_bits() -> None:
    check_models(
        {"70,000": depthwise((1, 2, 140, 500), (3, 3), 2)},
        instruction_set="mve",
        vectors=2,
    )


def test_dense_layers() -> None:
    one = linear("fully_connected", (1, 640), 16)
    assert micro_kernels(taken(one)) == ["tile_1x8"]
    assert micro_kernels(taken(linear("fully_connected", (4, 640), 16))) == ["tile_4x2"]
    single_rounding = Target(instruction_set="mve", dialect="litert")
    assert not taken(one, single_rounding).kernel.startswith("mve/")


def test_sums() -> None:
    """Nearly all have a linear form; fewer than eight elements are left to others."""
    sizes = [(kind, elements) for elements in (1, 7, 8, 16, 33, 250) for kind in ("ADD", "SUB")]
    kernels = [taken(additive(*size, seed)) for seed, size in enumerate(sizes)]
    assert not any(kernel.kernel == "mve/add" for kernel in kernels[:4])
    helium = [kernel for kernel in kernels[4:] if kernel.kernel == "mve/add"]
    assert len(helium) >= 6
    assert all(micro_kernels(kernel) == ["add_eights"] for kernel in helium)


def test_transposed_matrices() -> None:
    """Many rows are gathered, many columns scattered; near ones by places of 8 bits."""
    forms = {
        (64, 32): "gather pairs",
        (63, 33): "gather halfwords",
        (64, 17): "gather bytes",
        (16, 64): "scatter bytes",
        (18, 64): "scatter pairs",
    }
    assert {shape: taken(transpose(shape, (1, 0))).choice for shape in forms} == forms
    assert taken(transpose((8, 12), (1, 0))).kernel == "dsp/transpose"
    assert taken(transpose((16, 4369), (1, 0))).kernel == "mve/transpose"
    assert "gather" not in {
        candidate.choice.split()[0] for candidate in moves(transpose((16, 4371), (1, 0)))
    }


def test_pairs_lie_on_halfwords() -> None:
    """QEMU does not fault where they do not, a core does."""
    found = 0
    for shape, permutation in TRANSPOSES:
        for candidate in moves(transpose(shape, permutation)):
            way, _, form = candidate.choice.partition(" ")
            if form != "pairs":
                continue
            found += 1
            assert not any(offset % 2 for offset in offsets(candidate.params, way)), (shape, way)
    assert found >= 3


def offsets(params: Mapping[str, Any], way: str) -> list[int]:
    """Of what is gathered in the input, or scattered in the output."""
    side = 0 if way == "gather" else 1
    pitch = params[("input_pitch", "output_pitch")[side]]
    starts = [(top * pitch + left, left * pitch + top)[side] for top, left, *_ in params["parts"]]
    return [pitch, *starts, *(steps[side] for _, *steps in params["others"])]


def moves(data: bytes) -> list[Candidate]:
    """The kernels with Helium for the only layer of a model."""
    graph = compile_graph(data, TARGETS["mve"])[0]
    return [c for c in offered(graph, TARGETS["mve"]) if c.kernel == "mve/transpose"]


def test_pooling() -> None:
    """The tails for depths below 16; sums that an int16 lane does not hold are left to others."""
    for operation in POOLS:
        assert _tail(taken(pooled(operation, 12))) and not _tail(taken(pooled(operation, 17)))
    assert taken(constant_pool("AVERAGE_POOL_2D", 16)).kernel == "mve/global_average_pool_2d"
    assert taken(constant_pool("AVERAGE_POOL_2D", 17)).kernel == "generic/global_average_pool_2d"


def _tail(candidate: Candidate) -> bool:
    (micro,) = candidate.micro_kernels
    assert micro.instruction_set == "mve"
    return bool(dict(micro.params)["tail"])


def test_means() -> None:
    assert micro_kernels(taken(mean(5))) == ["windows_sum"]
    assert taken(mean(1)).kernel == "dsp/mean"  # four channels: one word


def test_tables_and_products() -> None:
    """Small products and rows are left to C: what they save is not worth the code."""
    assert micro_kernels(taken(table(16, 0))) == ["look_up"]
    assert micro_kernels(taken(multiplied((8, 16), (16,), 0))) == ["multiply"]
    assert taken(multiplied((1, 63), (1, 63), 0)).kernel.startswith("generic/")
    assert taken(multiplied((8, 16), (8, 1), 0)).kernel.startswith("generic/")
    assert taken(softmax(2, 16, 0)).kernel == "mve/softmax"
    assert taken(softmax(1, 31, 0)).kernel == "generic/softmax"


@pytest.mark.emulator
@pytest.mark.toolchain
def test_in_place(tmp_path: Path) -> None:
    """Layers that write exactly over their operand, one after another."""
    rng, builder = np.random.default_rng(0), ModelBuilder()
    first = x = builder.tensor("x", (5, 37), scale=0.04, zero_point=3)
    x = more.table(builder, rng, "TANH", x)
    x = more.table(builder, rng, "LOGISTIC", x)
    y = builder.tensor("square", (5, 37), scale=0.01, zero_point=-100)
    builder.op("MUL", [x, x], [y], activation="NONE")
    model = builder.finish([first], [more.softmax(builder, rng, y)])
    case = make_case("in place", model, TARGETS["mve"], 14)
    steps = case.program.steps
    assert all(step.candidate.kernel.startswith("mve/") for step in steps)
    assert len({step.output.offset for step in steps[1:]}) == 1
    check_on_board([case], "mps3-an547", tmp_path)
