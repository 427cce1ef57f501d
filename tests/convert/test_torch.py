"""PyTorch models.

What needs PyTorch itself is marked `torch` and runs with --torch: `make test-torch`. The checks of
archives and the protocol are tested everywhere.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.convert import TrainedModel, convert_loaded
from exporter.convert.interchange import predictions
from exporter.convert.sources import find_source, torch
from exporter.errors import BadInput, MissingTool
from exporter.foreign.client import Converter
from exporter.graph.tflite_reader import read
from exporter.oracle import Oracle
from tests.convert.conftest import Zoo

MEMBERS = (
    *("m/models/model.json", "m/data/weights/weight_0", "m/data/weights/model_weights_config.json"),
    *("m/data/constants/tensor_0", "m/data/sample_inputs/model.pt", "m/.data/version"),
    *("m/archive_format", "m/archive_version", "m/byteorder", "m/.data/serialization_id"),
)
MODULE = Path(__file__).with_name("make_torch_models.py")


def archive(path: Path, *members: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for member in members:
            file.writestr(member, b"content" * 20)
    return path


# --- without PyTorch ------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_pickled_models_are_refused_with_the_way_to_export(tmp_path: Path, suffix: str) -> None:
    path = archive(tmp_path / f"m{suffix}", "m/data.pkl")
    with pytest.raises(BadInput, match="runs code when it is loaded") as caught:
        find_source(path).load(path)
    assert "torch.export.save(torch.export.export(model.eval()" in str(caught.value.next_step)


def test_a_damaged_compressed_member_is_told_as_damage(tmp_path: Path) -> None:
    """Deflated data that is no longer any raises zlib's own error."""
    path = tmp_path / "m.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("m/models/model.json", bytes(range(256)) * 9)
    data = bytearray(path.read_bytes())
    start = 30 + len("m/models/model.json")
    data[start : start + 8] = b"\xff" * 8
    path.write_bytes(data)
    with pytest.raises(BadInput, match="exported program"):
        find_source(path).load(path)


