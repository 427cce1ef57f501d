"""Models from `module:function`: what it may return, and everything that can be wrong with it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from exporter import user_function
from exporter.convert import TrainedModel
from exporter.convert.interchange import predictions
from exporter.convert.sources import find_source
from exporter.errors import BadInput, MissingTool
from tests.convert.conftest import Zoo

SOURCE = """
import os, sys

def keras_model():
    import keras
    x = keras.Input((4,), name="row")
    return keras.Model(x, keras.layers.Dense(3, kernel_initializer="ones")(x))

def tf_function():
    import tensorflow as tf
    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="row")])
    def double(row):
        return {"b": row * 2, "a": row}
    return double

def concrete():
    return tf_function().get_concrete_function()

def two_inputs():
    import tensorflow as tf
    s = lambda n: tf.TensorSpec([1, 4], tf.float32, name=n)
    @tf.function(input_signature=[s("p"), s("q")])
    def difference(p, q):
        return p - q
    return difference

def path():
    return "image.keras"

def no_path():
    return "nothing.keras"

def no_signature():
    import tensorflow as tf
    return tf.function(lambda x: x)

def unshaped():
    import tensorflow as tf
    return tf.function(lambda x: x, input_signature=[tf.TensorSpec(None, tf.float32)])

def number():
    return 7

def nothing():
    pass

def raises():
    broken = 1
    return {}["key"]

def leaves():
    sys.exit(3)

def asks():
    return input("model? ")

def hangs():
    while True:
        pass

def missing_import():
    import no_such_package

def with_torch():
    import torch

def argument(x):
    return x

constant = 3
"""


@pytest.fixture
def folder(zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_models.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "my_broken.py").write_text("x = 1\ny = (\n", encoding="utf-8")
    (tmp_path / "image.keras").symlink_to(zoo["image.keras"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    for module in ("my_models", "my_broken"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.delenv("NANOEXPORT_TORCH_PYTHON", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("function", "inputs", "expected"),
    [
        ("keras_model", {"row": (4,)}, [[6, 6, 6]]),
        ("tf_function", {"row": (4,)}, [[0, 1, 2, 3]]),
        ("concrete", {"row": (4,)}, [[0, 1, 2, 3]]),
        ("two_inputs", {"p": (4,), "q": (4,)}, [[0, 0, 0, 0]]),
    ],
)
def test_what_a_function_may_return(
    folder: Path, function: str, inputs: dict[str, tuple[int, ...]], expected: list[list[float]]
) -> None:
    """Outputs in a dictionary come in the order of its keys."""
    path = folder / f"my_models:{function}"
    loaded = find_source(path).load(path)
    assert {i.name: i.shape for i in loaded.inputs} == inputs
    row = np.arange(4, dtype=np.float32)[None]
    if function != "two_inputs":
        assert np.allclose(predictions(loaded, [row], print)[0], expected)
    else:
        assert loaded.call is not None and np.allclose(loaded.call(row, row)[0], expected)


def test_a_function_may_return_a_path(folder: Path) -> None:
    path = folder / "my_models:path"
    assert find_source(path).load(path).inputs[0].name == "image"


def test_the_current_folder_is_searched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the worker, as the command line does it."""
    monkeypatch.chdir(folder)
    with TrainedModel(Path("my_models:keras_model")) as model:
        assert model.kind == "python" and model.inputs[0].shape == (4,)


@pytest.mark.parametrize(
    ("name", "what", "value"),
    [
        ("my_models:raises", "failed", "my_models.py, line 49, in raises: KeyError: 'key'"),
        ("my_models:leaves", "failed", "my_models.py, line 52, in leaves: SystemExit: 3"),
        ("my_models:hangs", "failed", "it has not returned in 0.2 s"),
        ("my_models:missing_import", "failed", "No module named 'no_such_package'"),
        ("my_models:argument", "failed", "missing 1 required positional argument: 'x'"),
        ("my_broken:f", "failed", "my_broken.py, line 2: SyntaxError"),
        ("my_models:absent", "has no function 'absent'", "keras_model, tf_function"),
        ("my_models:constant", "is not a function", "int"),
        ("no_module:f", "there is no module 'no_module'", "no no_module.py"),
        ("my_models:number", "does not return a model", "int"),
        ("my_models:nothing", "does not return a model", "NoneType"),
        ("my_models:no_path", "returns a path where there is no model", "nothing.keras"),
        ("my_models:no_signature", "does not state its input", ""),
        ("my_models:unshaped", "are not tensors of known shape", "TensorSpec"),
    ],
)
def test_bad_functions(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str, value: str
) -> None:
    if name.endswith("hangs"):
        monkeypatch.setattr(user_function, "DEADLINE_S", 0.2)
    with pytest.raises(BadInput) as caught:
        find_source(folder / name).load(folder / name)
    assert what in caught.value.what and value in str(caught.value.value)
    assert caught.value.allowed


def test_a_function_that_asks_gets_no_answer(folder: Path) -> None:
    with pytest.raises(BadInput, match="failed"):
        find_source(folder / "my_models:asks").load(folder / "my_models:asks")


def test_without_torch_its_environment_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    path = folder / "my_models:with_torch"
    with pytest.raises(MissingTool, match="my_models:with_torch needs torch") as caught:
        find_source(path).load(path)
    assert "NANOEXPORT_TORCH_PYTHON" in str(caught.value.next_step)


def test_a_file_of_that_name_is_not_code(tmp_path: Path) -> None:
    (tmp_path / "a:b").write_text("")
    with pytest.raises(BadInput, match="format that cannot be converted"):
        find_source(tmp_path / "a:b")
