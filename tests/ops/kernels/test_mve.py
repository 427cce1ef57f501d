"""Kernels with Helium: what is chosen and why, and what is refused."""

from __future__ import annotations

from exporter.ops.base import Target
from exporter.ops.candidate import Candidate
from exporter.ops.kernels.mve.depthwise_conv_2d import MOST_SCRATCH_BYTES
from tests.ops.harness import check_models
from tests.ops.kernels.layers import (
    TARGETS,
    additive,
    chosen,
    conv,
    depthwise,
    linear,
    micro_kernels,
)


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
