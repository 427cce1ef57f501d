"""A short soak of the real thing; `python -m tests.link.soak` is ten thousand inferences."""

from __future__ import annotations

import pytest

from exporter.board import load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.errors import MissingTool
from tests.hil.support import SHARED_MODELS
from tests.link import soak

pytestmark = [pytest.mark.toolchain, pytest.mark.emulator]


@pytest.fixture(scope="module")
def firmware() -> ModelFirmware:
    """Keyword spotting on an emulated Cortex-M4."""
    model = SHARED_MODELS / "kws_ref_model.tflite"
    if not model.is_file():
        pytest.skip("needs ../shared/models")
    try:
        return firmware_for(model, load_board("mps2-an386"), Settings())
    except MissingTool as error:
        pytest.skip(f"{error.what}: {error.next_step}")


def test_every_inference_is_exact_or_a_typed_error(firmware: ModelFirmware) -> None:
    told = soak.run(firmware, inferences=60, error_rate=1e-3, resets=3, seed=3)
    assert told.passed and told.wrong == 0
    assert told.resets == told.restarts_told == 3 and told.exact >= 55
    assert told.errors == {"DeviceRestarted": 3}
    assert told.damaged_bytes > 20 and told.link["repeated_requests"] > 20


def test_a_wrong_result_fails_the_soak(
    firmware: ModelFirmware, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, expected = soak.expectations(firmware)
    expected[0][0].flat[3] ^= 1
    monkeypatch.setattr(soak, "expectations", lambda firmware: (vectors[:1], expected[:1]))
    told = soak.run(firmware, inferences=2, error_rate=0.0, resets=0, seed=1)
    assert told.wrong == 2 and not told.passed
