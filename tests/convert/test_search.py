"""The search for settings, on models that are numbers. Needs no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from exporter.convert.search import (
    MOST_TRIES,
    Bench,
    Candidate,
    Found,
    Score,
    described,
    search,
)
from exporter.convert.settings import ConvertSettings
from exporter.errors import BadInput

Loss = Callable[[Candidate], float]
TENSORS = [f"layer_{n}" for n in range(9)]


def bench(loss: Loss) -> Bench:
    """A model whose flatbuffer says its own loss; every candidate has another one."""

    def quantize(candidate: Candidate) -> bytes:
        return f"{loss(candidate)} {candidate}".encode()

    def score(flatbuffer: bytes) -> Score:
        lost = float(flatbuffer.split()[0])
        return Score(100 - lost, lost, None, 20.0)

    return Bench(quantize, score, lambda _: TENSORS, lambda _: None)


def found(loss: Loss, limit: float = 1.0, *, int16: bool = False) -> Found:
    return search(bench(loss), ConvertSettings(), limit, int16=int16)


def test_the_first_candidate_under_the_limit_ends_it() -> None:
    result = found(lambda c: 0.5 if c.settings.percentile == 99.9 else 3.0)
    assert result.passed and described(result.candidate) == "percentile 99.9"
    assert [t.label for t in result.tries] == ["minmax", "percentile 99.99", "percentile 99.9"]


def test_settings_that_are_good_enough_stay() -> None:
    assert [t.label for t in found(lambda _: 1.0).tries] == ["minmax"]


def test_no_tensor_is_measured_once_the_search_has_ended() -> None:
    measured: list[bytes] = []

    def worst(flatbuffer: bytes) -> list[str]:
        measured.append(flatbuffer)
        return TENSORS

    watching = replace(bench(lambda _: 0.0), worst=worst)
    assert search(watching, ConvertSettings(), 1.0, int16=False).passed and not measured


def test_biases_are_corrected_on_the_best_ranges() -> None:
    def loss(candidate: Candidate) -> float:
        best = candidate.settings.ranges == "mse"
        return (2.0 if best else 3.0) - candidate.settings.bias_correction

    assert described(found(loss).candidate) == "mse, biases corrected"


def test_single_tensors_are_chosen_greedily() -> None:
    def loss(candidate: Candidate) -> float:
        ways = candidate.overrides
        better = [t for t in TENSORS[:2] if ways.get(t, {}).get("ranges") == "mse"]
        return 3.0 - len(better)

    result = found(loss)
    assert result.passed and set(result.candidate.overrides) == set(TENSORS[:2])
    assert described(result.candidate) == "minmax, 2 tensors otherwise"


def test_the_best_of_all_is_kept_where_none_passes() -> None:
    result = found(lambda c: 2.0 if c.settings.ranges == "mse" else 3.0)
    assert not result.passed and result.candidate.settings.ranges == "mse"
    assert result.score.drop == 2.0 and len(result.tries) <= MOST_TRIES


@pytest.mark.parametrize("int16", [False, True])
def test_sixteen_bits_are_the_last_resort_where_they_are_allowed(int16: bool) -> None:
    result = found(lambda c: 0.0 if c.settings.mode == "int16x8" else 3.0, int16=int16)
    assert result.passed == int16
    assert ("last resort" in result.tries[-1].label) == int16


def test_equal_flatbuffers_are_measured_once() -> None:
    scored: list[bytes] = []

    def score(flatbuffer: bytes) -> Score:
        scored.append(flatbuffer)
        return Score(0.0, 5.0, None, None)

    result = search(
        Bench(lambda _: b"same", score, lambda _: TENSORS, lambda _: None),
        ConvertSettings(), 1.0, int16=False,
    )  # fmt: skip
    assert len(scored) == 1 and result.tries[1].note == "the same as: minmax"


def test_what_cannot_be_quantised_is_told_and_passed_over() -> None:
    def loss(candidate: Candidate) -> float:
        if candidate.settings.ranges == "mse":
            raise BadInput("not this one")
        return 0.0 if candidate.settings.bias_correction else 3.0

    result = found(loss)
    assert result.passed
    assert [t.note for t in result.tries if t.label == "mse"] == ["not this one"]


def test_a_model_that_cannot_be_quantised_at_all_is_refused() -> None:
    def loss(_: Candidate) -> float:
        raise BadInput("no int8")

    with pytest.raises(BadInput, match="no int8"):
        found(loss)


def test_every_try_is_told() -> None:
    lines: list[str] = []
    quiet = bench(lambda _: 3.0)
    told = Bench(quiet.quantize, quiet.score, quiet.worst, lines.append)
    result = search(told, ConvertSettings(), 1.0, int16=False)
    assert len(lines) == len(result.tries)
    assert lines[0] == "search 1: minmax: loss 3.00% (limit 1%)"
