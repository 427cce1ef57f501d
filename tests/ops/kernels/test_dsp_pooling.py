"""Pooling with the DSP extension: sums at the end of a lane."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.ops.base import Target
from tests.ops.harness import check_models
from tests.ops.kernels.layers import POOLS, Pool, chosen, constant_pool

DSP = Target(instruction_set="dsp")


@pytest.mark.parametrize("operation", POOLS)
def test_sums_at_the_end_of_a_lane(operation: Pool) -> None:
    """225 positions of -128 fit an int16; 256 do not, and are summed one by one."""
    stem = operation.lower()
    assert chosen(constant_pool(operation, 15), DSP).kernel == f"dsp/global_{stem}"
    wide = "dsp" if operation == "MAX_POOL_2D" else "generic"
    assert chosen(constant_pool(operation, 16), DSP).kernel == f"{wide}/global_{stem}"
    for size in (15, 16):
        inputs = [
            [np.full((1, size, size, 4), value, np.int8)] for value in (-128, -127, -1, 0, 127)
        ]
        models = {f"{size}": constant_pool(operation, size)}
        check_models(models, instruction_set="dsp", inputs=inputs)
