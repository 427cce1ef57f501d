"""Seeded faults: whatever is wrong with a board, `verify` must find it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter import flash
from exporter.board import load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.errors import CheckFailed, LinkFailed
from exporter.hil.session import open_device
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import (
    Verification,
    check_verification,
    verify_device,
    verify_on_board,
)
from exporter.oracle import Oracle
from tests.hil.support import (
    dense_model,
    doctored,
    nanoexport,
    saved,
    two_output_model,
    with_arena_bytes,
    with_flipped_bit,
)

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")

INVOKE = "void model_invoke(void)\n{\n"


def verified(firmware: ModelFirmware, count: int = 6) -> Verification:
    """Run `count` vectors."""
    tensors = [port.tensor for port in firmware.program.inputs]
    return verify_on_board(firmware, make_vectors(tensors, count))


def failure(firmware: ModelFirmware, result: Verification) -> CheckFailed:
    """The error that `check_verification` must raise."""
    with pytest.raises(CheckFailed) as raised:
        check_verification(firmware, result)
    assert raised.value.exit_code == 1
    return raised.value


@pytest.fixture
def firmware(own_cache: Path, small_model: Path) -> ModelFirmware:
    """The small model for `host`, as it should be."""
    return firmware_for(small_model, load_board("host"), Settings())


def test_the_firmware_as_it_should_be(firmware: ModelFirmware) -> None:
    result = verified(firmware, 20)
    assert result.bit_exact and result.mismatched_elements == 0
    check_verification(firmware, result)


def test_nothing_verified_is_no_success(firmware: ModelFirmware) -> None:
    result = verify_on_board(firmware, [])
    assert not result.bit_exact
    failure(firmware, result)


@pytest.mark.parametrize("symbol", ["model_weights_0", "model_bias_0", "model_weights_2"])
def test_one_flipped_bit(symbol: str, firmware: ModelFirmware, tmp_path: Path) -> None:
    result = verified(with_flipped_bit(firmware, symbol, tmp_path))
    assert result.mismatches and not result.bit_exact
    error = failure(firmware, result)
    assert "6 vectors differ" in error.what and "expected" in str(error.value)


@pytest.mark.emulator
@pytest.mark.parametrize("board", ["mps2-an386", "riscv32-virt"])
def test_one_flipped_bit_on_an_emulated_board(
    board: str, small_model: Path, tmp_path: Path
) -> None:
    firmware = firmware_for(small_model, load_board(board), Settings())
    assert verified(firmware).bit_exact
    result = verified(with_flipped_bit(firmware, "model_weights_0", tmp_path))
    assert not result.bit_exact
    failure(firmware, result)


def test_a_mismatch_on_the_command_line(
    firmware: ModelFirmware, small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1, and one document that has both the counts and the error."""
    flipped = with_flipped_bit(firmware, "model_weights_0", tmp_path)
    monkeypatch.setattr("exporter.build.firmware.firmware_for", lambda *a, **k: flipped)
    run = nanoexport("verify", small_model, "--board", "host", "--vectors", "8", "--json")
    assert run.code == 1
    document = run.document
    assert document["vectors"] == 8 and 0 < document["mismatches"] <= 8
    assert document["mismatched_elements"] >= document["mismatches"]
    assert document["bit_exact"] is False
    assert run.error["what"] and "does not compute" in str(run.error["what"])


def test_an_output_that_is_never_written(firmware: ModelFirmware, tmp_path: Path) -> None:
    """The last step is left out. A stale output would look right; the poison does not."""
    last = "    model_layer_2_fully_connected(arena);\n}\n"
    lazy = doctored(firmware, tmp_path, patch={"model/model.c": (last, "}\n")})
    tensors = [port.tensor for port in firmware.program.inputs]
    result = verify_on_board(lazy, make_vectors(tensors, 4))
    assert len(result.mismatches) == 4
    failure(lazy, result)


def test_an_output_written_only_once(firmware: ModelFirmware, tmp_path: Path) -> None:
    """Right the first time, then never again, with one and the same input."""
    once = "    static int runs;\n    if (runs++ > 0) {\n        return;\n    }\n"
    lazy = doctored(firmware, tmp_path, patch={"model/model.c": (INVOKE, INVOKE + once)})
    vector = make_vectors([port.tensor for port in firmware.program.inputs], 1)
    result = verify_on_board(lazy, vector * 3)
    assert [mismatch.vector for mismatch in result.mismatches] == [1, 2]


def test_exchanged_outputs(tmp_path: Path) -> None:
    model = saved(tmp_path, two_output_model())
    firmware = firmware_for(model, load_board("host"), Settings())
    assert verified(firmware).bit_exact
    program = firmware.program
    first, second = program.outputs
    exchanged = (replace(first, offset=second.offset), replace(second, offset=first.offset))
    wrong = doctored(firmware, tmp_path, program=replace(program, outputs=exchanged))
    result = verified(wrong)
    assert result.mismatches
    failure(wrong, result)


