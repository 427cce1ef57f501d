"""The fixed-point arithmetic, in Python and in C, against exact rational arithmetic."""

from __future__ import annotations

import math
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.ops.arithmetic import (
    ACTIVATIONS,
    Multiplier,
    Rounding,
    activation_range,
    quantize_multiplier,
    requantize,
    rounding_divide_by_power_of_two,
)
from exporter.render.environment import template_folder

int32 = st.integers(-(2**31), 2**31 - 1)
reals = st.floats(2.0**-34, 2.0**20)


def _half_up(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))


def _half_away(value: Fraction) -> int:
    return _half_up(abs(value)) * (1 if value >= 0 else -1)


@given(reals)
def test_multipliers_are_within_half_a_unit_of_31_bits(real: float) -> None:
    mantissa, shift = quantize_multiplier(real)
    if (mantissa, shift) == (0, 0):
        assert real < 2.0**-31
        return
    assert 2**30 <= mantissa < 2**31
    exact = Fraction(real) / Fraction(2) ** shift * 2**31
    assert abs(exact - mantissa) <= 1


@pytest.mark.parametrize(
    ("real", "expected"),
    [
        (0.0, (0, 0)),
        (0.5, (2**30, 0)),
        (1.0, (2**30, 1)),
        (0.25, (2**30, -1)),
        (2.0**-32, (2**30, -31)),
        (2.0**-33, (0, 0)),
        (math.nextafter(1.0, 0.0), (2**30, 1)),  # rounds up to the next power of two
        (math.nextafter(2.0**-32, 0.0), (2**30, -31)),
        (0.75, (3 * 2**29, 0)),
    ],
)
def test_multipliers_by_example(real: float, expected: tuple[int, int]) -> None:
    assert quantize_multiplier(real) == expected


@settings(max_examples=300)
@given(int32, st.integers(1, 31))
def test_division_by_powers_of_two_rounds_halves_away_from_zero(value: int, exponent: int) -> None:
    (found,) = rounding_divide_by_power_of_two(np.array([value]), exponent).tolist()
    assert found == _half_away(Fraction(value, 2**exponent))


@settings(max_examples=500)
@given(int32, st.integers(2**30, 2**31 - 1), st.integers(-31, 8))
def test_double_rounding(value: int, mantissa: int, shift: int) -> None:
    """First to the high word, halves up, then to the result, halves away from zero."""
    value = value if shift <= 0 else value >> shift
    high = _half_up(Fraction((value << max(shift, 0)) * mantissa, 2**31))
    expected = _half_away(Fraction(high, 2 ** max(-shift, 0)))
    assert int(requantize(value, Multiplier(mantissa, shift))) == expected


@settings(max_examples=500)
@given(int32, st.integers(2**30, 2**31 - 1), st.integers(-31, 8))
def test_single_rounding(value: int, mantissa: int, shift: int) -> None:
    value = value if shift <= 0 else value >> shift
    expected = _half_up(Fraction(value * mantissa) * Fraction(2) ** (shift - 31))
    assert int(requantize(value, Multiplier(mantissa, shift), Rounding.SINGLE)) == expected


@given(int32, int32, st.integers(2**30, 2**31 - 1), st.integers(-31, 0))
def test_requantization_is_monotone(a: int, b: int, mantissa: int, shift: int) -> None:
    """What the proofs of `exporter.ops.linear` rest on."""
    low, high = sorted((a, b))
    for rounding in Rounding:
        ends = requantize(np.array([low, high]), Multiplier(mantissa, shift), rounding)
        assert ends[0] <= ends[1]


@given(st.integers(-(2**24), 2**24))
def test_a_multiplier_of_zero_gives_zero(value: int) -> None:
    for rounding in Rounding:
        assert int(requantize(value, quantize_multiplier(0.0), rounding)) == 0


@pytest.mark.parametrize(
    ("activation", "scale", "zero_point", "expected"),
    [
        ("NONE", 0.1, 3, (-128, 127)),
        ("RELU", 0.1, -128, (-128, 127)),
        ("RELU", 0.1, 5, (5, 127)),
        ("RELU6", 0.1, -128, (-128, -68)),
        ("RELU6", 0.05, -128, (-128, -8)),
        ("RELU6", 0.01, -128, (-128, 127)),
        ("RELU6", 4.0, 0, (0, 2)),  # 1.5 rounds away from zero
        ("RELU_N1_TO_1", 0.5, 10, (8, 12)),
        ("RELU_N1_TO_1", 2.0, 0, (-1, 1)),  # so does -0.5
    ],
)
def test_activation_ranges(
    activation: str, scale: float, zero_point: int, expected: tuple[int, int]
) -> None:
    assert activation_range(activation, scale, zero_point) == expected


