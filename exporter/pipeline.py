"""The stages in order: the table of contents of the product.

    convert   exporter.convert            trained model + data  -> int8 flatbuffer
    compile   exporter.plan.compile       flatbuffer            -> Program, proven
    render    exporter.render.project     Program + board       -> firmware project
    build     exporter.build.compile      firmware project      -> ELF, BIN, HEX
    flash     exporter.flash              ELF                   -> running board
    verify    exporter.hil.verify         running board         -> equal to the oracle, or not
    controls  exporter.hil.controls       seeded faults         -> each one noticed, or not
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
from exporter.hil.bench import Benchmark, bench_on_board
from exporter.hil.controls import ControlReport, controls_of
from exporter.hil.evaluation import data as test_data
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
    controls: ControlReport
    benchmark: Benchmark
    accuracies: Accuracies | None
    test_warnings: tuple[str, ...] = ()
    """What looks wrong with the test set."""


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
    controls: int = 1
    """Seeded faults of each kind; 0: none, by the user's choice."""
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
    if test_set is not None:
        test_set = test_data.for_model(test_set, firmware.program)
    vectors = _vectors(request, firmware, test_set)
    verification = verify_on_board(
        firmware,
        vectors,
        port=request.port,
        progress=lambda done, total: progress("verify", done, total),
    )
    check_verification(firmware, verification)
    controls = controls_of(
        firmware,
        vectors,
        verification,
        count=request.controls,
        port=request.port,
        progress=lambda done, total: progress("controls", done, total),
    )
    controls.check(request.board.name)
    progress("bench", 0, 0)
    benchmark = bench_on_board(firmware, port=request.port)
    accuracies = _accuracies(firmware, test_set, verification, float_scores)
    warnings = test_set.warnings if test_set is not None else ()
    return Deployment(conversion, firmware, verification, controls, benchmark, accuracies, warnings)


def _convert(
    request: DeployRequest, progress: Progress
) -> tuple[ConvertReport | None, test_data.TestSet | None, Any]:
    """The conversion, the test set, and the float model's scores on it; a flatbuffer has none."""
    if is_converted(request.model):
        graph, _ = read_file(request.model)
        inputs = test_data.real_inputs([graph[t] for t in graph.inputs])
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


def _test_set(request: DeployRequest, inputs: Sequence[ModelInput]) -> test_data.TestSet | None:
    if request.test_set is None:
        return None
    options = replace(request.options.samples, samples=None)
    return test_data.load_test_set(request.test_set, inputs, options)


def _vectors(
    request: DeployRequest, firmware: ModelFirmware, test_set: test_data.TestSet | None
) -> list[list[Any]]:
    """Synthetic vectors first, then every sample of the test set."""
    tensors = [port.tensor for port in firmware.program.inputs]
    vectors: list[list[Any]] = [list(v) for v in make_vectors(tensors, request.vectors)]
    if test_set is not None:
        vectors += test_data.vectors_of(test_set, tensors)
    return vectors


def _accuracies(
    firmware: ModelFirmware,
    test_set: test_data.TestSet | None,
    verification: Verification,
    float_scores: Any,
) -> Accuracies | None:
    if test_set is None:
        return None
    count, output = len(test_set), firmware.program.outputs[0].tensor
    board = test_data.scores(verification.outputs[-count:], output)
    host = test_data.scores(verification.expected[-count:], output)
    return Accuracies(
        samples=count,
        float_model=None if float_scores is None else test_data.accuracy(float_scores, test_set.y),
        int8_host=test_data.accuracy(host, test_set.y),
        int8_board=test_data.accuracy(board, test_set.y),
    )