@pytest.mark.parametrize(
    "member",
    [
        "m/data/constants/custom_obj_0",
        "m/data/constants/opaque_obj_0",
        "m/data/constants/model.pt",
        "m/data/aotinductor/model/model.so",
        "serialized_state_dict.pt",
        "m/data/weights/../../../weight_0",
    ],
)
def test_archives_that_could_run_code_are_refused(tmp_path: Path, member: str) -> None:
    path = archive(tmp_path / "m.pt2", *MEMBERS, member)
    with pytest.raises(BadInput, match="more than a model of tensors, and is not loaded") as caught:
        find_source(path).load(path)
    assert caught.value.value == member


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("empty", "BadZipFile"),
        ("foreign", "BadZipFile"),
        ("truncated", "BadZipFile"),
        ("folder", "IsADirectoryError"),
        ("other", "no models/model.json"),
        ("damaged", "weight_0 is damaged"),
    ],
)
def test_bad_archives(tmp_path: Path, name: str, value: str) -> None:
    path = archive(tmp_path / f"{name}.pt2", *MEMBERS)
    whole = path.read_bytes()
    if name == "folder":
        path.unlink()
        path.mkdir()
    elif name == "other":
        archive(path, "m/readme.txt")
    else:
        place = whole.index(b"content", whole.index(b"weight_0"))
        flipped = whole[:place] + b"C" + whole[place + 1 :]
        bad = {"empty": b"", "foreign": b"text" * 99, "truncated": whole[: len(whole) // 2]}
        path.write_bytes(bad.get(name, flipped))
    with pytest.raises(BadInput, match="is not an exported program of PyTorch") as caught:
        find_source(path).load(path)
    assert value in str(caught.value.value)


@pytest.mark.parametrize("python", [None, "/no/such/python"])
def test_without_torch_its_environment_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: str | None
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delenv(torch.PYTHON_VARIABLE, raising=False)
    if python:
        monkeypatch.setenv(torch.PYTHON_VARIABLE, python)
    path = archive(tmp_path / "m.pt2", *MEMBERS)
    with pytest.raises(MissingTool) as caught:
        find_source(path).load(path)
    said = f"{caught.value}"
    assert ("/no/such/python" if python else "https://download.pytorch.org/whl/cpu") in said


def test_an_environment_without_torch_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own interpreter, as if it were another: it imports this package, and has no torch."""
    assert importlib.util.find_spec("torch") is None
    monkeypatch.setenv(torch.PYTHON_VARIABLE, sys.executable)
    path = archive(tmp_path / "m.pt2", *MEMBERS)
    with pytest.raises(MissingTool, match="needs torch, which this interpreter lacks") as caught:
        find_source(path).load(path)
    assert "pip install torch==2.13.0 --index-url" in str(caught.value.next_step)


def test_flatbuffer_is_matched_with_what_pytorch_computed(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for the worker; the flatbuffer takes [6, 6, 2] for a model of [2, 6, 6]."""
    stand_in = Converter("litert-torch", "tests.convert.torch_stand_in", {})
    monkeypatch.setattr(torch, "_converter", lambda: stand_in)
    keras: Any = importlib.import_module("keras")
    tf: Any = importlib.import_module("tensorflow")
    model = keras.saving.load_model(zoo["image.keras"])
    path = archive(tmp_path / "m.pt2", *MEMBERS)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    path.with_suffix(".tflite").write_bytes(converter.convert())
    x = np.random.default_rng(0).random((4, 2, 6, 6), np.float32)
    y = np.asarray(model(x.transpose(0, 2, 3, 1)))
    np.savez(path.with_suffix(".npz"), x=x, y=y)
    loaded = find_source(path).load(path)
    assert loaded.inputs[0].shape == (2, 6, 6) and loaded.inputs[0].device_axes == (1, 2, 0)
    assert loaded.flatbuffer is not None
    graph = read(loaded.flatbuffer)
    assert [graph[t].name for t in (*graph.inputs, *graph.outputs)] == ["image", "scores"]
    assert np.allclose(predictions(loaded, [x], print)[0], y, atol=1e-6)
    np.savez(path.with_suffix(".npz"), x=x, y=y + 0.01)
    with pytest.raises(BadInput, match="litert-torch made something else of it"):
        find_source(path).load(path)


# --- with PyTorch ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("torch")
    python = os.environ[torch.PYTHON_VARIABLE]
    subprocess.run([python, str(MODULE), str(folder)], check=True, timeout=300)
    shutil.copy(MODULE, folder / "my_torch.py")
    return folder


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "shapes", "outputs"),
    [
        ("residual.pt2", [(1, 16, 16, 3)], [(1, 5)]),
        ("two.pt2", [(1, 5, 4, 2), (1, 3)], [(1, 3), (1, 5, 4, 4)]),
        ("open_batch.pt2", [(1, 4)], [(1, 2)]),
        ("my_torch:residual", [(1, 16, 16, 3)], [(1, 5)]),
        ("my_torch:exported", [(1, 16, 16, 3)], [(1, 5)]),
    ],
)
def test_models_convert(
    models: Path, tmp_path: Path, name: str, shapes: list[Any], outputs: list[Any]
) -> None:
    with TrainedModel(models / name) as model:
        random = np.random.default_rng(0)
        data = {i.name: random.random((20, *i.shape), np.float32) for i in model.inputs}
        np.savez(tmp_path / "data.npz", **data)
        report = convert_loaded(model, tmp_path / "data.npz", tmp_path / "out.tflite")
        expected = model.predict(*data.values())
    assert [t.shape for t in report.inputs] == shapes
    assert [t.shape for t in report.outputs] == outputs
    assert [a.shape[1:] for a in expected] == [shape[1:] for shape in outputs]
    with Oracle((tmp_path / "out.tflite").read_bytes()) as oracle:
        assert [t.dtype for t in (*oracle.inputs, *oracle.outputs)] == ["int8"] * (
            len(shapes) + len(outputs)
        )


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "what", "value"),
    [
        ("batch.pt2", "cannot convert this PyTorch model", "float32 [8, 4]"),
        ("dynamic.pt2", "cannot convert this PyTorch model", "float32 [1, 1, ?, 8]"),
        ("integer.pt2", "cannot convert this PyTorch model", "torch.int64 [1, 4]"),
        ("no_int8.pt2", "cannot", ""),
        ("hollow.pt2", "PyTorch cannot load this exported program", ""),
        ("hostile.pt2", "PyTorch cannot load this exported program", ""),
        ("my_torch:without_sample", "is not a PyTorch model with a sample", "Residual"),
        ("my_torch:data_dependent", "PyTorch cannot export the model", ""),
        ("my_torch:raises", "failed", "in raises: ValueError: no weights"),
    ],
)
def test_bad_models(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = models / name
    if name == "hollow.pt2":
        archive(path, *MEMBERS)
    if name == "hostile.pt2":
        _with_pickle(models / "residual.pt2", path, (models / "hostile.pickle").read_bytes())
    with pytest.raises(BadInput) as caught:
        find_source(path).load(path)
    assert what in caught.value.what and value in str(caught.value.value)
    assert not (tmp_path / "hostile-was-here").exists(), "the pickle was run"


def _with_pickle(source: Path, target: Path, pickle: bytes) -> None:
    """The archive with another pickle in the place of its sample inputs."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.namelist():
            new.writestr(
                member, pickle if member.endswith("sample_inputs/model.pt") else old.read(member)
            )
