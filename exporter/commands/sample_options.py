"""Options that say how samples are read: the same for every command that takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click

from exporter.errors import BadInput
from exporter.samples import MOST_SAMPLES, RANGES, Preprocessing, Range, SampleOptions
from exporter.samples.options import Resize

Command = TypeVar("Command", bound=Callable[..., Any])

_NAMES = (
    "samples", "seed", "pixels", "scale", "mean", "std", "channels", "resize", "trained_range",
    "csv_window", "csv_stride", "csv_label", "csv_columns", "sample_rate",
)  # fmt: skip


def sample_options(command: Command) -> Command:
    """The arguments of `chosen_samples`."""
    for option in reversed(_options()):
        command = option(command)
    return command


def test_set_options(command: Command) -> Command:
    """The same for a test set, of which all samples are taken by default."""
    for option in reversed(_options()[1:]):
        command = option(command)
    return click.option(
        "--limit", "samples", type=click.IntRange(1), metavar="N",
        help="Take so many samples at most, drawn by --seed. [all of them, in their order]",
    )(command)  # fmt: skip


def _options() -> list[Callable[[Command], Command]]:
    return [
        click.option(
            "--samples", type=click.IntRange(1), default=MOST_SAMPLES, show_default=True,
            metavar="N", help="Calibrate with at most so many samples.",
        ),
        click.option(
            "--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N",
            help="Which samples are taken, and in which order.",
        ),
        click.option(
            "--pixels", type=click.Choice(list(RANGES)),
            help="Images: what training scaled pixels to.",
        ),
        click.option(
            "--scale", type=float, metavar="X",
            help="Images, CSV: training computed (value * scale - mean) / std.",
        ),
        click.option("--mean", callback=_numbers, metavar="A,B,C", help="One, or one by channel."),
        click.option("--std", callback=_numbers, metavar="A,B,C", help="One, or one by channel."),
        click.option(
            "--channels", type=click.Choice(["rgb", "bgr"]), default="rgb", show_default=True,
            help="Order of an image's channels.",
        ),
        click.option(
            "--resize", type=click.Choice(get_args(Resize)), default="bilinear", show_default=True,
            help="How images get the input's size.",
        ),
        click.option(
            "--trained-range", callback=_range, metavar="LOW..HIGH",
            help="What the inputs spanned in training; data is held against it.",
        ),
        click.option(
            "--csv-window", type=click.IntRange(1), metavar="ROWS",
            help="CSV: rows that make a sample.",
        ),
        click.option(
            "--csv-stride", type=click.IntRange(1), metavar="ROWS",
            help="CSV: rows from one sample to the next. [the window]",
        ),
        click.option("--csv-label", metavar="COLUMN", help="CSV: the column with the class."),
        click.option(
            "--csv-columns", metavar="A,B,C", help="CSV: the columns that are data. [all others]"
        ),
        click.option(
            "--sample-rate", type=click.IntRange(1), metavar="HZ",
            help="WAV: the rate that files must have.",
        ),
    ]  # fmt: skip


def chosen_samples(options: dict[str, Any]) -> SampleOptions:
    """Takes the values of `sample_options` out of a command's arguments. Raises BadInput."""
    given = {name: options.pop(name) for name in _NAMES}
    columns = given.pop("csv_columns")
    preprocessing = _preprocessing(
        given.pop("pixels"),
        (given.pop("scale"), given.pop("mean"), given.pop("std")),
        given.pop("channels"),
    )
    return SampleOptions(
        **given,
        preprocessing=preprocessing,
        csv_columns=tuple(c.strip() for c in columns.split(",")) if columns else (),
    )


def _preprocessing(
    pixels: str | None,
    numbers: tuple[float | None, tuple[float, ...], tuple[float, ...]],
    order: Any,
) -> Preprocessing | None:
    by_numbers = numbers[0] is not None or bool(numbers[1] or numbers[2])
    if pixels and by_numbers:
        raise BadInput(
            "the preprocessing is given twice",
            value="--pixels beside --scale, --mean or --std",
            allowed="one of the two",
        )
    if pixels:
        return Preprocessing.to_range(pixels, order)
    if order != "rgb" and not by_numbers:
        raise BadInput(
            "the order of the channels says nothing of their range",
            value=f"--channels {order} alone",
            allowed="--channels with --pixels, or with --scale, --mean or --std",
            next_step="name the range that training scaled pixels to, such as --pixels 0..255",
        )
    if by_numbers:
        return Preprocessing.by_numbers(*numbers, order)
    return None


def _numbers(
    context: click.Context, option: click.Parameter, value: str | None
) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in value.split(",")) if value else ()
    except ValueError:
        raise click.BadParameter(f"{value!r} is not numbers, such as 0.5 or 123,117,104.") from None


def _range(context: click.Context, option: click.Parameter, value: str | None) -> Range | None:
    if value is None:
        return None
    try:
        low, high = value.split("..")
        return float(low), float(high)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a range, such as 0..1 or -1..1.") from None
