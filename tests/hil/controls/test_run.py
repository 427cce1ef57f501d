"""Seeded faults on real boards are caught; and by a check with a defect they are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cobs import cobs

from exporter.board import load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.errors import CheckFailed, LinkFailed
from exporter.flash import NativeProcess
from exporter.hil import session, verify
from exporter.hil.controls import CONTROLS, Control, ControlReport, run_controls
from exporter.hil.controls.image import Image
from exporter.hil.vectors import make_vectors
from exporter.link import device as devices
from exporter.link import frames
from tests.flatbuffer_builder import ModelBuilder
from tests.hil.support import (
    dense_model,
    doctored,
    nanoexport,
    refused,
    saved,
    two_output_model,
    with_flipped_bit,
)

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")

Patch = pytest.MonkeyPatch

KINDS = [control.name for control in CONTROLS]


def only(*names: str) -> Sequence[Control]:
    """The controls with these names."""
    return [control for control in CONTROLS if control.name in names]


def verdicts(report: ControlReport) -> dict[str, str]:
    """The verdict on each kind, of a report with one fault of each."""
    return {fault.kind: fault.outcome.verdict for fault in report.faults}


@pytest.fixture
def firmware(own_cache: Path, small_model: Path) -> ModelFirmware:
    """The small model for `host`."""
    return firmware_for(small_model, load_board("host"), Settings())


@pytest.fixture
def dense(own_cache: Path, tmp_path: Path) -> ModelFirmware:
    """One dense layer for `host`: a weight reaches one output only."""
    return firmware_for(saved(tmp_path, dense_model()), load_board("host"), Settings())


def test_the_names_of_the_controls_are_unique_and_say_what_they_prove() -> None:
    assert len(set(KINDS)) == len(KINDS) == 8
    assert all(control.proves for control in CONTROLS)


def test_the_document_of_controls_lists_them_all() -> None:
    text = (Path(__file__).parents[3] / "docs" / "controls.md").read_text("utf-8")
    assert [kind for kind in KINDS if f"| {kind} |" not in text] == []


def test_all_are_caught_on_the_host(firmware: ModelFirmware) -> None:
    seen: list[tuple[int, int]] = []
    report = run_controls(firmware, progress=lambda done, total: seen.append((done, total)))
    assert verdicts(report) == dict.fromkeys(KINDS, "caught"), report.lines()
    assert seen == [(done, 8) for done in range(8)]
    report.check("host")


@pytest.mark.emulator
@pytest.mark.parametrize("board", ["mps2-an386", "riscv32-virt"])
def test_all_are_caught_on_emulated_boards(board: str, small_model: Path) -> None:
    report = run_controls(firmware_for(small_model, load_board(board), Settings()), seed=3)
    assert verdicts(report) == dict.fromkeys(KINDS, "caught"), report.lines()


def test_a_seed_gives_the_same_faults_again(dense: ModelFirmware) -> None:
    kinds = only("flipped weight bit", "permuted outputs", "stuck output buffer", "wrong board")
    first, again, other = (run_controls(dense, seed=s, controls=kinds) for s in (1, 1, 2))
    assert first.faults == again.faults
    places = [[fault.outcome.place for fault in report.faults] for report in (first, other)]
    assert places[0] != places[1]
    more = run_controls(dense, seed=1, count=2, controls=kinds[:1])
    assert more.faults[0] == first.faults[0], "drawn by kind and number alone"


def test_a_flip_that_changes_no_output_is_redrawn_and_counted(dense: ModelFirmware) -> None:
    report = run_controls(dense, count=12, controls=only("flipped weight bit"))
    assert report.rate == 1 and report.seeded == 12
    reasons: Counter[str] = sum((Counter(f.outcome.redrawn) for f in report.faults), Counter())
    assert reasons["changes no output"] > 0
    assert report.redrawn == reasons.total()
    assert f"{report.redrawn} redrawn" in report.lines()[0]


def test_a_model_without_weights_and_with_two_outputs(tmp_path: Path) -> None:
    model = saved(tmp_path, two_output_model())
    firmware = firmware_for(model, load_board("host"), Settings())
    kinds = only("flipped weight bit", "permuted outputs", "stuck output buffer")
    report = run_controls(firmware, count=6, controls=kinds)
    (flips,) = {fault.outcome.detail for fault in report.not_applicable}
    assert flips == "the model has no weights" and len(report.not_applicable) == 6
    assert report.rate == 1 and report.seeded == 12
    places = [f.outcome.place for f in report.faults if f.kind == "permuted outputs"]
    assert "outputs 0 and 1" in places and any("elements" in place for place in places)


def constant_model() -> bytes:
    """One output of one element, the same for every input."""
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4], scale=0.05, zero_point=0)
    w = builder.tensor("w", [1, 4], scale=0.01, data=np.zeros((1, 4), np.int64))
    b = builder.tensor("b", [1], "int32", scale=0.05 * 0.01, data=[700])
    y = builder.tensor("y", [1, 1], scale=0.03, zero_point=0)
    builder.op("FULLY_CONNECTED", [x, w, b], [y])
    return builder.finish([x], [y])


def test_what_does_not_apply_is_listed_with_its_reason(tmp_path: Path) -> None:
    firmware = firmware_for(saved(tmp_path, constant_model()), load_board("host"), Settings())
    kinds = only("permuted outputs", "stuck output buffer", "stale image")
    report = run_controls(firmware, controls=kinds)
    assert [fault.outcome.detail for fault in report.not_applicable] == [
        "each output has one element, and no two are of one size",
        "every vector gives the same outputs",
    ]
    assert (report.seeded, report.rate) == (1, 1)
    assert sum("does not apply" in line for line in report.lines()) == 2


def test_a_board_that_takes_no_image(firmware: ModelFirmware, monkeypatch: Patch) -> None:
    """Faults on the way apply; a wrong identity is what the host expects."""
    kinds = [control for control in CONTROLS if "dropped" not in control.name]
    with NativeProcess(firmware.firmware.elf) as process:
        report = run_controls(firmware, port=process.port, controls=kinds)
    (flip,) = report.not_applicable
    assert flip.kind == "flipped weight bit" and str(process.port) in flip.outcome.detail
    assert (report.seeded, report.rate) == (5, 1)
    ignores_field("board")(monkeypatch)
    with NativeProcess(firmware.firmware.elf) as process:
        report = run_controls(firmware, port=process.port, controls=kinds)
    assert [fault.kind for fault in report.missed] == ["wrong board"]


def test_a_board_that_is_wrong_anyway_proves_nothing(
    firmware: ModelFirmware, tmp_path: Path
) -> None:
    wrong = with_flipped_bit(firmware, "model_bias_0", tmp_path)
    with pytest.raises(CheckFailed, match="not exact even without a seeded fault"):
        run_controls(wrong)


# --- a check with a defect -----------------------------------------------------------------------


def ignores_the_last_element(patch: Patch) -> None:
    compare = verify.compare
    patch.setattr(
        verify,
        "compare",
        lambda device, index, expected, found: compare(
            device,
            index,
            [e.reshape(-1)[:-1] for e in expected],
            [f.reshape(-1)[:-1] for f in found],
        ),
    )


def ignores_places(patch: Patch) -> None:
    compare = verify.compare
    patch.setattr(
        verify,
        "compare",
        lambda device, index, expected, found: compare(
            device, index, [np.sort(e, axis=None) for e in expected],
            [np.sort(f, axis=None) for f in found],
        ),
    )  # fmt: skip


def compares_the_first_vector_only(patch: Patch) -> None:
    compare = verify.compare
    patch.setattr(
        verify,
        "compare",
        lambda device, index, *pair: compare(device, 0, *pair) if not index else None,
    )


def ignores_field(field: str) -> Callable[[Patch], None]:
    """An identity of which one field is not compared."""

    def defect(patch: Patch) -> None:
        require = devices.require_identity

        def lax(identity: Any, expected: Any) -> None:
            try:
                require(identity, expected)
            except devices.WrongIdentity as refusal:
                if refusal.field != field:
                    raise

        for module in (session, devices):
            patch.setattr(module, "require_identity", lax)

    return defect


def never_writes_the_image(patch: Patch) -> None:
    write_copy = Image.write_copy
    patch.setattr(Image, "write_copy", lambda self, path, patches: write_copy(self, path, {}))


FLIPS_LAST_UNIT = 6
"""The flipped weight of this seed is the last unit's: it reaches the last element alone."""