@pytest.mark.parametrize(
    ("statement", "where"),
    [
        ("model_arena[MODEL_GUARD_BYTES - 1] = 0;", "1 bytes below, 0 above"),
        ("model_arena[sizeof model_arena - MODEL_GUARD_BYTES] = 0;", "0 bytes below, 1 above"),
    ],
    ids=["below", "above"],
)
def test_a_write_next_to_the_arena(
    statement: str, where: str, firmware: ModelFirmware, tmp_path: Path
) -> None:
    patch = {"model/model.c": (INVOKE, f"{INVOKE}    {statement}\n")}
    wild = doctored(firmware, tmp_path, patch=patch)
    result = verified(wild)
    assert not result.mismatches, "the outputs are right all the same"
    error = failure(wild, result)
    assert "outside the arena" in error.what and error.value == where


def test_a_wrong_prediction_of_the_arena(firmware: ModelFirmware) -> None:
    wrong = with_arena_bytes(firmware, firmware.program.arena_bytes - 1)
    error = failure(wrong, verified(wrong, 1))
    assert "prediction of the arena" in error.what


def test_a_wrong_prediction_of_the_image(firmware: ModelFirmware) -> None:
    image = replace(firmware.image, image_bytes=firmware.image.image_bytes + 4)
    wrong = replace(firmware, image=image)
    error = failure(wrong, verified(wrong, 1))
    assert "prediction of the image" in error.what


def test_a_crash_is_told_with_its_place(firmware: ModelFirmware, tmp_path: Path) -> None:
    crash = f"{INVOKE}    __builtin_trap();\n"
    broken = doctored(firmware, tmp_path, patch={"model/model.c": (INVOKE, crash)})
    with pytest.raises(LinkFailed) as raised:
        verified(broken, 1)
    assert "SIG" in str(raised.value) and "pc=0x" in str(raised.value)
    assert raised.value.what == "the device restarted during INVOKE"


@pytest.mark.emulator
def test_an_emulator_that_is_killed(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told within seconds, not at the deadline of an inference."""
    firmware = firmware_for(small_model, load_board("mps2-an386"), Settings())
    tensors = [port.tensor for port in firmware.program.inputs]
    vectors = make_vectors(tensors, 3)
    killed: list[Any] = []
    start = flash.start

    def remember(*arguments: Any, **options: Any) -> Any:
        running = start(*arguments, **options)
        killed.append(running)
        return running

    monkeypatch.setattr(flash, "start", remember)

    def stop(done: int, total: int) -> None:
        killed[0]._child.stop()

    with pytest.raises(LinkFailed, match="qemu-system-arm, which runs mps2-an386, ended"):
        verify_on_board(firmware, vectors, progress=stop)


# --- dialects ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def telling_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dense layer on which single and double rounding differ."""
    for seed in range(20):
        model = dense_model(units=40, seed=seed)
        if _outputs(model, "tflite") != _outputs(model, "litert"):
            return saved(tmp_path_factory.mktemp("dialects"), model)
    raise AssertionError("no model found that tells the dialects apart")


def _outputs(model: bytes, dialect: str) -> list[bytes]:
    with Oracle(model, dialect) as oracle:
        vectors = make_vectors(oracle.inputs, 20)
        return [np.asarray(oracle.run(vector)[0]).tobytes() for vector in vectors]


def _against(firmware: ModelFirmware, dialect: str) -> Verification:
    tensors = [port.tensor for port in firmware.program.inputs]
    vectors: Sequence[Any] = make_vectors(tensors, 20)
    with (
        Oracle(firmware.compilation.model, dialect) as oracle,
        open_device(firmware) as device,
    ):
        return verify_device(device, oracle, vectors)


@pytest.mark.parametrize("dialect", ["tflite", "litert"])
def test_each_dialect_is_exact_and_not_the_other(dialect: str, telling_model: Path) -> None:
    settings = Settings(dialect="litert" if dialect == "litert" else "tflite")
    firmware = firmware_for(telling_model, load_board("host"), settings)
    other = {"tflite": "litert", "litert": "tflite"}[dialect]
    assert _against(firmware, dialect).bit_exact
    assert _against(firmware, other).mismatches


def test_the_dialect_on_the_command_line(telling_model: Path) -> None:
    for dialect in ("tflite", "litert"):
        run = nanoexport(
            "verify", telling_model, "--board", "host", "--dialect", dialect, "--no-controls",
            "--json",
        )  # fmt: skip
        assert run.code == 0 and run.document["dialect"] == dialect
