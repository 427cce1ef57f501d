"""What users can say about their samples, and how pixels become numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from exporter.arrays import Array
from exporter.errors import BadInput

Range = tuple[float, float]
Order = Literal["rgb", "bgr"]
Resize = Literal["bilinear", "nearest", "bicubic", "lanczos", "box"]

MOST_SAMPLES = 500
BRIGHTEST = 255.0
RANGES: dict[str, Range] = {"0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0), "0..255": (0.0, BRIGHTEST)}


@dataclass(frozen=True)
class Preprocessing:
    """What training did to each number: (value * scale - mean) / std, mean and std by channel.

    `named` is the range that it was chosen by, a key of RANGES, where it was. `order` is that of an
    image's channels.
    """

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    order: Order = "rgb"
    named: str | None = None

    @classmethod
    def to_range(cls, name: str, order: Order = "rgb") -> Preprocessing:
        """Pixels to one of RANGES. Raises BadInput for another name."""
        if name not in RANGES:
            raise BadInput("there is no such range of pixels", value=name, allowed=list(RANGES))
        low, high = RANGES[name]
        scale = (high - low) / BRIGHTEST
        return cls(scale=scale, mean=(0.0 - low,), order=order, named=name)  # no -0.0

    @classmethod
    def by_numbers(
        cls,
        scale: float | None = None,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
        order: Order = "rgb",
    ) -> Preprocessing:
        """From what the command line is given; empty is 0 for the mean, 1 for the others.

        Raises BadInput for numbers that are not finite, that do not fit, or that divide by zero.
        """
        chosen = cls(
            scale=1.0 if scale is None else scale,
            mean=tuple(mean) or (0.0,),
            std=tuple(std) or (1.0,),
            order=order,
        )
        numbers = (chosen.scale, *chosen.mean, *chosen.std)
        fitting = len({len(chosen.mean), len(chosen.std)} - {1}) <= 1
        positive = min(chosen.scale, *chosen.std) > 0
        if not (fitting and positive and all(map(math.isfinite, numbers))):
            raise BadInput(
                "this preprocessing cannot be computed",
                value=chosen.stated,
                allowed="finite numbers; scale and std above 0; mean and std of one number each, "
                "or one for each channel",
            )
        return chosen

    @property
    def stated(self) -> str:
        """In words, for reports."""
        order = ", channels as BGR" if self.order == "bgr" else ""
        if self.named:
            return f"pixels to {self.named}{order}"
        return f"(value * {self.scale:g} - {_list(self.mean)}) / {_list(self.std)}{order}"

    @property
    def pixel_range(self) -> Range:
        """What pixels from 0 to 255 become."""
        ends = [
            (pixel * self.scale - mean) / std
            for pixel in (0.0, BRIGHTEST)
            for mean, std in np.broadcast(self.mean, self.std)
        ]
        return (min(ends), max(ends))

    def apply(self, values: Array) -> Array:
        """`values` [..., C], any number type, as the model takes them: float32 [..., C].

        Raises BadInput where mean or std are not one number, nor one for each channel.
        """
        channels = values.shape[-1]
        for what, numbers in (("mean", self.mean), ("std", self.std)):
            if len(numbers) not in (1, channels):
                raise BadInput(
                    f"the {what} of the preprocessing does not fit the data",
                    value=f"{len(numbers)} numbers: {_list(numbers)}",
                    allowed=f"one, or one for each of the {channels} channels",
                )
        scaled = values * np.float64(self.scale) - np.asarray(self.mean)
        result: Array = (scaled / np.asarray(self.std)).astype(np.float32)
        return result


def _list(numbers: Sequence[float]) -> str:
    return ",".join(f"{n:g}" for n in numbers)


@dataclass(frozen=True)
class SampleOptions:
    """How samples are read. The defaults fit data that is ready for the model.

    samples: at most so many are taken, shuffled by `seed`; None is all, in their own order.
    preprocessing: for images (default: pixels to 0..1, with a warning) and CSV (default: as is).
    trained_range: what the inputs spanned in training; goes before what the model tells.
    resize: how images get the input's size.
    csv_window, csv_stride: rows that make a sample, and rows from one to the next (a window).
    csv_label: the column with the class. csv_columns: the columns that are data (all others).
    sample_rate: in Hz, of WAV files; None takes whatever rate they share.
    """

    samples: int | None = MOST_SAMPLES
    seed: int = 0
    preprocessing: Preprocessing | None = None
    trained_range: Range | None = None
    resize: Resize = "bilinear"
    csv_window: int | None = None
    csv_stride: int | None = None
    csv_label: str | None = None
    csv_columns: tuple[str, ...] = field(default=())
    sample_rate: int | None = None

    def __post_init__(self) -> None:
        """Raises BadInput for numbers that mean nothing."""
        for name in ("samples", "csv_window", "csv_stride", "sample_rate"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise BadInput(f"the option {name} is too small", value=number, allowed="1 or more")
        if self.seed < 0:
            raise BadInput("the seed is negative", value=self.seed, allowed="0 or more")
        ends = self.trained_range
        if ends is not None and not (all(map(math.isfinite, ends)) and ends[0] < ends[1]):
            raise BadInput(
                "the trained range is not a range",
                value=f"{ends[0]:g}..{ends[1]:g}",
                allowed="two finite numbers, the lower one first",
            )


def chosen(count: int, samples: int | None, seed: int) -> Array:
    """Which of `count` samples are taken, int64: at most `samples`, shuffled; None is all in order.

    The same arguments always give the same ones.
    """
    if samples is None:
        return np.arange(count)
    return np.random.default_rng(seed).permutation(count)[:samples]


def range_before_rescaling(scale: float, offset: float) -> Range:
    """What a model that begins with Rescaling(scale, offset) was fed: 0..255 for 1/255 and 0.

    The layer's result is taken to be 0..1, or -1..1 where the offset is negative.
    """
    return (0.0, (1.0 if offset >= 0 else -2.0 * offset) / abs(scale))


def range_before_normalization(mean: Sequence[float], variance: Sequence[float]) -> Range:
    """What a model that begins with Normalization was fed: four deviations about the means."""
    means, deviations = np.asarray(mean, float), np.sqrt(np.asarray(variance, float))
    return (float((means - 4 * deviations).min()), float((means + 4 * deviations).max()))