DEFECTS = [
    (ignores_the_last_element, ["flipped weight bit"]),
    (ignores_places, ["permuted outputs"]),
    (compares_the_first_vector_only, ["stuck output buffer"]),
    (ignores_field("build_id"), ["stale image"]),
    (ignores_field("model_sha256"), ["image of another model"]),
    (ignores_field("board"), ["wrong board"]),
    (
        never_writes_the_image,
        ["flipped weight bit", "stale image", "image of another model", "wrong board"],
    ),
]
DEFECT_NAMES = [
    "last element", "places", "first vector", "build id", "model hash", "board", "no flashing",
]  # fmt: skip


@pytest.mark.parametrize(("defect", "missed"), DEFECTS, ids=DEFECT_NAMES)
def test_a_defect_of_the_check_is_found(
    defect: Callable[[Patch], None], missed: list[str], dense: ModelFirmware, monkeypatch: Patch
) -> None:
    """Exactly the controls that stand for it miss."""
    kinds = [control for control in CONTROLS if "dropped" not in control.name]
    defect(monkeypatch)
    report = run_controls(dense, seed=FLIPS_LAST_UNIT, controls=kinds)
    assert {fault.kind for fault in report.missed} == set(missed), report.lines()
    with pytest.raises(CheckFailed, match="does not notice seeded faults"):
        report.check("host")