@given(st.sampled_from(list(ACTIVATIONS)), st.floats(1e-6, 1e6), st.integers(-128, 127))
def test_activation_ranges_are_inside_int8(name: str, scale: float, zero_point: int) -> None:
    low, high = activation_range(name, scale, zero_point)
    assert -128 <= low <= high <= 127


def test_other_activations_have_no_range() -> None:
    with pytest.raises(KeyError):
        activation_range("TANH", 0.1, 0)


# --- the same in C -------------------------------------------------------------------------------

PROGRAM = """
#include <stdio.h>
#include "nano_arithmetic.h"

int main(void)
{
    int32_t in[4];
    while (fread(in, sizeof in, 1, stdin) == 1) {
        int32_t out = 0;
        switch (in[0]) {
        case 0: out = nano_requantize_right(in[1], in[2], in[3]); break;
        case 1: out = nano_requantize_any(in[1], in[2], in[3]); break;
        case 2: out = nano_requantize_single(in[1], in[2], in[3]); break;
        default: out = nano_divide(in[1], in[2]); break;
        }
        fwrite(&out, sizeof out, 1, stdout);
    }
    return 0;
}
"""

BUILD = ("gcc", "-std=c99", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Werror",
         "-fsanitize=undefined", "-fno-sanitize-recover=all")  # fmt: skip

EDGES = [0, 1, -1, 2, -2, 2**30 - 1, -(2**30) + 1, 2**15, -(2**15), 12345, -54321]
MANTISSAS = [0, 2**30, 2**30 + 1, 2**31 - 1, 1518500250]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arithmetic")
    (folder / "main.c").write_text(PROGRAM)
    include = template_folder() / "model"
    argv = [*BUILD, f"-I{include}", "main.c", "-o", "main"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "main"


def _in_c(program: Path, rows: list[tuple[int, int, int, int]]) -> list[int]:
    done = subprocess.run(
        [program], input=np.array(rows, np.int32).tobytes(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    values: list[int] = np.frombuffer(done.stdout, np.int32).tolist()
    return values


def _cases(form: int, shifts: range, limit: int) -> list[tuple[int, int, int, int]]:
    rng = np.random.default_rng(form)
    values = [*EDGES, *(int(v) for v in rng.integers(-limit + 1, limit, 200))]
    return [
        (form, value if shift >= 0 else value >> -shift, mantissa, shift)
        for value in values
        if abs(value) < limit
        for mantissa in MANTISSAS
        for shift in shifts
    ]


@pytest.mark.parametrize(
    ("form", "shifts", "limit", "rounding"),
    [
        (0, range(1, 32), 2**30, Rounding.DOUBLE),
        (1, range(-30, 32), 2**31, Rounding.DOUBLE),
        (2, range(-30, 32), 2**31, Rounding.SINGLE),
    ],
    ids=["right", "any", "single"],
)
def test_c_forms_equal_python(
    program: Path, form: int, shifts: range, limit: int, rounding: Rounding
) -> None:
    cases = _cases(form, shifts, limit)
    expected = [
        int(requantize(value, Multiplier(mantissa, -shift), rounding))
        for _, value, mantissa, shift in cases
    ]
    found = _in_c(program, cases)
    wrong = [(c, f, e) for c, f, e in zip(cases, found, expected, strict=True) if f != e]
    assert not wrong, f"{len(wrong)} of {len(cases)}: {wrong[:5]}"


def test_division_in_c_rounds_halves_away_from_zero(program: Path) -> None:
    sums = [*range(-300, 301), 127 * 4096, -128 * 4096, 10**9, -(10**9)]
    cases = [(3, total, count, 0) for total in sums for count in (1, 2, 3, 4, 7, 255, 4096)]
    expected = [_half_away(Fraction(total, count)) for _, total, count, _ in cases]
    assert _in_c(program, cases) == expected
