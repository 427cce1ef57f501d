"""`nanoexport evaluate`: what it prints, refuses, and finds again after it was killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from exporter.arrays import Array
from exporter.board import load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.errors import LinkFailed
from exporter.hil.evaluation import devices
from exporter.hil.verify import run_on_device
from tests.hil.support import (
    REPOSITORY,
    dense_model,
    labelled,
    nanoexport,
    refused,
    saved,
    with_flipped_bit,
)
from tests.processes import wait_until_gone

pytest_plugins = ["tests.hil.fixtures"]

KEYS = {
    "schema_version", "model", "model_sha256", "build_id", "board", "dialect", "samples", "data",
    "warnings", "metric", "agreement", "classes", "confusions", "stack_bytes", "record", "run",
}  # fmt: skip
SAMPLES = 60
SECONDS = 120.0


@pytest.fixture(autouse=True)
def alone(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of this test alone; the working folder has the user's functions."""
    monkeypatch.setenv("NANOEXPORT_LOCKS", str(tmp_path / "locks"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """`SAMPLES` pictures of three classes."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (SAMPLES, 6, 6, 2)).astype(np.float32)
    np.savez(tmp_path / "test.npz", x=x, y=rng.integers(0, 3, SAMPLES))
    return tmp_path / "test.npz"


@pytest.fixture
def arguments(small_model: Path, data: Path, tmp_path: Path) -> list[str]:
    """Of an evaluation on `host`, with a record of its own."""
    record = tmp_path / "record.jsonl"
    return [
        "evaluate", str(small_model), "--board", "host", "--data", str(data),
        "--results", str(record), "--json",
    ]  # fmt: skip


def test_the_document(arguments: list[str], tmp_path: Path) -> None:
    run = nanoexport(*arguments, "--devices", "2", "-o", tmp_path / "report.json")
    assert run.code == 0, run.err
    document = run.document
    assert set(document) == KEYS
    assert json.loads((tmp_path / "report.json").read_text()) == document
    metric = document["metric"]
    assert metric["name"] == "top1" and metric["value"] == metric["oracle"]
    assert metric["interval"]["low"] < metric["value"] < metric["interval"]["high"]
    assert metric["interval"]["method"] == "Wilson" and metric["interval"]["level"] == 0.95
    assert document["agreement"] == {
        "samples": SAMPLES, "bit_exact_samples": SAMPLES, "bit_exact": True, "mismatches": [],
    }  # fmt: skip
    right = sum(c["right"] for c in document["classes"])
    wrong = sum(c["samples"] for c in document["confusions"])
    assert right == metric["value"] * SAMPLES and right + wrong == SAMPLES
    assert document["run"]["samples_run"] == SAMPLES
    for told in ("record ", "classes", "bit-exact     yes", "95 % confidence"):
        assert told in run.err


def test_other_metrics_of_the_same_record(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs do not depend on the metric: nothing is run again."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "own_metric", ModuleType("own_metric"))
    monkeypatch.delitem(sys.modules, "own_metric")  # what the run imports goes with the test
    source = "def mean(outputs, labels):\n    return outputs.mean()\n"
    (tmp_path / "own_metric.py").write_text(source)
    assert nanoexport(*arguments, "--no-oracle").document["agreement"] is None
    for metric, method in (
        ("auc", "bootstrap"),
        ("own_metric:mean", "bootstrap"),
        ("top1", "Wilson"),
    ):
        document = nanoexport(*arguments, "--metric", metric, "--resamples", "20").document
        assert document["run"]["samples_run"] == 0
        assert method in document["metric"]["interval"]["method"]
        assert document["metric"]["value"] == document["metric"]["oracle"]
    none = nanoexport(*arguments, "--metric", "auc", "--resamples", "0").document["metric"]
    assert none["interval"] is None and none["no_interval"]


def test_numbers_by_mae(arguments: list[str], data: Path) -> None:
    x = np.load(data)["x"][:5]
    np.savez(data, x=x, y=np.random.default_rng(1).normal(size=(5, 3)))
    refused(nanoexport(*arguments), 2, "no test set")
    document = nanoexport(*arguments, "--metric", "mae").document
    assert document["samples"] == 5 and document["classes"] == []
    assert document["metric"]["interval"]["low"] <= document["metric"]["value"]


def test_a_part_drawn_by_a_seed(arguments: list[str], tmp_path: Path) -> None:
    first = nanoexport(*arguments, "--limit", "7", "--seed", "3").document
    assert first["samples"] == 7 and "7 of 60 samples" in first["data"]
    refused(nanoexport(*arguments, "--limit", "8"), 2, "another evaluation", "samples 7", "--fresh")
    assert nanoexport(*arguments, "--limit", "8", "--fresh").code == 0


def test_a_record_for_each_model_and_data(arguments: list[str], small_model: Path) -> None:
    """By default, in the cache, under a name that the user is told."""
    del arguments[arguments.index("--results") :][:2]
    arguments = [a for a in arguments if not a.endswith("record.jsonl") and a != "--results"]
    first = nanoexport(*arguments, "--json")
    record = Path(first.document["record"])
    assert record.parent.name == "evaluations" and record.name.startswith("small-host-")
    assert f"record {record}" in first.err
    assert nanoexport(*arguments, "--json").document["run"]["samples_run"] == 0
    other = nanoexport(*arguments, "--json", "--limit", "5").document["record"]
    assert other != str(record)


def test_classes_go_by_their_names(tmp_path: Path) -> None:
    """No sample is an ant: cats and dogs keep the model's numbers, 1 and 2."""
    model = saved(tmp_path, labelled(dense_model(units=3, inputs=2), ("ant", "cat", "dog")))
    rows = "".join(f"{20 * k},{k},{'cat' if k % 2 else 'dog'}\n" for k in range(10))
    (tmp_path / "test.csv").write_text(f"a,b,class\n{rows}", encoding="utf-8")
    arguments = [
        "evaluate", model, "--board", "host", "--data", tmp_path / "test.csv",
        "--csv-label", "class", "--json",
    ]  # fmt: skip
    run = nanoexport(*arguments)
    classes = {c["number"]: (c["name"], c["samples"]) for c in run.document["classes"]}
    assert classes == {1: ("cat", 5), 2: ("dog", 5)}
    assert run.document["warnings"] and "warning: " in run.err, "unscaled data is told"
    (tmp_path / "test.csv").write_text(f"a,b,class\n{rows}1,2,cow\n", encoding="utf-8")
    refused(nanoexport(*arguments), 2, "does not name", "cow", "ant, cat, dog")


@pytest.fixture
def flipped(small_model: Path, tmp_path: Path, own_cache: Path) -> ModelFirmware:
    """Firmware with one wrong bit."""
    firmware = firmware_for(small_model, load_board("host"), Settings())
    return with_flipped_bit(firmware, "model_weights_0", tmp_path)


def test_a_mismatch_fails_in_the_end_and_again(
    arguments: list[str], flipped: ModelFirmware, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.commands.evaluate.firmware_for", lambda *a, **k: flipped)
    for known in (0, SAMPLES):
        run = nanoexport(*arguments)
        assert run.code == 1 and "does not compute" in str(run.error["what"])
        agreement, document = run.document["agreement"], run.document
        wrong = SAMPLES - agreement["bit_exact_samples"]
        assert wrong == len(agreement["mismatches"]) > 0 and not agreement["bit_exact"]
        assert document["run"]["samples_reused"] == known
        first = agreement["mismatches"][0]
        assert first["expected"] != first["found"] and first["output"] == "scores"
        assert f"sample {first['sample']}: output 'scores'" in run.err
    assert nanoexport(*arguments, "--no-oracle").code == 0, "it was not looked for"


def test_lost_devices_say_how_to_go_on(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(devices, "HELD", 4)

        def run(device: Any, inputs: Any, index: int, *more: Any) -> Any:
            if index >= 30:
                raise LinkFailed("it fell off the table", next_step="pick it up")
            return run_on_device(device, inputs, index, *more)

        patch.setattr(devices, "run_on_device", run)
        lost = nanoexport(*arguments)
    assert lost.code == 4 and "sample 30" in str(lost.error["what"])
    kept = lost.document["kept"]
    assert 20 <= kept <= 30 and lost.document["samples"] == SAMPLES
    assert f"{kept} of {SAMPLES} samples are kept in {tmp_path / 'record.jsonl'}" in lost.err
    again = nanoexport(*arguments)
    assert again.document["run"]["samples_run"] == SAMPLES - kept
    assert f"{kept} of {SAMPLES} samples are known" in again.err


@contextmanager
def in_the_middle(arguments: list[str], samples: int) -> Iterator[subprocess.Popen[str]]:
    """A run that has computed at least 16 samples and will not get beyond `samples`."""
    record = Path(arguments[arguments.index("--results") + 1])
    with subprocess.Popen(
        [sys.executable, "-m", "tests.hil.stalling_evaluation", str(samples), *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            deadline = time.monotonic() + SECONDS
            while not record.exists() or record.read_text().count('"by":"board"') < 16:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


def children(process: subprocess.Popen[str]) -> list[int]:
    pids = Path(f"/proc/{process.pid}/task").glob("*/children")
    return [int(pid) for path in pids for pid in path.read_text().split()]


def test_a_run_that_is_killed_goes_on_where_it_stopped(arguments: list[str]) -> None:
    with in_the_middle(arguments, 40) as process:
        boards = children(process)
        locked = refused(nanoexport(*arguments), 2, "another evaluation is writing")
        assert "--results" in str(locked["next"])
        process.send_signal(signal.SIGKILL)
        process.wait(SECONDS)
    assert boards and all(wait_until_gone(pid, SECONDS) for pid in boards)
    again = nanoexport(*arguments).document
    assert 16 <= again["run"]["samples_reused"] <= 40
    assert again["run"]["samples_run"] + again["run"]["samples_reused"] == SAMPLES
    assert again["agreement"]["bit_exact"] is True
    fresh = nanoexport(*arguments, "--fresh").document
    assert fresh["run"]["samples_run"] == SAMPLES
    for key in ("metric", "classes", "confusions", "agreement"):
        assert fresh[key] == again[key]


def test_control_c_says_what_is_kept(arguments: list[str]) -> None:
    with in_the_middle(arguments, 40) as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    document = json.loads(out)
    assert document["error"]["what"] == "interrupted" and 16 <= document["kept"] <= 40
    assert "the same command goes on from there" in err and "Traceback" not in err


def test_progress_in_a_log(arguments: list[str]) -> None:
    assert f"evaluate: 0 of {SAMPLES} samples" in nanoexport(*arguments).err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--devices", "2", "--device", "/dev/null"], "--devices and --device"),
        (["--device", "/dev/null", "--device", "/dev/null"], "two devices have one name"),
        (["--device", "a=/dev/null", "--device", "b=/dev/null"], "are one port"),
        (["--pool", "missing.yaml"], "missing.yaml"),
        (["--metric", "f1"], "no such metric"),
        (["--metric", "nowhere:f1"], "nowhere"),
        (["--limit", "0"], "--limit"),
        (["-o", "no/such/folder/report.json"], "cannot write"),
        (["--data", "missing.npz"], "missing.npz"),
        (["--pixels", "0..1", "--scale", "2"], "given twice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(arguments: list[str], more: list[str], told: str, tmp_path: Path) -> None:
    refused(nanoexport(*arguments, *more), 2, told)
    assert not (tmp_path / "record.jsonl").exists()


@pytest.mark.parametrize(
    ("y", "told"),
    [
        (np.full(SAMPLES, 3), "no classes of the model"),
        (np.array(["cat", "dog"] * 30), "unclear"),
        (np.full((SAMPLES, 2), 0.5), "no test set"),
    ],
    ids=["a class too many", "names of two of three", "no classes"],
)
def test_labels_that_are_not_the_models(
    arguments: list[str], data: Path, y: Array, told: str
) -> None:
    np.savez(data, x=np.load(data)["x"], y=y)
    refused(nanoexport(*arguments), 2, told)


def test_a_port_without_a_device(arguments: list[str], tmp_path: Path) -> None:
    refused(nanoexport(*arguments, "--device", tmp_path / "none"), 3, "is not there")
