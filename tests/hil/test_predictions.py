"""Predictions: what holds, and that each of them fails where it is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.build.size import measure_footprint
from exporter.build.stack import stack_bound
from exporter.errors import CheckFailed
from exporter.hil.predictions import Prediction, predictions
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import Verification, check_verification, verify_on_board
from tests.hil.support import doctored, nanoexport

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")

INVOKE = "void model_invoke(void)\n{\n"
LARGE_FRAME = f"{INVOKE}    volatile int8_t room[400];\n    room[0] = 1;\n    (void)room[0];\n"


def verified(firmware: ModelFirmware) -> Verification:
    tensors = [port.tensor for port in firmware.program.inputs]
    return verify_on_board(firmware, make_vectors(tensors, 2))


def failure(firmware: ModelFirmware, result: Verification) -> CheckFailed:
    assert result.bit_exact, "the outputs are right all the same"
    with pytest.raises(CheckFailed) as raised:
        check_verification(firmware, result)
    return raised.value


@pytest.mark.parametrize(
    ("predicted", "measured", "holds"),
    [
        (200, 200, True), (200, 201, False), (200, 136, True), (200, 135, False),
        (1000, 800, True), (1000, 799, False), (1000, 1001, False),
        (48, 0, True), (0, 0, True), (None, 77, True),
    ],
)  # fmt: skip
def test_a_bound_is_neither_too_small_nor_too_loose(
    predicted: int | None, measured: int, holds: bool
) -> None:
    """At most 1.25 times what was measured, or 64 bytes more."""
    assert Prediction("stack", predicted, measured, "bound").holds is holds


@pytest.mark.parametrize(("measured", "holds"), [(9, False), (10, True), (11, False)])
def test_what_is_exact_is_equal(measured: int, holds: bool) -> None:
    assert Prediction("arena", 10, measured).holds is holds


@pytest.fixture(params=["mps2-an386", "riscv32-virt"])
def firmware(request: pytest.FixtureRequest, own_cache: Path, small_model: Path) -> ModelFirmware:
    """The small model, as it should be."""
    return firmware_for(small_model, load_board(request.param), Settings())


@pytest.mark.emulator
def test_everything_holds_where_nothing_is_wrong(firmware: ModelFirmware) -> None:
    result = verified(firmware)
    check_verification(firmware, result)
    assert result.memory is not None and firmware.stack is not None
    made = predictions(firmware, result.memory, result.stack_bytes)
    assert len(made) == 7 and all(p.predicted is not None for p in made)
    assert result.stack_bytes <= firmware.stack.bytes
    for name in ("arena_bytes", "code_bytes", "weights_bytes", "static_ram_bytes"):
        assert getattr(firmware.footprint, name) == getattr(
            measure_footprint(firmware.firmware.footprint or Path()), name
        )


@pytest.mark.emulator
def test_a_frame_larger_than_the_bound_says(firmware: ModelFirmware, tmp_path: Path) -> None:
    greedy = doctored(firmware, tmp_path, patch={"model/model.c": (INVOKE, LARGE_FRAME)})
    result = verified(greedy)
    error = failure(greedy, result)
    assert "prediction of the stack" in error.what
    assert f"{result.stack_bytes} bytes measured" in str(error.value)
    bound = stack_bound(greedy.firmware)
    assert bound is not None and bound.bytes >= result.stack_bytes > 400
    check_verification(replace(greedy, stack=bound), result)


@pytest.mark.emulator
def test_a_kernel_that_writes_beyond_the_arena(firmware: ModelFirmware, tmp_path: Path) -> None:
    name = "void model_layer_0_conv_2d(int8_t *arena)\n{\n"
    beyond = f"{name}    arena[MODEL_ARENA_BYTES + 3] = 1;\n"
    wild = doctored(firmware, tmp_path, patch={"model/model.c": (name, beyond)})
    error = failure(wild, verified(wild))
    assert "outside the arena" in error.what and error.value == "0 bytes below, 1 above"


@pytest.mark.emulator
def test_each_wrong_prediction_is_found(small_model: Path) -> None:
    firmware = firmware_for(small_model, load_board("mps2-an386"), Settings())
    result = verified(firmware)
    assert firmware.stack is not None
    footprint, stack = firmware.footprint, firmware.stack
    wrong: Mapping[str, ModelFirmware] = {
        "image": replace(
            firmware, image=replace(firmware.image, image_bytes=firmware.image.image_bytes - 4)
        ),
        "image, CRC-32": replace(firmware, image=replace(firmware.image, image_crc32=1)),
        "section of the arena": replace(
            firmware, footprint=replace(footprint, arena_bytes=footprint.arena_bytes + 16)
        ),
        "section of the weights": replace(
            firmware, footprint=replace(footprint, weights_bytes=footprint.weights_bytes + 4)
        ),
        "static RAM": replace(firmware, footprint=replace(footprint, static_ram_bytes=4)),
        "stack of one inference": replace(
            firmware, stack=replace(stack, bytes=result.stack_bytes * 5 // 4 + 66)
        ),
    }
    for name, doubtful in wrong.items():
        assert f"prediction of the {name}" in failure(doubtful, result).what
    small = replace(firmware, stack=replace(stack, bytes=result.stack_bytes - 4, clock_bytes=0))
    assert "prediction of the stack" in failure(small, result).what


@pytest.mark.emulator
def test_build_tells_sections_and_stack(small_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    assert nanoexport("render", small_model, "--board", "mps2-an386", "-o", folder).code == 0
    run = nanoexport("build", folder, "--json")
    document = run.document
    stack = document["stack"]
    assert stack["bytes"] == sum(frame["bytes"] for frame in stack["deepest"]) > 0
    assert stack["deepest"][0]["function"] == "model_invoke"
    assert document["model"]["weights_bytes"] > 0 and document["model"]["code_bytes"] > 0
    assert f"at most {stack['bytes']:,} bytes: model_invoke" in run.err
