"""Conversions of MLPerf Tiny's float models are no worse than the int8 files published of them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from exporter.worker import Worker
from tests.conftest import MODELS
from tests.convert.published import PAIRS, Compared, Pair, compare, start_ascent

SETTING = "percentile + bias correction"
LEAST_SHARE = 0.05


@pytest.fixture(scope="module")
def ascent() -> Iterator[Worker]:
    if find_spec("tensorflow") is None:
        pytest.skip("needs TensorFlow (the extra `convert`)")
    with start_ascent() as worker:
        yield worker


DEAREST = ("pretrainedResnet.h5", "vww_96.h5")  # their references take a minute together


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            pair, id=pair.trained, marks=[pytest.mark.long] if pair.trained in DEAREST else []
        )
        for pair in PAIRS
    ],
)
def compared(
    request: pytest.FixtureRequest, ascent: Worker, tmp_path_factory: pytest.TempPathFactory
) -> Compared:
    if not MODELS.is_dir():
        pytest.skip("needs ../shared/models")
    pair: Pair = request.param
    folder: Path = tmp_path_factory.mktemp("published")
    return compare(pair, [SETTING], ascent, folder)


@pytest.mark.slow
def test_int8_has_the_float_models_top_class_as_often_as_the_published_file(
    compared: Compared,
) -> None:
    assert compared.ours[SETTING] >= max(compared.published, compared.published_twin)


@pytest.mark.slow
def test_each_class_is_the_float_models_top_class_of_some_inputs(compared: Compared) -> None:
    assert compared.classes.min() >= LEAST_SHARE
