"""A conversion that is judged: measured against the float model, searched for, reported on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporter.arrays import Array, write_atomically
from exporter.convert.convert import ConvertReport, check_output, conversion_report
from exporter.convert.evaluation import (
    Evaluation,
    Yardstick,
    confusion,
    gives_classes,
    load_evaluation,
    with_all_classes,
    yardstick,
)
from exporter.convert.finish import PLAIN, ConvertOptions, check_target, checked, with_metadata
from exporter.convert.measures import GIVEN_RANGES, Comparison, output_sqnr, worst_first
from exporter.convert.metadata import label_doubts
from exporter.convert.report import Judgement, check_folder, search_document, write_report
from exporter.convert.search import Bench, Candidate, Found, Score, described, search
from exporter.convert.settings import ConvertSettings
from exporter.convert.sources import find_source
from exporter.convert.trained import Progress, TrainedModel, require_tensorflow
from exporter.errors import BadInput, CheckFailed
from exporter.metrics import agreement, find_metric
from exporter.samples import Samples, check_data, load_samples


@dataclass(frozen=True)
class Wanted:
    """What is asked of a conversion besides the flatbuffer.

    report      folder for report.json and report.html
    evaluation  samples to judge by, with labels; None: those of the calibration, without
    metric      what a model is judged by; None: top1 for classes, agreement without labels
    max_drop    largest loss in percent; None: no search, whatever is lost
    keep_best   write the best of a search that found nothing good enough
    int16       whether the search may end in int16x8
    """

    report: Path | None = None
    evaluation: str | Path | None = None
    metric: str | None = None
    max_drop: float | None = None
    keep_best: bool = False
    int16: bool = False

    def __post_init__(self) -> None:
        """Raises BadInput for options that say nothing by themselves."""
        if self.metric is not None and self.evaluation is None:
            raise BadInput(
                "a metric needs samples with labels",
                value=f"--metric {self.metric}",
                allowed="--metric with --eval DATA",
                next_step="leave --metric out to compare with the float model's predictions alone",
            )
        if self.keep_best and self.max_drop is None:
            raise BadInput(
                "there is no best one to keep without a search",
                value="--keep-best",
                allowed="--keep-best with --max-drop",
            )

    @property
    def anything(self) -> bool:
        """Whether a plain conversion is not enough."""
        asked = (self.report, self.evaluation, self.metric, self.max_drop)
        return any(a is not None for a in asked)


@dataclass(frozen=True, eq=False)
class Judged:
    """The conversion and its judgement. `written`: whether there are files."""

    conversion: ConvertReport
    judgement: Judgement
    written: bool
    files: tuple[Path, ...]

    def check(self) -> None:
        """Raises CheckFailed where the search found nothing under its limit."""
        found = self.judgement.found
        if found is None or found.passed:
            return
        best = f"{described(found.candidate)} loses {found.score.drop:.2f}%"
        raise CheckFailed(
            "no settings keep the loss under the limit",
            value=f"the best of {len(found.tries)} tries, {best}",
            allowed=f"at most {found.limit:g}% of {self.judgement.yardstick.name}",
            next_step="the best one was written, as --keep-best asks"
            if self.written
            else "raise --max-drop, bring more calibration data, train with quantisation in mind, "
            "or write the best one anyway with --keep-best",
        )


@dataclass
class Clock:
    """Seconds by stage, in the order of the stages."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - start, 2)


def convert_judged(
    model: Path,
    data: str | Path,
    output: Path,
    settings: ConvertSettings,
    wanted: Wanted,
    options: ConvertOptions = PLAIN,
    *,
    progress: Progress | None = None,
) -> Judged:
    """`convert`, and what `wanted` asks for. Files are written last, each of them at once.

    Where a search finds nothing under its limit, nothing is written unless `keep_best`; ask the
    result with `check`. Raises what `convert` raises.
    """
    find_source(model)
    check_target(settings, options)
    check_output(output, model, data, wanted.evaluation)
    if wanted.report is not None:
        check_folder(wanted.report)
    if wanted.metric is not None:
        find_metric(wanted.metric)
    require_tensorflow()
    for given in (data, wanted.evaluation):
        if given is not None:
            check_data(given)  # a missing file is told before TensorFlow is loaded
    start = time.monotonic()
    with TrainedModel(model, progress) as trained:
        clock = Clock({"load": round(time.monotonic() - start, 2)})
        return judge_loaded(
            trained, data, output, settings, wanted, options, clock=clock, progress=progress
        )


