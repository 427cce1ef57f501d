"""A benchmark beside an older one: what is worse fails, what cannot be compared is refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from exporter.board import load_board
from exporter.build.firmware import Settings, firmware_for
from exporter.errors import BadInput, CheckFailed
from exporter.hil.compare import Comparison, check_comparable, compare, read_document
from tests.hil.support import nanoexport

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")

DOCUMENT: dict[str, Any] = {
    "model_sha256": "aa",
    "board": "mps2-an386",
    "dialect": "tflite",
    "toolchain": "gcc",
    "optimize": "speed",
    "instructions": 1_000_000,
    "modelled_cycles": 2_000_000,
    "arena_bytes": 10_000,
    "flash_bytes": 20_000,
    "layers": [
        {"index": 0, "op": "CONV_2D", "instructions": 900_000, "modelled_cycles": 1_800_000},
        {"index": 1, "op": "SOFTMAX", "instructions": 100_000, "modelled_cycles": 200_000},
    ],
}


def changed(**values: Any) -> dict[str, Any]:
    return copy.deepcopy(DOCUMENT) | values


def saved(folder: Path, document: object) -> Path:
    path = folder / "old.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), "utf-8")
    return path


def names(comparison: Comparison) -> list[str]:
    return [change.figure for change in comparison.regressions]


def test_the_same_passes() -> None:
    comparison = compare(DOCUMENT, DOCUMENT)
    comparison.check()
    assert len(comparison.whole) == 5
    assert not comparison.regressions and not comparison.layers and not comparison.notes


@pytest.mark.parametrize("figure", ["modelled_cycles", "arena_bytes", "flash_bytes"])
def test_one_percent_is_the_limit(figure: str) -> None:
    limit = DOCUMENT[figure] * 101 // 100
    compare(DOCUMENT, changed(**{figure: limit})).check()
    worse = compare(DOCUMENT, changed(**{figure: limit + 1}))
    assert names(worse) == [figure]
    with pytest.raises(CheckFailed) as caught:
        worse.check()
    assert figure in str(caught.value.value)


def test_instructions_may_differ_by_a_reading() -> None:
    compare(DOCUMENT, changed(instructions=1_010_080)).check()
    assert names(compare(DOCUMENT, changed(instructions=1_010_081))) == ["instructions"]
    small = changed(instructions=500)
    assert not names(compare(small, changed(instructions=580)))


def test_better_passes() -> None:
    better = changed(instructions=1, modelled_cycles=1, arena_bytes=1, flash_bytes=1)
    compare(DOCUMENT, better).check()


def test_what_can_no_longer_be_measured_fails() -> None:
    now = changed(modelled_cycles=None)
    assert names(compare(DOCUMENT, now)) == ["modelled_cycles"]
    assert "not measured" in compare(DOCUMENT, now).regressions[0].describe()
    assert not names(compare(DOCUMENT, now, left_out=["modelled_cycles"]))
    assert not names(compare(now, DOCUMENT))  # a figure that is new


def test_layers_show_where_it_comes_from() -> None:
    layers = copy.deepcopy(DOCUMENT["layers"])
    layers[0]["instructions"] += 80  # a reading
    layers[1]["instructions"] += 81
    layers[1]["modelled_cycles"] -= 1
    layers.append({"index": 2, "op": "RESHAPE", "instructions": 7, "modelled_cycles": None})
    found = compare(DOCUMENT, changed(layers=layers)).layers
    assert [(c.layer, c.op, c.figure, c.before, c.now) for c in found] == [
        (1, "SOFTMAX", "instructions", 100_000, 100_081),
        (1, "SOFTMAX", "modelled_cycles", 200_000, 199_999),
        (2, "RESHAPE", "instructions", None, 7),
    ]


def test_another_toolchain_is_noted() -> None:
    comparison = compare(DOCUMENT, changed(toolchain="clang"))
    assert comparison.notes == ("toolchain was gcc, now clang",)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("{", "Expecting property name"),
        ([1], "no JSON object"),
        ({}, "does not say model_sha256"),
        (changed(board=7), "does not say board"),
        (changed(layers=None), "lists no layers"),
        (changed(layers=[1]), "lists no layers"),
        (changed(layers=[{"index": 0}]), "lists no layers"),
        ({k: v for k, v in DOCUMENT.items() if k != "modelled_cycles"}, "modelled_cycles"),
        (changed(instructions="many"), "no figure for instructions"),
        (changed(flash_bytes=True, arena_bytes=-1), "no figure for arena_bytes, flash_bytes"),
    ],
)
def test_what_is_no_benchmark_is_refused(document: object, problem: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        read_document(saved(tmp_path, document))
    assert problem in str(caught.value.value)
    assert caught.value.allowed and "bench MODEL" in str(caught.value.next_step)


@pytest.mark.parametrize("name", ["absent.json", "."])
def test_a_file_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot read the benchmark to compare with"):
        read_document(tmp_path / name)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    for content in (b"\xff\xfe\x00", b"[" * 200_000):
        (tmp_path / "old.json").write_bytes(content)
        with pytest.raises(BadInput, match="cannot read the benchmark to compare with"):
            read_document(tmp_path / "old.json")


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("model_sha256", "bb", "model"),
        ("board", "mps2-an386", "board"),
        ("dialect", "litert", "dialect"),
    ],
)
def test_other_things_are_not_compared(key: str, value: str, what: str, small_model: Path) -> None:
    firmware = firmware_for(small_model, load_board("host"), Settings())
    same = {
        "model_sha256": firmware.program.model_sha256,
        "board": "host",
        "dialect": "tflite",
    }
    check_comparable(same, firmware)
    with pytest.raises(BadInput, match=f"is of another {what}") as caught:
        check_comparable(same | {key: value}, firmware)
    assert value in str(caught.value.value) and same[key] in str(caught.value.allowed)


def test_the_command_compares(small_model: Path, tmp_path: Path) -> None:
    """On this computer, where bytes are all that is compared."""
    bench = ["bench", small_model, "--board", "host"]
    document = nanoexport(*bench, "--json").document
    old = saved(tmp_path, document)
    good = nanoexport(*bench, "--compare", old)
    assert good.code == 0 and "compared with the older benchmark" in good.out
    bad = nanoexport(*bench, "--json", "--compare", saved(tmp_path, document | {"arena_bytes": 1}))
    assert bad.code == 1
    assert "arena_bytes 1 ->" in str(bad.error["value"])
    assert bad.document["comparison"]["regressions"] == ["arena_bytes"]
    assert bad.document["layers"] == document["layers"]


def test_the_command_refuses_before_it_measures(
    small_model: Path, other_model: Path, tmp_path: Path
) -> None:
    document = nanoexport("bench", small_model, "--board", "host", "--json").document
    run = nanoexport(
        "bench", other_model, "--board", "host", "--json", "--compare", saved(tmp_path, document)
    )
    assert run.code == 2 and "another model" in str(run.error["what"])
    missing = nanoexport(
        "bench", small_model, "--board", "host", "--json", "--compare", tmp_path / "none.json"
    )
    assert missing.code == 2 and missing.error["value"] == "No such file or directory"
