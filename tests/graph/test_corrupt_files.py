"""Corrupt files, by the thousand: a message for the user or a valid graph, never anything else."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator

import pytest
import tflite
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter import ops, passes
from exporter.errors import BadInput, InternalError
from exporter.graph.dump import dump
from exporter.graph.tflite_reader import read
from exporter.graph.verify import verify
from exporter.ops.base import Target
from exporter.plan.check import check
from exporter.plan.planner import plan
from tests.plan.random_graphs import random_graph
from tests.random_models import RECIPES, random_model

DEADLINE_SECONDS = 5.0
"""Generous: a small model takes milliseconds."""

WORDS = (0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x3FFFFFFF, 0x40000000)


@pytest.fixture(scope="module")
def models() -> list[bytes]:
    return [random_graph(seed, 5) for seed in range(4)] + [random_model(k, 1) for k in RECIPES]


def survives(data: bytes) -> None:
    """Reads and compiles `data`. Whatever is raised beside the two is the test's failure."""
    start = time.monotonic()
    with contextlib.suppress(BadInput, InternalError):
        graph = verify(read(data), after="reading")
        assert dump(graph)
        graph = ops.check(passes.run(graph))
        check(plan(graph, Target()), graph)
    assert time.monotonic() - start < DEADLINE_SECONDS


def _with_word(model: bytes, offset: int, word: int) -> bytes:
    return model[:offset] + word.to_bytes(4, "little") + model[offset + 4 :]


def _truncated(rng: random.Random, model: bytes) -> bytes:
    return model[: rng.randrange(len(model))]


def _bits_flipped(rng: random.Random, model: bytes) -> bytes:
    data = bytearray(model)
    for _ in range(rng.choice([1, 1, 2, 8])):
        data[rng.randrange(8, len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _word_replaced(rng: random.Random, model: bytes) -> bytes:
    """Offsets, vector lengths, indices and sizes are words."""
    offset = rng.randrange(8, len(model) - 4) & ~3
    return _with_word(model, offset, rng.choice([*WORDS, len(model), rng.randrange(1 << 32)]))


def _part_removed(rng: random.Random, model: bytes) -> bytes:
    start = rng.randrange(8, len(model))
    return model[:start] + model[start + rng.choice([1, 4, 16]) :]


Mutation = Callable[[random.Random, bytes], bytes]
MUTATIONS: tuple[Mutation, ...] = (_truncated, _bits_flipped, _word_replaced, _part_removed)


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_random_corruption(mutation: Mutation, models: list[bytes]) -> None:
    rng = random.Random(f"corrupt {mutation.__name__}")
    for _ in range(700):
        survives(mutation(rng, rng.choice(models)))


def _words(model: bytes) -> Iterator[bytes]:
    for offset in range(0, len(model) - 4, 4):
        for word in (0xFFFFFFFF, 0x7FFFFFFF, 0):
            yield _with_word(model, offset, word)


@pytest.mark.parametrize("kind", ["CONV_2D", "SOFTMAX", "PAD"])
def test_every_word_of_a_small_model_corrupted(kind: str) -> None:
    model = min((random_model(kind, seed) for seed in range(0, 20, 2)), key=len)
    for data in _words(model[:1200] if len(model) > 4000 else model):
        survives(data)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.binary(max_size=400))
def test_any_bytes_behind_a_header(tail: bytes) -> None:
    survives(b"\x08\0\0\0TFL3" + tail)


@pytest.mark.parametrize("length", [0, 1, 4, 7, 8, 9, 16, 31])
def test_short_files(length: int, models: list[bytes]) -> None:
    with pytest.raises(BadInput):
        read(models[0][:length])


@pytest.mark.parametrize("name", ["SubgraphsLength", "BuffersLength", "OperatorCodesLength"])
def test_a_vector_longer_than_the_file_is_refused_quickly(
    name: str, models: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lengths that a corrupt file can claim: 4 GiB of entries."""
    monkeypatch.setattr(tflite.SubGraph, "TensorsLength", lambda _: 0xFFFFFFFF)
    monkeypatch.setattr(tflite.Model, name, lambda _: 1)
    start = time.monotonic()
    with pytest.raises(BadInput, match="corrupt"):
        read(models[0])
    assert time.monotonic() - start < 1.0
