"""The checks of kernels catch what they are for: a wrong output, a touch of what lies around."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from exporter.ops.base import Target
from tests.ops.emulated import check_on_board
from tests.ops.harness import Case, run_cases
from tests.ops.variants import variants
from tests.random_models import random_model


def cases() -> list[Case]:
    return variants({"conv": random_model("CONV_2D", 3)}, Target(), vectors=2)


def wrong_output(case: Case) -> Case:
    """One byte of what is expected is another."""
    expected = [[array.copy() for array in arrays] for arrays in case.expected]
    expected[1][0].flat[-1] ^= 1
    return replace(case, expected=expected)


def gap_over(case: Case, offset: int) -> Case:
    """A guarded byte where the kernel reads or writes."""
    return replace(case, gaps=(*case.gaps, (offset // 8 * 8, 8)))


def test_on_the_host() -> None:
    (case,) = cases()
    run_cases([case], "sanitized")
    with pytest.raises(AssertionError, match="1 of"):
        run_cases([wrong_output(case)], "sanitized")
    for port in (case.program.inputs[0], case.program.outputs[0]):
        with pytest.raises(AssertionError, match="use-after-poison"):
            run_cases([gap_over(case, port.offset + 8)], "sanitized")


@pytest.mark.emulator
@pytest.mark.toolchain
def test_on_a_board(tmp_path: Path) -> None:
    (case,) = cases()
    written = gap_over(case, case.program.outputs[0].offset + 8)
    with pytest.raises(AssertionError, match="2 faults in 3 cases") as caught:
        check_on_board([case, wrong_output(case), written], "mps2-an386", tmp_path)
    assert "wrong output" in str(caught.value)
    assert "a write into a gap" in str(caught.value)