def judge_loaded(
    trained: TrainedModel,
    data: str | Path,
    output: Path,
    settings: ConvertSettings,
    wanted: Wanted,
    options: ConvertOptions = PLAIN,
    *,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> Judged:
    """`convert_judged` for a model that is loaded already, and will go on being used."""
    request = _Request(data, output, settings, wanted, options, progress or (lambda _: None))
    return _judged(trained, request, clock or Clock())


@dataclass(frozen=True, eq=False)
class _Request:
    """The arguments of `judge_loaded`."""

    data: str | Path
    output: Path
    settings: ConvertSettings
    wanted: Wanted
    options: ConvertOptions
    progress: Progress


def _judged(trained: TrainedModel, request: _Request, clock: Clock) -> Judged:
    start = time.monotonic()
    wanted, settings, options = request.wanted, request.settings, request.options
    with clock.stage("calibrate"):
        calibration = load_samples(request.data, trained.inputs, options.samples, request.progress)
        evaluation = _evaluation(request, calibration, trained)
        stick = yardstick(evaluation, wanted.metric)
        histograms = settings.ranges != "minmax" or wanted.max_drop is not None
        trained.observe(calibration.arrays, histograms=histograms)
    found, candidate = None, Candidate("as told", settings)
    if wanted.max_drop is None:
        with clock.stage("quantise"):
            flatbuffer = trained.quantized(settings)
    else:
        with clock.stage("search"):
            found = _search(trained, evaluation, stick, request)
        flatbuffer, candidate = found.flatbuffer, found.candidate
    with clock.stage("audit"):
        checks = checked(flatbuffer, str(trained.path), candidate.settings, options)
    with clock.stage("compare"):
        comparison = trained.compare(flatbuffer, evaluation.arrays)
    judgement = _judgement(evaluation, stick, comparison, candidate, found, clock.seconds)
    flatbuffer = with_metadata(
        flatbuffer, trained.path, request.data, calibration, candidate.settings, options,
        evaluation.class_names,
    )  # fmt: skip
    doubts = label_doubts(options.metadata, evaluation.class_names or calibration.class_names)
    conversion = conversion_report(
        trained, calibration, checks, flatbuffer, request.output, candidate.settings, start, doubts
    )
    written = found is None or found.passed or wanted.keep_best
    files: tuple[Path, ...] = ()
    if written:
        if wanted.report is not None:
            files = write_report(wanted.report, conversion, judgement)
        write_atomically(request.output, flatbuffer)
    return Judged(conversion, judgement, written, files)


def _evaluation(request: _Request, calibration: Samples, trained: TrainedModel) -> Evaluation:
    data = request.wanted.evaluation
    if data is not None:
        evaluation = load_evaluation(data, trained.inputs, request.options.samples)
        outputs = request.options.metadata.outputs
        labels = outputs[0].labels if outputs else ()
        return with_all_classes(evaluation, labels or calibration.class_names or ())
    return Evaluation(f"the calibration data {request.data}", calibration.arrays)


def _search(
    trained: TrainedModel,
    evaluation: Evaluation,
    stick: Yardstick,
    request: _Request,
) -> Found:
    reference = trained.evaluate(None, evaluation.arrays)[0]
    if stick.metric is None and not gives_classes(reference, evaluation):
        raise _nothing_to_judge_by(reference, evaluation)

    def score(flatbuffer: bytes) -> Score:
        outputs = trained.evaluate(flatbuffer, evaluation.arrays)[0]
        before, after = stick.values(reference, outputs)
        same = agreement(reference, outputs) if gives_classes(reference, evaluation) else None
        return Score(after, stick.drop(before, after), same, output_sqnr(reference, outputs))

    def worst(flatbuffer: bytes) -> list[str]:
        measures = trained.compare(flatbuffer, evaluation.arrays).tensors
        return [m.name for m in worst_first(measures) if m.op not in GIVEN_RANGES]

    def quantize(candidate: Candidate) -> bytes:
        flatbuffer = trained.quantized(candidate.settings, candidate.overrides)
        checked(flatbuffer, str(trained.path), candidate.settings, request.options)
        return flatbuffer

    bench = Bench(
        quantize,
        score,
        worst,
        request.progress,
    )
    wanted = request.wanted
    assert wanted.max_drop is not None
    return search(bench, request.settings, wanted.max_drop, int16=wanted.int16)


def _nothing_to_judge_by(outputs: Array, evaluation: Evaluation) -> BadInput:
    return BadInput(
        "there is nothing to judge this model's loss by",
        value=f"an output {list(outputs.shape)} that is no scores of classes, and no labels",
        allowed="--eval DATA with labels, and --metric mae or module:function",
    )


def _judgement(
    evaluation: Evaluation,
    stick: Yardstick,
    comparison: Comparison,
    candidate: Candidate,
    found: Found | None,
    seconds: Mapping[str, float],
) -> Judgement:
    reference, outputs = comparison.float_outputs[0], comparison.outputs[0]
    classes = gives_classes(reference, evaluation)
    measured = stick.metric is not None or classes
    return Judgement(
        evaluation=evaluation,
        yardstick=stick,
        values=stick.values(reference, outputs) if measured else None,
        agreement=agreement(reference, outputs) if classes else None,
        output_sqnr_db=output_sqnr(reference, outputs),
        confusions=_confusions(reference, outputs, evaluation.labels) if classes else None,
        comparison=comparison,
        candidate=candidate,
        found=found,
        seconds=dict(seconds),
    )


def _confusions(
    reference: Array, outputs: Array, labels: Array | None
) -> tuple[Array, Array] | None:
    if labels is None:
        return None
    return confusion(reference, labels), confusion(outputs, labels)


def as_document(judged: Judged) -> dict[str, Any]:
    """What `convert --json` says of it beside the conversion."""
    judgement = judged.judgement
    found = judgement.found
    return {
        **judged.conversion.as_dict(),
        "written": judged.written,
        "files": [str(f) for f in judged.files],
        **judgement.summary(),
        "search": None if found is None else search_document(found),
    }
