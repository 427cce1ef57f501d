"""All negative controls on one board."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from exporter.build.firmware import ModelFirmware
from exporter.errors import LinkFailed
from exporter.hil.controls.base import Array, Bench, Control, Outcome
from exporter.hil.controls.identity import ForeignIdentity
from exporter.hil.controls.outputs import PermutedOutputs, StuckOutput
from exporter.hil.controls.report import ControlReport, SeededFault
from exporter.hil.controls.transfer import DroppedByte
from exporter.hil.controls.weights import FlippedWeightBit
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import Verification
from exporter.oracle.oracle import Oracle

Progress = Callable[[int, int], None]

VECTORS = 6
"""Vectors that faults are drawn over; a fault is run on one or two of them."""
WITHOUT_CONTROLS = "by --no-controls"

# Those that start another image come first: a board is left with its own, over the relay.
CONTROLS: tuple[Control, ...] = (
    FlippedWeightBit(),
    ForeignIdentity("stale image", "build_id", "another build of the same model is refused"),
    ForeignIdentity("image of another model", "model_sha256", "another model is refused"),
    ForeignIdentity("wrong board", "board", "the firmware of another board is refused"),
    PermutedOutputs(),
    StuckOutput(),
    DroppedByte(of_request=True),
    DroppedByte(of_request=False),
)


def run_controls(
    firmware: ModelFirmware,
    vectors: Sequence[Sequence[Array]] = (),
    *,
    port: str | None = None,
    count: int = 1,
    seed: int = 0,
    controls: Sequence[Control] = CONTROLS,
    progress: Progress | None = None,
) -> ControlReport:
    """Seed `count` faults of each kind on the board of `firmware`, and say which were noticed.

    `vectors`: int8 inputs, one array for each input of the model; the first few are used, and made
    up to `VECTORS` by synthetic ones. The same arguments give the same faults. The report's `check`
    raises where one was missed.

    Raises:
        LinkFailed, MissingTool: the board. CheckFailed: it is not exact without any fault, or the
        host reference crashes.
    """
    faults = []
    draws = [(control, number) for control in controls for number in range(count)]
    with _bench(firmware, vectors, port) as bench:
        _ = bench.requests  # raises where the board is not exact
        for done, (control, number) in enumerate(draws):
            if progress is not None:
                progress(done, len(draws))
            faults.append(SeededFault(control.name, number, _seeded(bench, control, number, seed)))
    return ControlReport(seed, tuple(faults))


def controls_of(
    firmware: ModelFirmware,
    vectors: Sequence[Sequence[Array]],
    result: Verification,
    *,
    count: int,
    seed: int = 0,
    port: str | None = None,
    progress: Progress | None = None,
) -> ControlReport:
    """The controls of a verification with `result`; `count` is 0 where the user wants none."""
    if count == 0:
        return ControlReport(not_run=WITHOUT_CONTROLS)
    if not result.bit_exact:
        return ControlReport(not_run="the outputs differ without any fault")
    return run_controls(firmware, vectors, port=port, count=count, seed=seed, progress=progress)


@contextmanager
def _bench(
    firmware: ModelFirmware, vectors: Sequence[Sequence[Array]], port: str | None
) -> Iterator[Bench]:
    """Doctored images lie beside the firmware: a native process must be allowed to start there."""
    program, settings = firmware.program, firmware.settings
    tensors = [p.tensor for p in program.inputs]
    used = [*vectors[:VECTORS]]
    used += make_vectors(tensors, VECTORS - len(used))
    with (
        tempfile.TemporaryDirectory(
            dir=firmware.firmware.project.parent, prefix=".controls-"
        ) as folder,
        Oracle(firmware.compilation.model, settings.dialect, name=program.name) as oracle,
        Bench(firmware, oracle, used, Path(folder), port) as bench,
    ):
        yield bench


def generator(model_sha256: str, kind: str, number: int, seed: int) -> np.random.Generator:
    """What the `number`-th fault of a kind is drawn with: other kinds do not change it."""
    return np.random.default_rng([seed, number, zlib.crc32(f"{model_sha256} {kind}".encode())])


def _seeded(bench: Bench, control: Control, number: int, seed: int) -> Outcome:
    """One fault; where it does not apply, why."""
    reason = control.not_applicable(bench)
    if reason is not None:
        return Outcome("not applicable", "", reason)
    rng = generator(bench.firmware.program.model_sha256, control.name, number, seed)
    try:
        return control.run(bench, rng)
    except LinkFailed as failure:
        bench.stop()
        return Outcome("missed", "", f"the link failed: {failure.what}")
