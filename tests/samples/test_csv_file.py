"""Samples in CSV files: delimiters, headers, windows, labels, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exporter.errors import BadInput
from exporter.samples import ModelInput, Preprocessing, SampleOptions, Samples, load_samples

ALL = SampleOptions(samples=None)
ROW = ModelInput("row", (3,), "float32")
WINDOW = ModelInput("window", (4, 3), "float32")
FLAT = ModelInput("flat", (12,), "float32")


def save(folder: Path, text: str, name: str = "data.csv") -> Path:
    (folder / name).write_bytes(text.encode())
    return folder / name


def rows(count: int) -> str:
    """`count` rows of 3 numbers: 0,1,2 then 3,4,5 and so on."""
    return "\n".join(f"{3 * k},{3 * k + 1},{3 * k + 2}" for k in range(count))


def load(path: Path, model_input: ModelInput = ROW, options: SampleOptions = ALL) -> Samples:
    return load_samples(path, [model_input], options)


@pytest.mark.parametrize(
    "text",
    [
        "0.5,1,2\n3,4,5\n",
        "0.5;1;2\n3;4;5",
        "0,5;1;2\n3;4;5",
        "0.5\t1\t2\r\n3\t4\t5\r\n",
        " x, y, z\n0.5, 1, 2\n\n3, 4, 5\n",
        'x;"y, z";w\n5e-1;1;2\n3;4;5\n',
        "\ufeff0.5,1,2\n3,4,5\n",
        '"0.5","1","2"\n"3","4","5"\n',
        "1st,2nd,3\n0.5,1,2\n3,4,5\n",
    ],
    ids=["commas", "semicolons", "decimal comma", "tabs", "header", "quotes", "BOM", "quoted", "3"],
)
def test_delimiters_and_headers(tmp_path: Path, text: str) -> None:
    assert load(save(tmp_path, text)).arrays[0].tolist() == [[0.5, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("shape", [(3,), (3, 1), (1, 3, 1)], ids=str)
def test_a_row_takes_the_shape_of_the_input(tmp_path: Path, shape: tuple[int, ...]) -> None:
    samples = load(save(tmp_path, rows(5)), ModelInput("x", shape, "float32"))
    assert samples.arrays[0].shape == (5, *shape)
    assert "a row each, columns column 1, column 2, column 3" in samples.how


@pytest.mark.parametrize(
    ("options", "firsts"),
    [
        (ALL, [0, 12, 24]),
        (SampleOptions(None, csv_stride=2), [0, 6, 12, 18, 24]),
        (SampleOptions(None, csv_window=4, csv_stride=9), [0, 27]),
    ],
    ids=["apart", "overlapping", "far apart"],
)
def test_windows(tmp_path: Path, options: SampleOptions, firsts: list[int]) -> None:
    array = load(save(tmp_path, rows(13)), WINDOW, options).arrays[0]
    expected = [np.arange(first, first + 12).reshape(4, 3).tolist() for first in firsts]
    assert array.tolist() == expected


def test_a_flat_input_takes_windows_of_a_stated_length(tmp_path: Path) -> None:
    array = load(save(tmp_path, rows(9)), FLAT, SampleOptions(None, csv_window=4)).arrays[0]
    assert array.tolist() == [list(range(12)), list(range(12, 24))]


def test_an_input_with_its_channels_first_has_the_columns_first(tmp_path: Path) -> None:
    model_input = ModelInput("signal", (3, 4), "float32")
    array = load(save(tmp_path, rows(4)), model_input, SampleOptions(None, csv_window=4)).arrays[0]
    assert array.tolist() == [np.arange(12).reshape(4, 3).T.tolist()]


def test_one_column_makes_windows(tmp_path: Path) -> None:
    path = save(tmp_path, "ecg\n" + "\n".join(map(str, range(7))))
    assert load(path).arrays[0].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_column_of_labels(tmp_path: Path) -> None:
    text = "x,y,z,Class\n0,1,2,walk\n3,4,5,run\n6,7,8,walk\n"
    samples = load(save(tmp_path, text), options=SampleOptions(None, csv_label="class"))
    assert samples.arrays[0].shape == (3, 3) and samples.class_names == ("run", "walk")
    assert samples.labels is not None and samples.labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize("label", ["10", "10.0", "1e1"])
def test_labels_that_are_numbers(tmp_path: Path, label: str) -> None:
    text = f"class,x,y,z\n{label},0,1,2\n2,3,4,5\n"
    samples = load(save(tmp_path, text), options=SampleOptions(None, csv_label="class"))
    assert samples.labels is not None and samples.labels.tolist() == [10, 2]
    assert samples.class_names is None


def test_windows_over_a_change_of_the_label_are_left_out(tmp_path: Path) -> None:
    lines = [f"{k},0,1,{'a' if k < 5 else 'b'}" for k in range(9)]
    path = save(tmp_path, "x,y,z,label\n" + "\n".join(lines))
    samples = load(path, WINDOW, SampleOptions(None, csv_label="label", csv_stride=1))
    assert samples.labels is not None and samples.labels.tolist() == [0, 0, 1]
    assert samples.arrays[0][:, 0, 0].tolist() == [0, 1, 5]
    assert "3 of 6 windows" in samples.warnings[0]


def test_columns_by_name(tmp_path: Path) -> None:
    text = "time,z,y,x\n2024-01-01,0,1,2\n2024-01-02,3,4,5\n"
    options = SampleOptions(None, csv_columns=("x", "y", "z"))
    assert load(save(tmp_path, text), options=options).arrays[0].tolist() == [[2, 1, 0], [5, 4, 3]]


def test_preprocessing_by_column(tmp_path: Path) -> None:
    preprocessing = Preprocessing.by_numbers(mean=[1, 2, 3], std=[1, 2, 4])
    samples = load(save(tmp_path, "3,4,7\n1,2,3"), options=SampleOptions(None, 0, preprocessing))
    assert samples.arrays[0].tolist() == [[2, 1, 1], [0, 0, 0]]
    assert "(value * 1 - 1,2,3) / 1,2,4" in samples.how


def test_a_constant_column_is_named(tmp_path: Path) -> None:
    text = "x,y,z\n" + "\n".join(f"{k},7,{k * k}" for k in range(20))
    (warning,) = load(save(tmp_path, text)).warnings
    assert warning == "channel 1 (y) of 'row' is 7 in all 20 samples"


LABELLED = SampleOptions(None, csv_label="label")
BAD: dict[str, tuple[str, ModelInput, SampleOptions, str, str]] = {
    "empty": ("", ROW, ALL, "has no rows", "an empty file"),
    "blank": ("\n\n , ,\n", ROW, ALL, "has no rows", "an empty file"),
    "only names": ("x,y,z\n", ROW, ALL, "has no rows", "only names: x"),
    "text": ("1,2,3\n4,five,6\n", ROW, ALL, "no number", "'five' in line 2, 'column 2'"),
    "text below names": ("x,y,z\n1,2,3\n4,?,6", ROW, ALL, "no number", "'?' in line 3, 'y'"),
    "gap": ("1,2,3\n4,,6\n", ROW, ALL, "no number", "'' in line 2"),
    "nan": ("1,2,3\n4,nan,6\n", ROW, ALL, "no number", "'nan' in line 2"),
    "infinite": ("1,2,3\n4,1e999,6\n", ROW, ALL, "no number", "'1e999' in line 2"),
    "ragged": ("1,2,3\n4,5\n", ROW, ALL, "different lengths", "2 cells in line 2, 3 in line 1"),
    "columns": ("1,2\n3,4\n", ROW, ALL, "do not fit", "2 columns"),
    "flat": (rows(9), FLAT, ALL, "do not fit", "3 columns"),
    "window": (rows(9), WINDOW, SampleOptions(csv_window=5), "do not fit", "windows of 5 rows"),
    "few rows": (rows(3), WINDOW, ALL, "too few rows", "3 rows"),
    "no label": ("x,y,z\n1,2,3\n", ROW, LABELLED, "no such column", "label"),
    "label twice": ("label,label,z\n1,2,3\n", ROW, LABELLED, "or several", "label"),
    "only labels": ("label\n1\n", ROW, LABELLED, "its only column", "label"),
    "empty label": (
        "x,y,z,label\n1,2,3,a\n4,5,6, \n", ROW, LABELLED, "without a label", "in line 3, 'label'",
    ),
    "label in every window": (
        "x,y,z,label\n" + "\n".join(f"1,2,3,{k}" for k in range(8)),
        WINDOW, LABELLED, "has one label", "2 windows",
    ),
    "quote": ('1,2,"3\n4,5,6\n', ROW, ALL, "is no CSV file", "end of data"),
    "pixels": (
        rows(5), ROW, SampleOptions(preprocessing=Preprocessing.to_range("0..1")),
        "no pixels", "0..1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(BAD))
def test_bad_files(tmp_path: Path, case: str) -> None:
    text, model_input, options, what, value = BAD[case]
    with pytest.raises(BadInput) as caught:
        load(save(tmp_path, text), model_input, options)
    assert what in caught.value.what and value in str(caught.value.value) and caught.value.allowed


@pytest.mark.parametrize("content", [b"\xff\xfe1\x00,\x002", b"1,2,3\n\x80,5,6", b"PK\x03\x04\x9c"])
def test_files_that_are_no_text(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.csv").write_bytes(content)
    with pytest.raises(BadInput, match="is no CSV file"):
        load(tmp_path / "data.csv")


def test_a_folder_with_the_name_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "data.csv").mkdir()
    with pytest.raises(BadInput, match="cannot read the data file"):
        load(tmp_path / "data.csv")


def test_models_of_two_inputs(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="the model has 2"):
        load_samples(save(tmp_path, rows(5)), [ROW, WINDOW])
