"""The compressed networks of the examples: as good as promised, at less than half of the cost."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.board import load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.convert import TrainedModel, convert_loaded
from exporter.hil.bench import bench_on_board
from exporter.hil.vectors import make_vectors, quantize
from exporter.hil.verify import check_verification, verify_on_board
from exporter.oracle import Oracle
from tests.examples.test_gestures_data import script

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DIGITS, GESTURES = EXAMPLES / "digits", EXAMPLES / "gestures"
MOST_LOST = 0.01

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="needs TensorFlow"),
    pytest.mark.toolchain,
    pytest.mark.emulator,
    pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc"),
    pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="needs qemu-system-arm"),
]


@dataclass(frozen=True, eq=False)
class Converted:
    """A network on the board mps2-an386, and how it does there on the test set."""

    float_accuracy: float
    int8_accuracy: float
    firmware: ModelFirmware

    @property
    def macs(self) -> int:
        return self.firmware.program.macs


@dataclass(frozen=True, eq=False)
class Pair:
    whole: Converted
    small: Converted


def converted(model: Path, calibration: Path, test: Any, folder: Path) -> Converted:
    flatbuffer = folder / f"{model.stem}.tflite"
    x, y = test
    with TrainedModel(model) as trained:
        convert_loaded(trained, calibration, flatbuffer)
        scores = trained.predict(x)[0]
    with Oracle(flatbuffer.read_bytes()) as oracle:
        inputs = quantize(x, oracle.inputs[0])
        outputs = np.concatenate([oracle.run([sample[None]])[0] for sample in inputs])
    firmware = firmware_for(flatbuffer, load_board("mps2-an386"), Settings())
    return Converted((scores.argmax(1) == y).mean(), (outputs.argmax(1) == y).mean(), firmware)


def digits_data(folder: Path) -> tuple[Path, Any]:
    with np.load(DIGITS / "test.npz") as data:
        return DIGITS / "calibration.npz", (data["x"], data["y"])


def gestures_data(folder: Path) -> tuple[Path, Any]:
    data = script(GESTURES / "gestures.py")
    np.savez(folder / "calibration.npz", x=data.load_data("calibration")[0])
    return folder / "calibration.npz", data.load_data("test")


@pytest.fixture(scope="module", params=["digits", "gestures"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    name: str = request.param
    folder = tmp_path_factory.mktemp(name)
    data: Callable[[Path], tuple[Path, Any]] = {"digits": digits_data, "gestures": gestures_data}[
        name
    ]
    calibration, test = data(folder)
    models = [EXAMPLES / name / f"{stem}.keras" for stem in (name, f"{name}_small")]
    return Pair(*(converted(model, calibration, test, folder) for model in models))


def test_int8_is_within_a_point_of_the_whole_float_network(pair: Pair) -> None:
    assert pair.whole.float_accuracy >= 0.985
    assert pair.small.int8_accuracy >= pair.whole.float_accuracy - MOST_LOST
    assert pair.small.float_accuracy >= pair.whole.float_accuracy - MOST_LOST


def test_half_of_the_macs_are_gone(pair: Pair) -> None:
    assert pair.small.macs <= 0.5 * pair.whole.macs


def test_half_of_the_instructions_are_gone_on_the_board(pair: Pair) -> None:
    whole, small = (bench_on_board(c.firmware).instructions for c in (pair.whole, pair.small))
    assert whole is not None and small is not None
    assert small < 0.5 * whole


def test_weights_and_arena_are_smaller(pair: Pair) -> None:
    whole, small = pair.whole.firmware, pair.small.firmware
    assert small.footprint.weights_bytes < 0.5 * whole.footprint.weights_bytes
    assert small.program.arena_bytes < whole.program.arena_bytes


def test_the_board_is_bit_exact(pair: Pair) -> None:
    firmware = pair.small.firmware
    vectors = make_vectors([port.tensor for port in firmware.program.inputs], 20)
    check_verification(firmware, verify_on_board(firmware, vectors))
