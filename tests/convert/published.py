"""MLPerf Tiny's models, converted, against the int8 files that were published of them.

    python -m tests.convert.published

prints how often each int8 file has the float model's top class, on inputs that all of them share.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exporter.arrays import Array
from exporter.convert import ConvertSettings, TrainedModel, convert_loaded
from exporter.convert.trained import ENVIRONMENT
from exporter.hil.vectors import dequantize, quantize
from exporter.metrics import agreement, predicted_classes
from exporter.oracle import Oracle
from exporter.worker import Worker
from tests.conftest import MODELS
from tests.convert.published_inputs import InputSpace, Structured, mfcc_fields, photos, pictures

COUNT, SEED = 500, 0
CALIBRATION_COUNT, CALIBRATION_SEED = 200, 1

MINMAX = ConvertSettings()
SETTINGS = {
    "minmax": MINMAX,
    "mse": ConvertSettings(ranges="mse"),
    "percentile + bias correction": ConvertSettings(ranges="percentile", bias_correction=True),
}


@dataclass(frozen=True)
class Pair:
    """A float model of ../shared/models, and the int8 file that was published of it.

    `twin` is a flatbuffer with float activations and the published file's own weights, where the
    float model has those of another training: the published file agrees with that one by chance.
    """

    name: str
    trained: str
    published: str
    structured: Structured
    twin: str | None = None

    @property
    def model(self) -> Path:
        return MODELS / self.trained

    @property
    def int8(self) -> bytes:
        return (MODELS / self.published).read_bytes()


PAIRS = (
    Pair("image classification", "pretrainedResnet.h5", "pretrainedResnet_quant.tflite", photos),
    Pair("visual wake words", "vww_96.h5", "vww_96_int8.tflite", pictures),
    Pair(
        "keyword spotting",
        "kws_ref_saved_model",
        "kws_ref_model.tflite",
        mfcc_fields,
        twin="kws_ref_model_float32.tflite",
    ),
)


@dataclass(frozen=True, eq=False)
class Compared:
    """Agreement with the float model's top class: shares of the COUNT inputs.

    `ours` by the names of SETTINGS; `classes` [C]: how often each is the float model's top class.
    `published_twin`: of the published file with its twin, or what `published` is without a twin.
    """

    published: float
    published_twin: float
    ours: dict[str, float]
    classes: Array


def start_ascent() -> Worker:
    """The process that optimises inputs; one serves all models."""
    return Worker("tests.convert.ascent", **ENVIRONMENT)


def input_space(pair: Pair) -> InputSpace:
    """What the published file's int8 input can represent."""
    with Oracle(pair.int8, name=pair.published) as oracle:
        (edge,), (scores,) = oracle.inputs, oracle.outputs
    low, high = dequantize(np.array([-128, 127], np.int8), edge)
    return InputSpace(edge.shape[1:], float(low), float(high), scores.shape[-1], pair.structured)


def compare(pair: Pair, names: Iterable[str], ascent: Worker, folder: Path) -> Compared:
    """Converts with each of the settings, into `folder`, and counts."""
    space = input_space(pair)
    x = space.draw(np.random.default_rng(SEED), COUNT, ascent, pair.model)
    rng = np.random.default_rng(CALIBRATION_SEED)
    calibration = folder / f"{pair.trained}.npy"
    np.save(calibration, space.draw(rng, CALIBRATION_COUNT, ascent, pair.model))
    ours = {}
    with TrainedModel(pair.model) as trained:
        (expected,) = trained.predict(x)
        for name in names:
            output = folder / f"{pair.trained}-{name.split()[0]}.tflite"
            convert_loaded(trained, calibration, output, SETTINGS[name])
            ours[name] = agreement(expected, int8_outputs(output.read_bytes(), x))
    shares = np.bincount(predicted_classes(expected), minlength=space.classes) / COUNT
    theirs = int8_outputs(pair.int8, x)
    twin = float_outputs((MODELS / pair.twin).read_bytes(), x) if pair.twin else expected
    return Compared(agreement(expected, theirs), agreement(twin, theirs), ours, shares)


def int8_outputs(flatbuffer: bytes, x: Array) -> Array:
    """The scores of an int8 classifier for float32 [N, ...] inputs, on the reference kernels."""
    with Oracle(flatbuffer) as oracle:
        (edge,) = oracle.inputs
        return np.concatenate([oracle.run([quantize(sample[None], edge)])[0] for sample in x])


def float_outputs(flatbuffer: bytes, x: Array) -> Array:
    """The scores of a classifier with float edges for float32 [N, ...] inputs."""
    with Oracle(flatbuffer) as oracle:
        return np.concatenate([oracle.run([sample[None]])[0] for sample in x])


def main() -> None:
    """Prints the table."""
    columns = ["published", "published, its twin", *SETTINGS]
    print("| model | " + " | ".join(columns) + " | classes' shares |")
    print("|---" * (len(columns) + 2) + "|")
    with start_ascent() as ascent, tempfile.TemporaryDirectory() as folder:
        for pair in PAIRS:
            found = compare(pair, SETTINGS, ascent, Path(folder))
            shares = " ".join(f"{100 * s:.1f}" for s in found.classes)
            agreements = (found.published, found.published_twin, *found.ours.values())
            cells = [f"{100 * a:.1f}%" for a in agreements]
            print(f"| {pair.name} | {' | '.join(cells)} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
