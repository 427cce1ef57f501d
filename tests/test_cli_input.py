"""Bad input on the command line: one message with the remedy, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.flatbuffer_builder import ModelBuilder
from tests.hil.support import (
    DIGITS,
    SHARED_MODELS,
    dense_model,
    nanoexport,
    picture_model,
    refused,
    saved,
)

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")

STAGES = [
    ["inspect"],
    ["inspect", "--board", "host"],
    ["inspect", "--dump-after", "plan"],
    ["verify", "--board", "host"],
    ["bench", "--board", "host"],
    ["deploy", "--board", "host"],
    ["render", "--board", "host", "-o", "OUT"],
]
FLOAT_MODEL = SHARED_MODELS / "ad01_fp32.tflite"


def no_flatbuffer() -> bytes:
    return b"This is no model at all, it only looks like a file."


def truncated() -> bytes:
    return picture_model()[:-300]


def corrupt_offset() -> bytes:
    model = bytearray(picture_model())
    model[0:4] = b"\xff\xff\xff\x7f"
    return bytes(model)


def corrupt_middle() -> bytes:
    """The root is right, the tables it leads to are not."""
    model = bytearray(picture_model())
    for at in range(24, len(model) // 2, 4):
        model[at : at + 4] = b"\xf0\xff\xff\x7f"
    return bytes(model)


def empty() -> bytes:
    return b""


BROKEN = [no_flatbuffer, truncated, corrupt_offset, corrupt_middle, empty]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda f: f.__name__)
@pytest.mark.parametrize("stage", STAGES, ids=" ".join)
def test_a_file_that_is_no_model(stage: list[str], broken, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    model = saved(tmp_path, broken())
    before = snapshot(tmp_path)
    run = nanoexport("--json", *_with_model(stage, model))
    refused(run, 2, str(model))
    assert snapshot(tmp_path) == before


def _with_model(stage: list[str], model: Path) -> list[str]:
    out = str(model.parent / "project")
    return [stage[0], str(model), *(out if word == "OUT" else word for word in stage[1:])]


def snapshot(folder: Path) -> dict[str, int]:
    """Every path below `folder` with its time of change."""
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in sorted(folder.rglob("*"))}


def test_every_single_damaged_word_is_refused_or_harmless(tmp_path: Path) -> None:
    """Wherever a word is overwritten: exit code 0, 1 or 2, and never a defect of our own."""
    model = dense_model()
    rng = np.random.default_rng(1)
    path = tmp_path / "damaged.tflite"
    for at in rng.choice(len(model) // 4, 120, replace=False):
        damaged = bytearray(model)
        damaged[4 * at : 4 * at + 4] = rng.choice(
            [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\x01\0\0\x80"]
        )
        path.write_bytes(damaged)
        run = nanoexport("inspect", path, "--board", "host")
        assert run.code in (0, 1, 2) and "defect" not in run.err, f"word {at}: {run.err}"


@pytest.mark.parametrize("stage", STAGES, ids=" ".join)
def test_a_model_that_is_not_there(stage: list[str], tmp_path: Path) -> None:
    model = tmp_path / "missing.tflite"
    refused(nanoexport("--json", *_with_model(stage, model)), 2, str(model))
    assert snapshot(tmp_path) == {}


def test_a_folder_for_a_model(tmp_path: Path) -> None:
    refused(nanoexport("verify", tmp_path, "--board", "host", "--json"), 2, "directory")


@pytest.mark.skipif(not FLOAT_MODEL.exists(), reason="needs ../shared/models")
def test_a_float_model() -> None:
    run = nanoexport("verify", FLOAT_MODEL, "--board", "host", "--json")
    error = refused(run, 2, "float, not int8", "layer 0 FULLY_CONNECTED", "tensor 'input_1'")
    assert "nanoexport convert" in str(error["next"])


def test_a_hybrid_model(tmp_path: Path) -> None:
    """int8 weights, float activations: what dynamic-range quantisation makes."""
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4], "float32")
    w = builder.tensor("w", [2, 4], scale=0.1, data=np.ones((2, 4)))
    y = builder.tensor("y", [1, 2], "float32")
    builder.op("FULLY_CONNECTED", [x, w, -1], [y])
    model = saved(tmp_path, builder.finish([x], [y]))
    run = nanoexport("inspect", model, "--board", "host", "--json")
    refused(run, 2, "hybrid", "layer 0 FULLY_CONNECTED", "float32", "nanoexport convert")


def test_an_unsupported_operator_is_named_with_layer_and_tensor(tmp_path: Path) -> None:
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4], scale=0.1, zero_point=0)
    m = builder.tensor("middle", [1, 4], scale=0.1, zero_point=0)
    y = builder.tensor("swished", [1, 4], scale=0.1, zero_point=0)
    builder.op("RELU", [x], [m])
    builder.op("HARD_SWISH", [m], [y])
    model = saved(tmp_path, builder.finish([x], [y]))
    for stage in (["inspect"], ["verify", "--board", "host"]):
        run = nanoexport("--json", *_with_model(stage, model))
        error = refused(run, 2, "HARD_SWISH", "layer 1", "swished")
        assert "FULLY_CONNECTED" in str(error["allowed"]), "the supported ones are listed"


def test_a_custom_operator(tmp_path: Path) -> None:
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4], scale=0.1, zero_point=0)
    y = builder.tensor("y", [1, 4], scale=0.1, zero_point=0)
    builder.op("CUSTOM", [x], [y], custom_code="FancyDetector")
    model = saved(tmp_path, builder.finish([x], [y]))
    refused(nanoexport("verify", model, "--board", "host", "--json"), 2, "FancyDetector", "layer 0")


@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_an_unsupported_dtype_is_named_with_layer_and_tensor(dtype: str, tmp_path: Path) -> None:
    builder = ModelBuilder()
    x = builder.tensor("sound", [1, 4], dtype, scale=0.1, zero_point=0)
    y = builder.tensor("y", [1, 4], dtype, scale=0.1, zero_point=0)
    builder.op("RELU", [x], [y])
    model = saved(tmp_path, builder.finish([x], [y]))
    run = nanoexport("verify", model, "--board", "host", "--json")
    refused(run, 2, dtype, "layer 0 RELU", "sound")


# --- inputs of verify, test sets of deploy -------------------------------------------------------

BAD_INPUTS = {
    "wrong shape": {"image": np.zeros((3, 5, 6, 2), np.int8)},
    "wrong dtype": {"image": np.zeros((3, 6, 6, 2), np.int32)},
    "no samples": {"image": np.zeros((0, 6, 6, 2), np.int8)},
    "NaN": {"image": np.full((3, 6, 6, 2), np.nan, np.float32)},
    "no arrays": {},
}


@pytest.mark.parametrize("kind", BAD_INPUTS)
def test_inputs_that_do_not_fit(kind: str, small_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "inputs.npz"
    np.savez(path, **BAD_INPUTS[kind])  # type: ignore[arg-type, unused-ignore]
    run = nanoexport("verify", small_model, "--board", "host", "--inputs", path, "--json")
    refused(run, 2, "inputs.npz")


def test_inputs_that_are_no_arrays(small_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "inputs.npz"
    for content in (b"", b"no zip", b"PK\x03\x04 half a zip"):
        path.write_bytes(content)
        run = nanoexport("verify", small_model, "--board", "host", "--inputs", path, "--json")
        refused(run, 2, "inputs.npz")


def test_inputs_of_ones_own(small_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "inputs.npz"
    np.savez(path, x=np.random.default_rng(0).normal(0, 1, (7, 6, 6, 2)).astype(np.float32))
    run = nanoexport(
        "verify", small_model, "--board", "host", "--inputs", path, "--no-controls", "--json"
    )
    assert run.code == 0 and run.document["vectors"] == 7


def test_a_test_set_without_labels(small_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "test.npz"
    np.savez(path, x=np.zeros((3, 6, 6, 2), np.float32))
    run = nanoexport("deploy", small_model, "--board", "host", "--test", path, "--json")
    refused(run, 2, "no test set")


@pytest.mark.parametrize("command", ["verify", "prune", "distill", "qat", "convert", "deploy"])
def test_a_negative_seed(command: str) -> None:
    needed = ["--board", "host"] if command in ("verify", "deploy") else []
    run = nanoexport(command, DIGITS / "digits.keras", *needed, "--seed", "-1", "--json")
    refused(run, 2, "--seed", "-1")


def test_channels_in_another_order_with_their_range_unsaid(tmp_path: Path) -> None:
    model, target = DIGITS / "digits.keras", tmp_path / "m.tflite"
    data = DIGITS / "calibration.npz"
    run = nanoexport("convert", model, "--data", data, "-o", target, "--channels", "bgr", "--json")
    refused(run, 2, "--channels bgr alone", "--pixels")


@pytest.mark.parametrize("option", ["-o", "--metadata"])
def test_a_flatbuffer_is_deployed_as_it_is(option: str, small_model: Path, tmp_path: Path) -> None:
    run = nanoexport("deploy", small_model, "--board", "host", option, tmp_path / "it", "--json")
    refused(run, 2, "nothing to convert", option)


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("deploy", ["--board", "host", "--metadata", "meta.json"]),
        ("convert", ["--metadata", "meta.json"]),
        ("convert", ["--eval", "meta.json"]),
        ("qat", []),
    ],
)
def test_no_file_of_the_users_is_overwritten(
    command: str, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    target = tmp_path / "meta.json" if options else tmp_path / "data.keras"
    target.write_text("{}", encoding="utf-8")
    data = DIGITS / "calibration.npz" if options else target
    run = nanoexport(
        command, DIGITS / "digits.keras", "--data", data, *options, "-o", target, "--json"
    )
    refused(run, 2, "the output would replace")
    assert target.read_text(encoding="utf-8") == "{}"


@pytest.mark.parametrize("choice", [["--mode", "int16x8"], ["--edges", "float"]])
def test_what_no_board_runs_is_not_converted_for_one(choice: list[str], tmp_path: Path) -> None:
    run = nanoexport(
        "convert", DIGITS / "digits.keras", "--data", DIGITS / "calibration.npz", *choice,
        "--board", "host", "-o", tmp_path / "out.tflite", "--json",
    )  # fmt: skip
    refused(run, 2, "cannot be for a board", choice[1])


# --- calibration data ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (np.zeros((5, 8, 7, 1), np.float32), "shape"),
        (np.zeros((5, 8, 8, 1), np.uint8), "float"),
        (np.full((5, 8, 8, 1), np.nan, np.float32), "NaN"),
        (np.zeros((0, 8, 8, 1), np.float32), "empty"),
    ],
    ids=["shape", "dtype", "NaN", "empty"],
)
def test_calibration_data_that_cannot_be_used(x: np.ndarray, told: str, tmp_path: Path) -> None:  # type: ignore[type-arg]
    data, target = tmp_path / "calibration.npz", tmp_path / "out.tflite"
    np.savez(data, x=x)
    run = nanoexport("convert", DIGITS / "digits.keras", "--data", data, "-o", target, "--json")
    refused(run, 2, "calibration.npz", told)
    assert snapshot(tmp_path).keys() == {"calibration.npz"}, "nothing half written"


def test_calibration_data_that_is_missing(tmp_path: Path) -> None:
    target = tmp_path / "out.tflite"
    run = nanoexport(
        "convert", DIGITS / "digits.keras", "--data", tmp_path / "no.npz", "-o", target, "--json"
    )
    refused(run, 2, "no.npz")
    assert not target.exists()


def test_a_trained_model_without_calibration_data(tmp_path: Path) -> None:
    target = tmp_path / "out.tflite"
    run = nanoexport("deploy", DIGITS / "digits.keras", "--board", "host", "-o", target, "--json")
    refused(run, 2, "calibration data", "--data")
    assert not target.exists()


def test_a_target_that_cannot_be_written(tmp_path: Path) -> None:
    run = nanoexport(
        "convert", DIGITS / "digits.keras", "--data", DIGITS / "calibration.npz",
        "-o", tmp_path / "no" / "such" / "folder" / "out.tflite", "--json",
    )  # fmt: skip
    refused(run, 2, "out.tflite")
    assert snapshot(tmp_path) == {}
