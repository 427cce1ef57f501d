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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exporter.board import Board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.convert import ConvertReport, TrainedModel, check_output, convert_loaded
from exporter.convert.finish import PLAIN, ConvertOptions
from exporter.convert.sources.tflite import is_converted
from exporter.errors import BadInput
from exporter.graph.tflite_reader import read_file
from exporter.hil import evaluate
from exporter.hil.bench import Benchmark, bench_on_board
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import Verification, check_verification, verify_on_board
from exporter.samples import ModelInput, check_data

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
    """What to deploy, with what, and where the flatbuffer goes.

    `options` say how both the calibration and the test set are read; that is taken whole.
    """

    model: Path
    board: Board
    flatbuffer: Path
    settings: Settings
    options: ConvertOptions = PLAIN
    calibration: str | Path | None = None
    test_set: str | Path | None = None
    vectors: int = 20
    port: str | None = None


def deploy(request: DeployRequest, progress: Progress) -> Deployment:
    """All stages, each verified before the next.

    Raises:
        NanoexportError: whatever the first failing stage raises.
    """
    for data in (request.test_set, request.calibration):
        if data is not None:
            check_data(data)  # a missing file is told before TensorFlow is loaded
    conversion, test_set, float_scores = _convert(request, progress)
    progress("build", 0, 0)
    model = request.flatbuffer if conversion else request.model
    firmware = firmware_for(model, request.board, request.settings)
    verification = _verify(request, firmware, test_set, progress)
    check_verification(firmware, verification)
    progress("bench", 0, 0)
    benchmark = bench_on_board(firmware, port=request.port)
    accuracies = _accuracies(firmware, test_set, verification, float_scores)
    return Deployment(conversion, firmware, verification, benchmark, accuracies)


def _convert(
    request: DeployRequest, progress: Progress
) -> tuple[ConvertReport | None, evaluate.TestSet | None, Any]:
    """The conversion, the test set, and the float model's scores on it; a flatbuffer has none."""
    if is_converted(request.model):
        graph, _ = read_file(request.model)
        inputs = evaluate.real_inputs([graph[t] for t in graph.inputs])
        return None, _test_set(request, inputs), None
    if request.calibration is None:
        raise BadInput(
            "a trained model needs calibration data",
            value=request.model,
            allowed="--data CALIB.npz with float inputs as the model was trained on",
            next_step="save a few hundred samples: numpy.savez('calib.npz', x=samples)",
        )
    check_output(request.flatbuffer, request.model, request.calibration, request.test_set)
    with TrainedModel(request.model, lambda text: progress(f"convert: {text}", 0, 0)) as trained:
        test_set = _test_set(request, trained.inputs)
        report = convert_loaded(
            trained,
            request.calibration,
            request.flatbuffer,
            options=request.options,
            progress=lambda text: progress(f"convert: {text}", 0, 0),
        )
        if test_set is None:
            return report, None, None
        pairs = zip(trained.inputs, test_set.arrays, strict=True)
        for_device = replace(test_set, arrays=tuple(i.for_device(a) for i, a in pairs))
        return report, for_device, trained.predict(*test_set.arrays)[0]


def _test_set(request: DeployRequest, inputs: Sequence[ModelInput]) -> evaluate.TestSet | None:
    if request.test_set is None:
        return None
    options = replace(request.options.samples, samples=None)
    return evaluate.load_test_set(request.test_set, inputs, options)


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
        evaluate.check_classes(test_set, firmware.program.outputs[0].tensor)
        vectors += evaluate.vectors_of(test_set, tensors)
    return verify_on_board(
        firmware,
        vectors,
        port=request.port,
        progress=lambda done, total: progress("verify", done, total),
    )


def _accuracies(
    firmware: ModelFirmware,
    test_set: evaluate.TestSet | None,
    verification: Verification,
    float_scores: Any,
) -> Accuracies | None:
    if test_set is None:
        return None
    count, output = len(test_set), firmware.program.outputs[0].tensor
    board = evaluate.scores(verification.outputs[-count:], output)
    host = evaluate.scores(verification.expected[-count:], output)
    return Accuracies(
        samples=count,
        float_model=None if float_scores is None else evaluate.accuracy(float_scores, test_set.y),
        int8_host=evaluate.accuracy(host, test_set.y),
        int8_board=evaluate.accuracy(board, test_set.y),
    )
