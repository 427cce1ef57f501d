"""Every kernel that is offered equals the oracle on the host, over the C twins of micro-kernels."""

from __future__ import annotations

import pytest

from exporter.ops.base import Dialect
from tests.ops.harness import run_cases, skip_without_oracle
from tests.ops.kernels.layers import TARGETS
from tests.ops.kernels.shapes import GROUPS
from tests.ops.variants import variants

# The kernels of a set, wherever a target is offered those of lesser sets too.
SETS = {"generic": "generic/", "registers": "generic/", "dsp": "dsp/", "mve": "mve/"}
WEIGHTED = ("conv_2d", "depthwise_conv_2d", "fully_connected")
HELD = [
    *((name, group) for name in SETS for group in WEIGHTED),
    *((name, group) for name in ("generic", "registers") for group in GROUPS if group not in WEIGHTED),
]
EXTENDED = ("pooling", "elementwise")
"""Groups without weights for which an extension has kernels."""


@pytest.mark.parametrize(("name", "group"), HELD)
def test_every_kernel(name: str, group: str) -> None:
    """Address, alignment and undefined behaviour are checked, and that no gap is touched."""
    cases = variants(GROUPS[group](), TARGETS[name], kernels=SETS[name])
    assert cases
    run_cases(cases, "sanitized")


@pytest.mark.parametrize("group", EXTENDED)
def test_every_kernel_of_the_extensions(group: str) -> None:
    models = GROUPS[group]()
    cases = [
        case
        for name in ("dsp", "mve")
        for case in variants(models, TARGETS[name], kernels=SETS[name])
    ]
    assert cases
    run_cases(cases, "sanitized")
