"""Every kernel that is offered equals the oracle on the host, over the C twins of micro-kernels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporter.ops.base import Dialect
from tests.ops.harness import run_cases, skip_without_oracle
from tests.ops.kernels.layers import TARGETS, drawn
from tests.ops.kernels.shapes import GROUPS, MORE, Groups, half_of
from tests.ops.variants import variants

# The kernels of a set: a target is offered those of lesser sets too.
SETS = {"generic": "generic/", "registers": "generic/", "dsp": "dsp/", "mve": "mve/"}
WEIGHTED = ("conv_2d", "depthwise_conv_2d", "fully_connected")
UNWEIGHTED = ("pooling", "elementwise", "others")


@pytest.mark.parametrize("group", WEIGHTED)
@pytest.mark.parametrize(
    ("name", "halves"),
    [
        ("generic", (0,)),
        ("registers", (1,)),
        ("dsp", (0,)),
        ("mve", (1,)),
        pytest.param("generic", (1,), marks=pytest.mark.long),
        pytest.param("registers", (0,), marks=pytest.mark.long),
        pytest.param("dsp", (1,), marks=pytest.mark.long),
        pytest.param("mve", (0,), marks=pytest.mark.long),
    ],
)
def test_every_kernel_with_weights(name: str, halves: tuple[int, ...], group: str) -> None:
    """Either half of the models reaches every template (test_reach)."""
    check(group, [name], halves=halves)


@pytest.mark.long
@pytest.mark.parametrize("group", MORE)
@pytest.mark.parametrize("name", SETS)
def test_more_shapes(name: str, group: str) -> None:
    check(group, [name], groups=MORE)


@pytest.mark.parametrize("group", UNWEIGHTED)
@pytest.mark.parametrize("name", ["generic", "registers"])
def test_every_other_kernel(name: str, group: str) -> None:
    check(group, [name])


@pytest.mark.parametrize("group", UNWEIGHTED)
def test_every_other_kernel_of_the_extensions(group: str) -> None:
    check(group, ["dsp", "mve"])


@pytest.mark.parametrize("name", ["generic", "dsp"])
def test_dense_layers_that_round_once(name: str) -> None:
    """Helium is left out: it has no kernel for the dialect litert (test_mve.py)."""
    check("fully_connected", [name], "litert")


@pytest.mark.parametrize("build", ["gcc", "clang"])
def test_convolutions_in_the_other_dialect_and_optimised(build: str) -> None:
    skip_without_oracle("litert")
    models = drawn(["CONV_2D", "DEPTHWISE_CONV_2D"], range(24, 34))
    cases = [
        case
        for name, kernels in SETS.items()
        for optimize in ("speed", "size")
        for case in variants(
            models,
            replace(TARGETS[name], dialect="litert", optimize=optimize),
            kernels=kernels,
        )
    ]
    run_cases(cases, build)


def check(
    group: str,
    names: list[str],
    dialect: Dialect = "tflite",
    groups: Groups = GROUPS,
    halves: tuple[int, ...] = (0, 1),
) -> None:
    """Under the sanitizers of addresses, alignment and undefined behaviour; gaps are poisoned."""
    skip_without_oracle(dialect)
    models = {name: data for name, data in groups[group]().items() if half_of(name) in halves}
    cases = [
        case
        for name in names
        for case in variants(models, replace(TARGETS[name], dialect=dialect), kernels=SETS[name])
    ]
    assert cases
    run_cases(cases, "sanitized")
