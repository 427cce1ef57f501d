"""Samples in a CSV file of sensor readings: a row each, or windows of consecutive rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from exporter.arrays import Array
from exporter.errors import BadInput
from exporter.samples.base import Kind, ModelInput, Opened, Progress, Taken, only_input
from exporter.samples.labels import class_numbers, whole_numbers
from exporter.samples.options import SampleOptions
from exporter.samples.table import Table, read_table, rows_of


class CsvFile(Kind):
    """Rows of numbers; a column by name may hold the label."""

    form = "a CSV file of sensor rows (.csv, .tsv)"

    def matches(self, data: str) -> bool:
        return Path(data).suffix.lower() in (".csv", ".tsv", ".txt")

    def check(self, data: str) -> None:
        rows_of(Path(data))

    def open(
        self, data: str, inputs: Sequence[ModelInput], options: SampleOptions, told: Progress
    ) -> Opened:
        model_input = only_input(data, "a CSV file", inputs)
        told(f"reading {data}")
        table = read_table(Path(data), options.csv_label, options.csv_columns)
        rows = _prepared(table.values, options)
        window = _window(table, model_input, options)
        if window is None:
            return _opened(table, rows, model_input, options)
        return _opened_windows(table, rows, model_input, options, window)


def _prepared(values: Array, options: SampleOptions) -> Array:
    """The rows as float32, by the preprocessing where one is given."""
    if options.preprocessing is None:
        return values.astype(np.float32)
    if options.preprocessing.named:
        raise BadInput(
            "a CSV file has no pixels to scale",
            value=f"the range {options.preprocessing.named}",
            allowed="scale, mean and std, by column or one for all",
        )
    return options.preprocessing.apply(values)


def _window(table: Table, model_input: ModelInput, options: SampleOptions) -> int | None:
    """Rows to a sample; None where each row is one. Raises BadInput where nothing fits."""
    columns = table.values.shape[1]
    size = int(np.prod(model_input.shape))
    long = [d for d in model_input.shape if d > 1]
    asked = options.csv_window
    if columns == size and asked in (None, 1):
        return None
    rows = size // columns
    fits = rows * columns == size
    # [T, C] says what its windows are; of a flat input only the user can say it.
    told_by_shape = long == [rows, columns] or (columns == 1 and long == [rows])
    if fits and (asked == rows or (asked is None and told_by_shape)):
        return rows
    raise BadInput(
        f"the rows of '{table.path}' do not fit the input '{model_input.name}'",
        value=f"{columns} columns ({_some(table.names)})"
        + (f", windows of {asked} rows" if asked else ""),
        allowed=f"float32 {model_input.batched}: {size} columns, or windows of T rows of C columns "
        f"where T * C is {size}",
        next_step=f"set the window to {rows} rows"
        if fits and not asked
        else "choose the columns that the model takes, and the one with the label",
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _opened(table: Table, rows: Array, model_input: ModelInput, options: SampleOptions) -> Opened:
    labels, names = _labels(table.labels)

    def read(indices: Array) -> Taken:
        return _taken(table, rows[indices], model_input, options, "a row each")

    return Opened("rows", len(rows), read, labels, names)


def _opened_windows(
    table: Table, rows: Array, model_input: ModelInput, options: SampleOptions, window: int
) -> Opened:
    """Windows of `window` rows, [T, C] each; those in which the label changes are left out.

    Where the input has its channels first, as PyTorch's have, they are [C, T].
    """
    if len(rows) < window:
        raise BadInput(
            f"'{table.path}' has too few rows for one window",
            value=f"{len(rows)} rows",
            allowed=f"{window} or more",
        )
    stride = options.csv_stride or window
    starts = np.arange(0, len(rows) - window + 1, stride)
    labels, names = _labels(table.labels)
    warnings: tuple[str, ...] = ()
    if labels is not None:
        starts, warnings = _of_one_label(table, starts, labels, window)
        labels = labels[starts]
    views = sliding_window_view(rows, window, axis=0)  # [starts, C, T]
    columns_first = _columns_first(model_input, views.shape[1:])
    how = f"windows of {window} rows, one every {stride}"
    if columns_first:
        how += ", columns first"
    else:
        views = np.moveaxis(views, -1, 1)

    def read(indices: Array) -> Taken:
        return _taken(table, views[starts[indices]], model_input, options, how)

    return Opened("windows", len(starts), read, labels, names, warnings)


def _columns_first(model_input: ModelInput, window: tuple[int, ...]) -> bool:
    """Whether the input is [C, T], as `window` is, and not [T, C] as well."""
    long = tuple(d for d in model_input.shape if d > 1)
    return long == window != window[::-1]


def _of_one_label(
    table: Table, starts: Array, labels: Array, window: int
) -> tuple[Array, tuple[str, ...]]:
    changes = np.concatenate([[0], np.cumsum(labels[1:] != labels[:-1])])
    same = changes[starts] == changes[starts + window - 1]
    if not same.any():
        raise BadInput(
            f"no window of '{table.path}' has one label",
            value=f"{len(starts)} windows of {window} rows",
            allowed="the same label in all rows of a window",
            next_step="choose a smaller stride, or leave the column of labels out",
        )
    if same.all():
        return starts, ()
    left_out = f"{int((~same).sum())} of {len(starts)} windows of '{table.path}' have rows of "
    return starts[same], (left_out + "different labels and are left out",)


def _labels(cells: list[str] | None) -> tuple[Array | None, tuple[str, ...] | None]:
    found = None if cells is None else class_numbers(whole_numbers(cells))
    return found or (None, None)


def _taken(
    table: Table, rows: Array, model_input: ModelInput, options: SampleOptions, how: str
) -> Taken:
    preprocessing = options.preprocessing
    return Taken(
        (np.ascontiguousarray(rows).reshape(len(rows), *model_input.shape),),
        how=f"{how}, columns {_some(table.names)}"
        + (f", {preprocessing.stated}" if preprocessing else ""),
        channels=table.names,
    )
