"""What samples are warned about, word for word, and what they are not warned about."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exporter.samples import (
    ModelInput,
    Range,
    range_before_normalization,
    range_before_rescaling,
)
from exporter.samples.suspicions import suspicions

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(0)


def told(array: Any, trained: Range | None = None, names: tuple[str, ...] = ()) -> list[str]:
    array = np.asarray(array, np.float32)
    return suspicions([array], [ModelInput("x", array.shape[1:], "float32")], [trained], names)


def uniform(low: float, high: float, *shape: int) -> Array:
    array = RANDOM.uniform(low, high, shape)
    array.flat[0], array.flat[-1] = low, high
    return array


def pixels(count: int = 40) -> Array:
    return np.rint(uniform(0, 255, count, 8, 8, 3))


def digits(*shape: int) -> Array:
    """Images with a black rim, as flat as the network wants them."""
    images = np.zeros((40, 8, 8), np.float32)
    images[:, 1:-1, 1:-1] = RANDOM.random((40, 6, 6))
    return images.reshape(40, *shape)


def speech() -> Array:
    """MFCCs: [49, 10, 1], the first coefficient large and negative."""
    return RANDOM.normal(0, 10, (40, 49, 10, 1)) + np.linspace(-100, 0, 10)[:, None]


RIGHT: dict[str, tuple[Array, Range | None]] = {
    "pixels to 0..1": (pixels() / 255, (0, 1)),
    "pixels to 0..1, unknown": (pixels() / 255, None),
    "pixels to -1..1": (pixels() / 127.5 - 1, (-1, 1)),
    "raw pixels for Rescaling": (pixels(), (0, 255)),
    "dark pixels": (pixels() / 255 * 0.2, (0, 1)),
    "normalised pixels": ((pixels() / 255 - 0.45) / 0.225, (-2.2, 2.7)),
    "sound": (uniform(-0.6, 0.7, 40, 1000), (-1, 1)),
    "quiet sound": (uniform(-0.06, 0.07, 40, 1000), (-1, 1)),
    "decibels": (uniform(-90, 40, 40, 640), None),
    "MFCC": (speech(), None),
    "flat digits": (digits(64), (0, 1)),
    "digits by rows": (digits(8, 8), None),
    "digits as images": (digits(8, 8, 1), None),
    "standardised sensors": (RANDOM.normal(0, 1, (40, 128, 6)), (-4, 4)),
    "outliers": (np.append(RANDOM.normal(0, 1, (40, 3)), [[5.5, -5, 0]], axis=0), (-4, 4)),
    "acceleration": (RANDOM.normal([0, 0, 9.8], 5, (40, 64, 3)), None),
    "pulses": (np.rint(uniform(0, 60, 40, 16)), None),
    "a few alike": (np.repeat(RANDOM.random((38, 4)), [3] + [1] * 37, axis=0), None),
    "temperature of 40 rows": (RANDOM.normal(20, 4, (40, 1)), None),
}


@pytest.mark.parametrize("case", list(RIGHT))
def test_right_data_is_not_warned_about(case: str) -> None:
    assert told(*RIGHT[case]) == []


ONE_CHANNEL = np.stack([RANDOM.random((40, 9)), np.full((40, 9), 7)], axis=-1)
REPEATED = np.repeat(RANDOM.random((10, 4)), [31] + [1] * 9, axis=0)
SUSPICIOUS: dict[str, tuple[Array, Range | None, str]] = {
    "few": (
        RANDOM.random((9, 4)), None,
        "only 9 samples: what is measured on fewer than 10 is seldom right; 100 to 500 is usual",
    ),
    "constant": (np.ones((40, 4)), None, "the data of 'x' is 1 everywhere"),
    "constant channel": (ONE_CHANNEL, None, "channel 1 of 'x' is 7 in all 40 samples"),
    "constant colour": (
        pixels() / 255 * [1, 0, 1], (0, 1), "channel 1 of 'x' is 0 in all 40 samples",
    ),
    "colour of [C, H, W]": (
        np.moveaxis(np.tile(pixels(), (1, 4, 4, 1)) / 255 * [1, 1, 0], -1, 1), (0, 1),
        "channel 2 of 'x' is 0 in all 40 samples",
    ),
    "repeated": (
        REPEATED, None,
        "30 of 40 samples repeat another one (one of them is there 31 times): they add nothing",
    ),
    "raw pixels": (
        pixels(), (0, 1),
        "the data of 'x' spans 0..255, although 0..1 is expected: it is not scaled as in training; "
        "dividing it by 255 would do",
    ),
    "raw pixels, unknown": (
        pixels(), None,
        "the data of 'x' spans 0..255 in whole numbers, as raw pixels do: right only if the model "
        "was trained so",
    ),
    "scaled twice": (
        pixels() / 255, (0, 255),
        "the data of 'x' spans 0..1, although 0..255 is expected: it may be scaled twice; "
        "multiplying it by 255 would do",
    ),
    "0..1 for -1..1": (
        pixels() / 255, (-1, 1),
        "the data of 'x' spans 0..1, although -1..1 is expected: nothing is below 0, as if it were "
        "scaled to 0..1",
    ),
    "16 bit sound": (
        uniform(-32768, 32767, 40, 1000), (-1, 1),
        "the data of 'x' spans -32768..32767, although -1..1 is expected: it is not scaled as in "
        "training",
    ),
    "16 bit sound, unknown": (
        uniform(-32768, 32767, 40, 1000), None,
        "the data of 'x' spans -32768..32767: inputs as large as this are seldom what a model was "
        "trained on",
    ),
    "pascals": (
        uniform(98000, 103000, 40, 4), None,
        "the data of 'x' spans 98000..103000: inputs as large as this are seldom what a model was "
        "trained on",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(SUSPICIOUS))
def test_suspicious_data_is_warned_about(case: str) -> None:
    array, trained, warning = SUSPICIOUS[case]
    assert told(array, trained) == [warning]


def test_channels_have_the_names_of_columns() -> None:
    assert told(ONE_CHANNEL, names=("ax", "ay"))[0].startswith("channel 1 (ay) of 'x' is 7")


def test_two_inputs_repeat_together() -> None:
    inputs = [ModelInput(name, (4,), "float32") for name in "ab"]
    other = RANDOM.random((40, 4)).astype(np.float32)
    assert suspicions([REPEATED.astype(np.float32), other], inputs, [None, None]) == []


@pytest.mark.parametrize(
    ("scale", "offset", "fed"),
    [(1 / 255, 0, (0, 255)), (1 / 127.5, -1, (0, 255)), (1, 0, (0, 1)), (2, -1, (0, 1))],
)
def test_what_a_model_with_rescaling_was_fed(scale: float, offset: float, fed: Range) -> None:
    assert range_before_rescaling(scale, offset) == pytest.approx(fed)


def test_what_a_model_with_normalization_was_fed() -> None:
    assert range_before_normalization([10, 100], [4, 25]) == (2, 120)
