"""A reference that crashes, hangs or complains ends as one error that names the model."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from exporter.errors import BadInput, CheckFailed, MissingTool
from exporter.oracle import Oracle
from exporter.oracle.backends import find_backend
from tests.oracle import crashing_worker as worker

X = [np.zeros(2, np.int8)]


def oracle(mode: int, deadline_s: float = 20) -> Oracle:
    return Oracle(
        bytes([mode]),
        name="bad.tflite",
        deadline_s=deadline_s,
        worker_module="tests.oracle.crashing_worker",
    )


def test_crash_while_loading() -> None:
    with pytest.raises(CheckFailed, match=r"crashed on bad\.tflite") as caught:
        oracle(worker.CRASH_ON_LOAD)
    assert caught.value.value == "signal SIGSEGV" and caught.value.exit_code == 1


def test_death_before_the_model_was_read() -> None:
    """The model is larger than a pipe's buffer, so that the worker's end breaks the writing."""
    with pytest.raises(CheckFailed, match=r"crashed on bad\.tflite") as caught:
        Oracle(bytes(1_000_000), name="bad.tflite", worker_module="exporter.no_such_module")
    assert "exit code 1" in str(caught.value)


def test_crash_in_mid_call_tells_the_last_words() -> None:
    with oracle(worker.CRASH_ON_RUN) as reference:
        for _ in range(2):  # a second call starts anew, and crashes again
            with pytest.raises(CheckFailed, match=r"crashed on bad\.tflite") as caught:
                reference.run(X)
    assert caught.value.value == "signal SIGABRT: assertion failed: depth != 0"


def test_exit_in_mid_call() -> None:
    with oracle(worker.EXIT_ON_RUN) as reference, pytest.raises(CheckFailed) as caught:
        reference.run(X)
    assert caught.value.value == "exit code 7"


def test_killed_in_mid_call() -> None:
    with oracle(worker.HANG_ON_RUN) as reference:
        assert reference._worker is not None
        threading.Timer(0.3, reference._worker._process.kill).start()
        with pytest.raises(CheckFailed, match="crashed") as caught:
            reference.run(X)
    assert caught.value.value == "signal SIGKILL"


def test_a_hang_ends_at_the_deadline() -> None:
    with oracle(worker.HANG_ON_RUN, deadline_s=1.0) as reference:
        start = time.monotonic()
        with pytest.raises(CheckFailed, match=r"did not finish on bad\.tflite") as caught:
            reference.run(X)
    assert 1.0 <= time.monotonic() - start < 10.0
    assert caught.value.value == "no answer in 1 s"


def test_a_complaint_is_bad_input() -> None:
    with oracle(worker.RAISE_ON_RUN) as reference:
        with pytest.raises(BadInput, match=r"refuses bad\.tflite") as caught:
            reference.run(X)
        assert reference._worker is not None and reference._worker.alive
    assert caught.value.value == "RuntimeError: Node number 3 (CONV_2D) failed to invoke."


def test_noise_on_stdout_does_not_disturb() -> None:
    with oracle(worker.GARBAGE) as reference:
        assert reference.run([np.array([3, -4], np.int8)])[0].tolist() == [3, -4]


# --- which package is the reference --------------------------------------------------------------


def choose(dialect: str, **installed: str) -> str:
    versions = {name.replace("_", "-"): version for name, version in installed.items()}
    return find_backend(dialect, versions.get).distribution


def test_tflite_runtime_is_preferred() -> None:
    assert choose("tflite", tflite_runtime="2.14.0", numpy="1.26.4", tensorflow="2.19.1") == (
        "tflite-runtime"
    )


def test_tensorflow_stands_in() -> None:
    assert choose("tflite", numpy="1.26.4", tensorflow="2.19.1") == "tensorflow"
    # tflite-runtime cannot make an interpreter on numpy 2
    assert choose("tflite", tflite_runtime="2.14.0", numpy="2.1.0", tensorflow="2.19.1") == (
        "tensorflow"
    )


def test_nothing_installed_names_the_line_to_install() -> None:
    with pytest.raises(MissingTool, match="no host reference for the dialect 'tflite'") as caught:
        choose("tflite", numpy="1.26.4")
    assert "pip install 'tflite-runtime==2.14.0'" in str(caught.value)
    assert caught.value.exit_code == 3
    with pytest.raises(MissingTool, match="litert") as caught:
        choose("litert", tflite_runtime="2.14.0", numpy="1.26.4")
    assert "pip install 'ai-edge-litert==2.3.0'" in str(caught.value)


def test_a_version_that_was_not_measured_is_no_reference() -> None:
    with pytest.raises(MissingTool, match=r"tensorflow is 2\.21\.0"):
        choose("tflite", tensorflow="2.21.0", numpy="1.26.4")


def test_an_unknown_dialect_is_bad_input() -> None:
    with pytest.raises(BadInput, match="unknown numeric dialect"):
        choose("xnnpack")