def decode_without_crc(encoded: bytes) -> bytes | None:
    """A host that takes every frame that COBS lets pass."""
    try:
        data: bytes = cobs.decode(encoded)
    except cobs.DecodeError:
        return None
    return data[: -frames.CRC_BYTES]


def test_a_host_without_crc_is_found(dense: ModelFirmware, monkeypatch: Patch) -> None:
    monkeypatch.setattr(frames, "decode", decode_without_crc)
    report = run_controls(dense, count=4, controls=only("dropped byte of a reply"))
    assert report.missed


def test_a_device_that_hides_damaged_frames_is_found(dense: ModelFirmware, tmp_path: Path) -> None:
    hidden = "return bad_frames;", "return bad_frames * 0u;"
    lax = doctored(dense, tmp_path, patch={"runtime/link.c": hidden})
    report = run_controls(lax, controls=only("dropped byte of a request"))
    assert [fault.outcome.verdict for fault in report.faults] == ["missed"]
    assert "0 damaged frames" in report.missed[0].outcome.detail


def test_a_lost_board_is_no_catch(dense: ModelFirmware, monkeypatch: Patch) -> None:
    """A control that ends in a broken link is missed, and the next one gets a new board."""
    compared: Iterator[bool] = iter([False, True])
    read_output = devices.Device.read_output

    def breaks_once(device: devices.Device, index: int) -> Any:
        if next(compared, False):
            raise LinkFailed("the cable is out")
        return read_output(device, index)

    monkeypatch.setattr(devices.Device, "read_output", breaks_once)
    kinds = only("permuted outputs", "stuck output buffer")
    report = run_controls(dense, controls=kinds)
    assert verdicts(report) == {"permuted outputs": "missed", "stuck output buffer": "caught"}
    assert "the cable is out" in report.missed[0].outcome.detail


def test_a_missed_fault_on_the_command_line(
    dense: ModelFirmware, tmp_path: Path, monkeypatch: Patch
) -> None:
    """Exit code 1, the rate, and the fault by name, in the text and in the document."""
    ignores_field("board")(monkeypatch)
    arguments = ["verify", tmp_path / "model.tflite", "--board", "host", "--vectors", "2", "--json"]
    run = nanoexport(*arguments)
    refused(run, 1, "does not notice seeded faults", "wrong board", "it was accepted")
    controls = run.document["controls"]
    assert (controls["caught"], controls["missed"]) == (7, 1)
    assert controls["detection_rate"] == 7 / 8
    assert "7 of 8 seeded faults caught (87.5 %)" in run.err and "missed: wrong board" in run.err


def test_no_controls_is_recorded(small_model: Path) -> None:
    arguments = ["verify", small_model, "--board", "host", "--vectors", "2", "--no-controls"]
    run = nanoexport(*arguments, "--json")
    assert run.code == 0
    controls = run.document["controls"]
    assert controls["run"] is False and controls["not_run"] == "by --no-controls"
    assert "controls      none, by --no-controls" in run.err


def test_vectors_of_ones_own_are_used(dense: ModelFirmware) -> None:
    """Given vectors come first: with six that are equal nothing can be stuck."""
    (vector,) = make_vectors([port.tensor for port in dense.program.inputs], 1)
    report = run_controls(dense, [vector] * 6, controls=only("stuck output buffer"))
    assert verdicts(report) == {"stuck output buffer": "not applicable"}


def test_controls_and_none_at_once(small_model: Path) -> None:
    arguments = ["--board", "host", "--controls", "3", "--no-controls", "--json"]
    for command in ("verify", "deploy"):
        refused(nanoexport(command, small_model, *arguments), 2, "--controls 3 --no-controls")


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_number_of_controls_that_is_none(value: str, small_model: Path) -> None:
    run = nanoexport("verify", small_model, "--board", "host", "--controls", value, "--json")
    refused(run, 2, "--controls")
