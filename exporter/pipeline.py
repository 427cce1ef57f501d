"""The stages in order: the table of contents of the product.

    convert   exporter.convert            trained model + data  -> int8 flatbuffer
    compile   exporter.plan.compile       flatbuffer            -> Program, proven
    render    exporter.render.project     Program + board       -> firmware project
    build     exporter.build.compile      firmware project      -> ELF, BIN, HEX
    flash     exporter.flash              ELF                   -> running board
    verify    exporter.hil.verify         running board         -> equal to the oracle, or not
    bench     exporter.hil.bench          running board         -> instructions and bytes

Every stage is a typed function of its module and a command of its own; `deploy` runs them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.arrays import check_writable, read_arrays
from exporter.board import Board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.convert import ConvertReport, TrainedModel, convert_loaded
from exporter.errors import BadInput
from exporter.hil import evaluate
from exporter.hil.bench import Benchmark, bench_on_board
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import Verification, check_verification, verify_on_board

Progress = Callable[[str, int, int], None]
"""Called with the stage's name, how much is done, and how much there is (0: unknown)."""


@dataclass(frozen=True)
class Accuracies:
    """Shares of right answers on one test set."""

    samples: int
    float_model: float | None
    int8_host: float
    int8_board: float


@dataclass(frozen=True, eq=False)
class Deployment:
    """A model on a board, from the trained file to the measured inference."""

    conversion: ConvertReport | None
    firmware: ModelFirmware
    verification: Verification
    benchmark: Benchmark
    accuracies: Accuracies | None


@dataclass(frozen=True)
class DeployRequest:
    """What to deploy, with what, and where the flatbuffer goes."""

    model: Path
    board: Board
    flatbuffer: Path
    settings: Settings
    calibration: Path | None = None
    test_set: Path | None = None
    vectors: int = 20
    port: str | None = None


def deploy(request: DeployRequest, progress: Progress) -> Deployment:
    """All stages, each verified before the next.

    Raises:
        NanoexportError: whatever the first failing stage raises.
    """
    test_set = evaluate.load_test_set(request.test_set) if request.test_set else None
    conversion, float_scores = _convert(request, test_set, progress)
    progress("build", 0, 0)
    model = request.flatbuffer if conversion else request.model
    firmware = firmware_for(model, request.board, request.settings)
    verification = _verify(request, firmware, test_set, progress)
    check_verification(firmware, verification)
    progress("bench", 0, 0)
    benchmark = bench_on_board(firmware, port=request.port)
    accuracies = _accuracies(test_set, verification, float_scores)
    return Deployment(conversion, firmware, verification, benchmark, accuracies)


def _convert(
    request: DeployRequest, test_set: evaluate.TestSet | None, progress: Progress
) -> tuple[ConvertReport | None, Any]:
    """The conversion, and the float model's scores on the test set; nothing for a flatbuffer."""
    if request.model.suffix == ".tflite":
        return None, None
    if request.calibration is None:
        raise BadInput(
            "a trained model needs calibration data",
            value=request.model,
            allowed="--data CALIB.npz with float inputs as the model was trained on",
            next_step="save a few hundred samples: numpy.savez('calib.npz', x=samples)",
        )
    read_arrays(request.calibration)  # a missing file is told before TensorFlow is loaded
    check_writable(request.flatbuffer)
    with TrainedModel(request.model, lambda text: progress(f"convert: {text}", 0, 0)) as trained:
        report = convert_loaded(trained, request.calibration, request.flatbuffer)
        return report, trained.predict(test_set.x)[0] if test_set else None


def _verify(
    request: DeployRequest,
    firmware: ModelFirmware,
    test_set: evaluate.TestSet | None,
    progress: Progress,
) -> Verification:
    """Synthetic vectors first, then every sample of the test set."""
    tensors = [port.tensor for port in firmware.program.inputs]
    vectors: list[list[Any]] = [list(v) for v in make_vectors(tensors, request.vectors)]
    if test_set is not None:
        vectors += evaluate.vectors_of(test_set, tensors[0])
    return verify_on_board(
        firmware,
        vectors,
        port=request.port,
        progress=lambda done, total: progress("verify", done, total),
    )


def _accuracies(
    test_set: evaluate.TestSet | None, verification: Verification, float_scores: Any
) -> Accuracies | None:
    if test_set is None:
        return None
    count = len(test_set)
    board = evaluate.scores(verification.outputs[-count:])
    host = evaluate.scores(verification.expected[-count:])
    return Accuracies(
        samples=count,
        float_model=None if float_scores is None else evaluate.accuracy(float_scores, test_set.y),
        int8_host=evaluate.accuracy(host, test_set.y),
        int8_board=evaluate.accuracy(board, test_set.y),
    )
