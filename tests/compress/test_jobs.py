"""The commands end to end, in their worker process, and all that can be wrong with their input."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.compress import jobs
from exporter.compress.data import load_data
from exporter.worker import Message, Progress
from tests.hil.support import Run, nanoexport, refused

KEYS = {
    "schema_version", "command", "model", "output", "bytes", "score_name", "before", "after",
    "seconds",
}  # fmt: skip
QUICK = ["--epochs", "1", "--batch-size", "16"]


@pytest.fixture(scope="module")
def folder(keras: Any, networks: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.keras, logits of 4 classes of images [6, 6, 2], and data.npz for it."""
    folder = tmp_path_factory.mktemp("compress")
    networks["residual"].save(folder / "model.keras")
    x = keras.Input((6, 6, 2))
    keras.Model(x, keras.layers.LSTM(4, name="memory")(keras.layers.Reshape((36, 2))(x))).save(
        folder / "unknown.keras"
    )
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (60, 6, 6, 2)), rng.integers(0, 4, 60)
    np.savez(folder / "data.npz", x=x, y=y)
    return folder


def compress(folder: Path, command: str, *options: object, output: Path) -> Run:
    model, data = folder / "model.keras", folder / "data.npz"
    return nanoexport(command, model, "--data", data, "-o", output, *QUICK, *options, "--json")


class InThisProcess:
    """Stands in for a worker: the same handlers, without importing TensorFlow once more."""

    def __init__(self, module: str, **environment: str) -> None:
        self._module: Any = import_module(module)

    def __enter__(self) -> InThisProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def request(self, message: Message, deadline_s: float, progress: Progress) -> Message:
        answer: Message = getattr(self._module, message.kind)(message, progress)
        return answer


@pytest.mark.parametrize(
    ("command", "options", "share", "has_worker"),
    [
        ("prune", ["--macs", "50%", "--rounds", "1"], 0.5, True),
        ("distill", ["--width", "0.5"], 0.5, False),
        ("qat", [], 1.0, False),
    ],
)
def test_a_command_writes_a_model_and_reports(
    folder: Path,
    tmp_path: Path,
    keras: Any,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    options: list[str],
    share: float,
    has_worker: bool,
) -> None:
    if not has_worker:
        monkeypatch.setattr(jobs, "Worker", InThisProcess)
    run = compress(folder, command, *options, output=tmp_path / "out.keras")
    assert run.code == 0, run.err
    document = run.document
    assert set(document) == KEYS and document["command"] == command
    assert document["after"]["macs"] <= share * document["before"]["macs"]
    assert document["bytes"] == (tmp_path / "out.keras").stat().st_size
    assert "epoch 1 of 1" in run.err and "Traceback" not in run.err
    model = keras.saving.load_model(tmp_path / "out.keras", compile=False)
    assert model.count_params() == document["after"]["parameters"]
    assert [p.name for p in tmp_path.iterdir()] == ["out.keras"]


def test_errors_come_through_from_the_worker(folder: Path, tmp_path: Path) -> None:
    model, output = folder / "unknown.keras", tmp_path / "out.keras"
    run = nanoexport("prune", model, "--data", folder / "data.npz", "-o", output, "--json")
    refused(run, 2, "'memory'", "LSTM")
    assert not output.exists()


@pytest.mark.parametrize(
    ("command", "options", "words"),
    [
        ("prune", ["--macs", "0"], ["not a percentage"]),
        ("prune", ["--macs", "120%"], ["not a percentage"]),
        ("prune", ["--macs", "nan"], ["not a percentage"]),
        ("prune", ["--rounds", "0"], ["--rounds"]),
        ("prune", ["--seed", "-1"], ["--seed"]),
        ("distill", [], ["one student", "--width"]),
        ("distill", ["--width", "0"], ["--width"]),
        ("distill", ["--width", "0.5", "--student", "s.keras"], ["one student", "both"]),
        ("distill", ["--student", "absent.keras"], ["absent.keras", "no such file"]),
        ("distill", ["--width", "0.5", "--alpha", "2"], ["--alpha"]),
        ("qat", ["--learning-rate", "0"], ["--learning-rate"]),
        ("qat", ["--validation", "absent.npz"], ["cannot read", "absent.npz"]),
    ],
    ids=str,
)
def test_wrong_options(
    folder: Path, tmp_path: Path, command: str, options: list[str], words: list[str]
) -> None:
    refused(compress(folder, command, *options, output=tmp_path / "out.keras"), 2, *words)
    assert not list(tmp_path.iterdir())


def test_files_that_cannot_be_read_or_written(folder: Path, tmp_path: Path) -> None:
    data = ["--data", folder / "data.npz", "--json"]
    model, output = folder / "model.keras", tmp_path / "out.keras"
    refused(nanoexport("qat", tmp_path / "no.keras", "-o", output, *data), 2, "no such file")
    refused(nanoexport("qat", folder / "data.npz", "-o", output, *data), 2, "another format")
    refused(nanoexport("qat", model, "-o", tmp_path / "out.h5", *data), 2, ".keras")
    refused(nanoexport("qat", model, "-o", tmp_path / "no" / "out.keras", *data), 2, "mkdir")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros((20, 3))}, ["no array 'y'"]),
        ({"x": np.zeros((20, 3)), "y": np.zeros(19, int)}, ["not a training set", "[19]"]),
        ({"x": np.zeros((4, 3)), "y": np.zeros(4, int)}, ["not a training set", "8 or more"]),
        ({"x": np.full((20, 3), np.nan), "y": np.zeros(20, int)}, ["finite numbers"]),
        ({"x": np.array(["a"] * 20), "y": np.zeros(20, int)}, ["finite numbers"]),
    ],
)
def test_bad_data(folder: Path, tmp_path: Path, arrays: dict[str, Any], words: list[str]) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    output = tmp_path / "out.keras"
    model = folder / "model.keras"
    run = nanoexport("qat", model, "--data", tmp_path / "bad.npz", "-o", output, "--json")
    refused(run, 2, *words)


def test_a_seeded_part_validates(folder: Path) -> None:
    first, again, other = (load_data(folder / "data.npz", seed=seed) for seed in (1, 1, 2))
    assert len(first.train) == 51 and len(first.validation) == 9
    assert np.array_equal(first.train.x, again.train.x)
    assert not np.array_equal(first.train.x, other.train.x)
    everything = np.concatenate([first.train.x, first.validation.x])
    assert len(np.unique(everything.reshape(60, -1), axis=0)) == 60
