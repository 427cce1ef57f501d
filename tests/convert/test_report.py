"""The report as files: what is on the page, and what it may not do. Needs no TensorFlow."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.arrays import Array
from exporter.convert.convert import ConvertReport, TensorReport
from exporter.convert.evaluation import Evaluation, confusion, gives_classes, yardstick
from exporter.convert.measures import Comparison, Spread, TensorMeasure, WeightMeasure
from exporter.convert.report import Judgement, check_folder, write_report
from exporter.convert.report.findings import findings
from exporter.convert.report.page import page
from exporter.convert.search import Candidate, Found, Score, Try
from exporter.convert.settings import ConvertSettings
from exporter.errors import BadInput

SETTINGS = ConvertSettings()
SPREAD = Spread(-1.0, 1.0, tuple(range(64)), tuple(range(64)))

TENSOR = TensorMeasure(
    name="net/conv/Relu;net/conv/BiasAdd", op="CONV_2D", shape=(1, 4, 4, 2), dtype="int8",
    scale=0.01, zero_point=-128, sqnr_db=30.0, own_sqnr_db=42.0, channel_sqnr_db=20.0, channel=1,
    mean_error=1e-3, max_error=0.2, saturation=0.0, chosen=(0.0, 2.55), observed=(0.0, 2.5),
    spread=SPREAD,
)  # fmt: skip
WEIGHTS = WeightMeasure(
    name="net/conv/Relu", op="CONV_2D", shape=(2, 3, 3, 1), dtype="int8", channels=2,
    scales=(0.01, 0.02, 0.03), sqnr_db=44.0, max_error=0.01, observed=(-1.0, 1.0), spread=SPREAD,
)  # fmt: skip
CONVERSION = ConvertReport(
    model="net.keras", source="keras", output="net.tflite", settings=SETTINGS, bytes=1000,
    sha256="ab" * 32, samples=100, samples_given=200,
    inputs=(TensorReport("x", (1, 4), "int8", 0.1, 3),),
    outputs=(TensorReport("y", (1, 3), "float32", None, None),),
    operators={"CONV_2D": 1}, warnings=(), seconds=1.5,
)  # fmt: skip


def judged(
    classes: int = 3,
    *tensors: TensorMeasure,
    names: tuple[str, ...] | None = None,
    weights: WeightMeasure = WEIGHTS,
    found: Found | None = None,
) -> Judgement:
    """A model of `classes` whose integer form takes the last class for the first one."""
    labels = np.repeat(np.arange(classes), 4)
    before = np.eye(classes, dtype=np.float32)[labels]
    after: Array = np.eye(classes, dtype=np.float32)[np.where(labels == classes - 1, 0, labels)]
    evaluation = Evaluation("eval.npz", (np.zeros((len(labels), 5), np.float32),), labels, names)
    stick = yardstick(evaluation, None)
    return Judgement(
        evaluation=evaluation,
        yardstick=stick,
        values=stick.values(before, after),
        agreement=0.75,
        output_sqnr_db=21.5,
        confusions=(confusion(before, labels), confusion(after, labels)),
        comparison=Comparison(
            tensors or (TENSOR,),
            (weights,),
            (),
            len(labels),
            4000,
            (3000, 800),
            (before,),
            (after,),
        ),
        candidate=Candidate("as told", SETTINGS),
        found=found,
        seconds={"load": 1.0, "compare": 2.0},
    )


class Reader(HTMLParser):
    """Checks that tags are closed in order; collects tags, attributes and text."""

    VOID = frozenset({"meta", "br", "wbr", "path", "line", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_else() -> None:
    text = page(CONVERSION, judged())
    read = Reader(text)
    assert not {"script", "link", "img", "iframe"} & set(read.tags)
    assert not {"src", "href", "onclick"} & {name for name, _ in read.attributes}
    assert "url(" not in text and "@import" not in text and "//" not in text.replace("*//", "")


def test_the_page_says_the_figures() -> None:
    text = Reader(page(CONVERSION, judged())).text
    for figure in ("66.67%", "100.00%", "75.00%", "21.5", "1,000", "4,000", "30.0", "42.0"):
        assert figure in text, figure
    assert "net/conv/Relu" in text and "BiasAdd" not in text


def test_pictures_have_names() -> None:
    read = Reader(page(CONVERSION, judged()))
    named = [value for name, value in read.attributes if name == "aria-label"]
    assert "Histogram of net/conv/Relu, float and int8" in named


def test_names_are_text_whatever_they_hold() -> None:
    evil = "<script>alert('&')</script>"
    judgement = judged(3, replace(TENSOR, name=evil), names=(evil, "b", "c"))
    read = Reader(page(replace(CONVERSION, model=evil), judgement))
    assert "script" not in read.tags and evil in read.text


@pytest.mark.parametrize(
    ("labels", "classes"), [([0, 1, 2], True), ([0, 1, 57], False), ([-1, 0, 1], False)]
)
def test_whole_numbers_beyond_the_scores_are_no_classes(labels: list[int], classes: bool) -> None:
    """Ages, say, which --metric mae judges: they have no place in a table of classes."""
    evaluation = Evaluation("ages", (np.zeros((3, 8), np.float32),), np.array(labels))
    assert gives_classes(np.zeros((3, 3), np.float32), evaluation) == classes


def test_confusions_stand_side_by_side() -> None:
    read = Reader(page(CONVERSION, judged(names=("cat", "dog", "eel"))))
    titles = [value for name, value in read.attributes if name == "title"]
    assert "eel taken for cat: 4 (float 0)" in titles
    assert sum(tag == "caption" for tag in read.tags) == 2


def test_of_many_classes_the_worst_pairs_are_shown() -> None:
    text = page(CONVERSION, judged(41))
    assert "<caption>" not in text and "of 41 classes" in text
    assert '<tr><td>40</td><td>0</td><td class="n">0</td><td class="n">4</td></tr>' in text


def test_the_search_is_shown_with_its_choice() -> None:
    good, bad = Score(0.9, 0.4, 0.95, 20.0), Score(0.8, 10.4, None, None)
    tries = (
        Try("minmax", bad, False, "", 1000, 0.5),
        Try("mse", None, False, "the same as: minmax", 1000, 0.1),
        Try("percentile 99.9", good, True, "", 1000, 0.5),
    )
    chosen = Candidate("percentile 99.9", SETTINGS, {"net/conv/Relu": {"ranges": "mse"}})
    found = Found(chosen, b"", good, True, 1.0, tries)
    text = page(CONVERSION, judged(found=found))
    rows = re.findall(r'<tr( class="chosen")?>\s*<td class="n">(\d)</td>', text)
    assert rows == [("", "1"), ("", "2"), (' class="chosen"', "3")]
    assert "the same as: minmax" in text and "+10.40" in text


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        ({"sqnr_db": 4.0}, "from its weights or from the layers before it"),
        ({"sqnr_db": 4.0, "own_sqnr_db": 6.0}, "its own range is the reason"),
        ({"saturation": 0.02}, "is clipped in 2.00% of its values"),
        ({"chosen": (0.0, 25.5)}, "uses 0 to 2.5 of its range 0 to 25.5"),
    ],
)
def test_what_stands_out_is_said(tensor: dict[str, Any], said: str) -> None:
    (finding,) = findings(judged(3, replace(TENSOR, **tensor)))
    assert said in finding and finding.startswith("net/conv/Relu (CONV_2D)")


def test_weights_of_very_different_channels_stand_out() -> None:
    (finding,) = findings(judged(weights=replace(WEIGHTS, scales=(0.001, 0.1, 0.5))))
    assert "500 times as strong" in finding


def test_nothing_stands_out_where_all_is_well() -> None:
    assert findings(judged()) == []
    assert "Nothing: no layer is below 15 dB" in page(CONVERSION, judged())


def test_the_same_judgement_gives_the_same_bytes(tmp_path: Path) -> None:
    first = [p.read_bytes() for p in write_report(tmp_path / "a", CONVERSION, judged())]
    again = [p.read_bytes() for p in write_report(tmp_path / "a", CONVERSION, judged())]
    assert first == again and len(first) == 2


def test_the_document_has_the_keys_that_are_documented(tmp_path: Path) -> None:
    path, _ = write_report(tmp_path, CONVERSION, judged())
    document = json.loads(path.read_text())
    assert document["report_version"] == 1
    guide = Path(__file__).resolve().parents[2] / "docs" / "convert-report.md"
    keys = guide.read_text("utf-8").partition("## Metrics")[0]
    documented = re.findall(r"^\| `(\w+)` \|", keys, re.M)
    assert list(document) == documented


def test_other_files_of_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    write_report(tmp_path, CONVERSION, judged())
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "notes.txt", "report.html", "report.json",
    ]  # fmt: skip


def test_a_failure_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_report(tmp_path, CONVERSION, judged())
    before = [p.read_bytes() for p in paths]

    def broken(*_: object) -> str:
        raise RuntimeError("no page")

    monkeypatch.setattr("exporter.convert.report.files.page", broken)
    with pytest.raises(RuntimeError):
        write_report(tmp_path, replace(CONVERSION, bytes=5), judged())
    assert [p.read_bytes() for p in paths] == before
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(BadInput, match="cannot write the report") as caught:
        check_folder(tmp_path / "taken")
    assert caught.value.allowed
