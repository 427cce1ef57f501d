"""Samples from a Python function: what it may return, and how its failures are told."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from exporter.errors import BadInput
from exporter.samples import ModelInput, SampleOptions, Samples, check_data, function, load_samples
from exporter.worker import Worker

PAIR = [ModelInput("a", (2,), "float32"), ModelInput("b", (3,), "float32")]
ONE = [ModelInput("x", (2,), "float32")]
ALL = SampleOptions(samples=None)

MODULE = """
import numpy as np

array = np.arange(24, dtype="f4").reshape(12, 2)
wide = np.arange(36, dtype="f4").reshape(12, 3)
y = np.arange(12) % 3

class Own:
    def __array__(self, dtype=None, copy=None): return array

def whole(): return array
def own(): return Own()
def labelled(): return array, y
def keyed(): return {"x": array, "y": y}
def pair(): return {"b": wide, "a": array}
def pair_tuple(): return array, wide, y
def singles():
    for row in array: yield row
def lists():
    for row in array: yield [row]
def rows(): return array.tolist()
def row_lists():
    for row in array: yield row.tolist()
def labelled_singles():
    for row, label in zip(array, y): yield row, label
def batches():
    yield array[:5]
    yield array[5:]
def labelled_batches():
    return [(array[:5], y[:5]), {"x": array[5:], "y": y[5:]}]
def pair_singles():
    for row, other in zip(array, wide): yield {"a": row, "b": other}

def pictures(): return np.arange(120, dtype="f4").reshape(2, 4, 5, 3)
def picture_batches(): return [pictures().tolist()]
def picture_singles(): yield from pictures()

def few(): return array[:1]
def endless():
    k = 0
    while True:
        yield np.array([k, -k], "f4")
        k += 1

def asks(): return input()
def prints():
    print("a line"); import os; os.write(1, b"raw"); return array
def fails():
    return helper(array)
def helper(a):
    raise ValueError("no such thing")
def fails_late():
    yield array[0]
    raise KeyError("late")
def leaves(): raise SystemExit(3)
def dies():
    import os; os.abort()
def sleeps():
    import time; time.sleep(60)
def wants(argument): pass
def nothing(): return []
def none(): return None
def text(): return "text"
def objects(): return np.array([{}])
def ragged(): return [[1.0, 2.0], [1.0, 2.0, 3.0]]
def shape(): yield np.zeros(5, "f4")
def whole_shape(): return np.zeros((4, 5), "f4")
def integers(): return np.zeros((4, 2), int)
def nan(): return array * np.nan
def scalar(): return np.float32(1)
def lengths(): return array, y[:3]
def batch_lengths(): yield array, y[:3]
def many(): return array, y, y
def wrong_key(): yield {"z": array[0]}
def mixed(): yield {"a": array[0], "b": wide}
def changing():
    yield array[0]
    yield array[0], 1
number = 3
"""


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("functions")
    (folder / "mine.py").write_text(MODULE)
    return folder


class SharedWorker:
    """A worker that goes on from one test to the next, since starting one takes its time."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.worker: Worker | None = None

    def __call__(self, module: str) -> SharedWorker:
        assert module == self.module
        return self

    def __enter__(self) -> Worker:
        if self.worker is None or not self.worker.alive:
            self.worker = Worker(self.module)
        return self.worker

    def __exit__(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def shared_worker(shared_folder: Path) -> Iterator[SharedWorker]:
    shared = SharedWorker("exporter.samples.function_worker")
    yield shared
    if shared.worker:
        shared.worker.close()


@pytest.fixture
def functions(
    shared_folder: Path, shared_worker: SharedWorker, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """In the current folder is the module `mine`."""
    monkeypatch.chdir(shared_folder)
    monkeypatch.setattr(function, "Worker", shared_worker)
    yield
    assert "mine" not in sys.modules, "a user's module is imported by the worker only"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder of the test's own, with the module `mine`, and a worker of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MODULE)
    return tmp_path


def load(name: str, inputs: list[ModelInput] = ONE, options: SampleOptions = ALL) -> Samples:
    return load_samples(f"mine:{name}", inputs, options)


@pytest.mark.parametrize(
    "name", ["whole", "own", "rows", "singles", "lists", "row_lists", "batches"]
)
@pytest.mark.usefixtures("functions")
def test_samples_without_labels(name: str) -> None:
    samples = load(name)
    assert samples.arrays[0].tolist() == np.arange(24).reshape(12, 2).tolist()
    assert samples.labels is None and samples.given == 12


@pytest.mark.parametrize("name", ["labelled", "keyed", "labelled_singles", "labelled_batches"])
@pytest.mark.usefixtures("functions")
def test_samples_with_labels(name: str) -> None:
    samples = load(name)
    assert samples.labels is not None and samples.labels.tolist() == [0, 1, 2] * 4
    assert samples.arrays[0].shape == (12, 2)


@pytest.mark.parametrize("name", ["pictures", "picture_batches", "picture_singles"])
@pytest.mark.usefixtures("functions")
def test_samples_in_the_order_of_the_device_are_taken_with_a_warning(name: str) -> None:
    model_input = ModelInput("x", (3, 4, 5), "float32", device_axes=(1, 2, 0))
    samples = load(name, [model_input])
    assert (
        samples.arrays[0][1].tolist()
        == np.arange(60, 120).reshape(4, 5, 3).transpose(2, 0, 1).tolist()
    )
    assert any("channel last" in warning for warning in samples.warnings)


@pytest.mark.parametrize("name", ["pair", "pair_tuple", "pair_singles"])
@pytest.mark.usefixtures("functions")
def test_two_inputs(name: str) -> None:
    first, second = load(name, PAIR).arrays
    assert np.array_equal(first[:, 0] * 3, second[:, 0] * 2)


@pytest.mark.parametrize("name", ["whole", "singles"])
@pytest.mark.usefixtures("functions")
def test_some_are_chosen_and_their_numbers_known(name: str) -> None:
    options = SampleOptions(samples=5, seed=3)
    first, second = (load(name, options=options) for _ in range(2))
    assert np.array_equal(first.arrays[0], second.arrays[0])
    assert (len(first), first.given) == (5, 12) and "5 of 12 samples" in first.how
    assert np.array_equal(first.arrays[0][:, 0], 2 * first.taken)


@pytest.mark.usefixtures("functions")
def test_a_generator_without_end_is_left() -> None:
    samples = load("endless", options=SampleOptions(samples=50))
    assert (len(samples), samples.given) == (50, 10_000)
    assert 3000 < samples.taken.mean() < 7000, "from all of them, not the first"
    assert any("yields more than 10000 samples" in w for w in samples.warnings)


@pytest.mark.usefixtures("folder")
def test_what_it_prints_is_for_debugging(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "exporter.samples"):
        assert load("prints").given == 12
    assert "a line" in caplog.text and "raw" in caplog.text


@pytest.mark.usefixtures("functions")
def test_progress_is_told() -> None:
    told: list[str] = []
    load_samples("mine:singles", ONE, progress=told.append)
    assert told == ["running mine:singles", "running mine:singles: 0 samples"]


FAILURES = {
    "fails": "mine.py, line {helper}, in helper: ValueError: no such thing",
    "fails_late": "in fails_late: KeyError: 'late'",
    "asks": "in asks: EOFError",
    "leaves": "in leaves: SystemExit: 3",
    "wants": "TypeError: wants() missing 1 required positional argument",
    "dies": "SIGABRT",
    "nothing": "nothing",
    "none": "NoneType",
    "text": "str",
    "objects": "object",
    "ragged": "a list of 3",
    "shape": "x float32 [5] for the input 'x'",
    "whole_shape": "float32 [4, 5]",
    "integers": "int64 [4, 2]",
    "nan": "in 12 of 12 samples",
    "scalar": "x float32 []",
    "lengths": "x float32 [12, 2], y int64 [3]",
    "batch_lengths": "x float32 [12, 2], y int64 [3]",
    "many": "a tuple of 3",
    "wrong_key": "keys z",
    "changing": "x float32 [2], then x float32 [2], y int64 []",
    "number": "int",
    "missing": "it has: Own, whole",
}


@pytest.mark.parametrize("name", list(FAILURES))
@pytest.mark.usefixtures("functions")
def test_failures_say_what_and_where(name: str) -> None:
    with pytest.raises(BadInput) as caught:
        load(name)
    line = MODULE.splitlines().index('    raise ValueError("no such thing")') + 1
    assert FAILURES[name].format(helper=line) in str(caught.value.value)
    assert caught.value.allowed and "Traceback" not in str(caught.value)


@pytest.mark.usefixtures("functions")
def test_samples_and_batches_may_not_be_mixed() -> None:
    with pytest.raises(BadInput, match="does not give samples for the model"):
        load("mixed", PAIR)


@pytest.mark.usefixtures("folder")
def test_a_function_that_never_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function, "DEADLINE_S", 1.0)
    with pytest.raises(BadInput) as caught:
        load("sleeps")
    assert caught.value.value == "nothing for 1 s"


@pytest.mark.usefixtures("folder")
def test_the_traceback_is_for_debugging(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "exporter.samples"), pytest.raises(BadInput):
        load("fails")
    assert "Traceback" in caplog.text and "return helper(array)" in caplog.text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import not_there", "mine.py, line 1, in <module>: ModuleNotFoundError"),
        ("x = 1\ndef f(:\n", "mine.py, line 2: SyntaxError"),
        ("\n\n1 / 0", "mine.py, line 3, in <module>: ZeroDivisionError"),
    ],
    ids=["import", "syntax", "top level"],
)
def test_modules_that_fail(folder: Path, text: str, told: str) -> None:
    (folder / "mine.py").write_text(text)
    with pytest.raises(BadInput) as caught:
        load("whole")
    assert told in str(caught.value.value)


@pytest.mark.parametrize("name", ["theirs", "mine.inner", "package.theirs"])
@pytest.mark.usefixtures("functions")
def test_modules_that_are_not_there(name: str) -> None:
    with pytest.raises(BadInput, match=f"there is no module '{name}'") as caught:
        load_samples(f"{name}:whole", ONE)
    assert f"{name.replace('.', '/')}.py in the current folder" in str(caught.value.value)


def test_no_function_is_run_by_the_check(folder: Path) -> None:
    (folder / "mine.py").write_text("open('ran', 'w')")
    check_data("mine:whole")
    assert not (folder / "ran").exists()
