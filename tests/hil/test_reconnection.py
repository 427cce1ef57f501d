"""A device on a named port, which may go and come back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from exporter.board import load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.flash.native import NativeProcess
from exporter.hil.session import open_device
from exporter.link import DeviceRestarted
from exporter.link.device import WrongIdentity
from tests.link.cable import Cable

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def firmware(own_cache: Path, small_model: Path) -> ModelFirmware:
    """The small model for `host`."""
    return firmware_for(small_model, load_board("host"), Settings())


@pytest.fixture
def cable(firmware: ModelFirmware) -> Iterator[Cable]:
    """A cable to the running firmware."""
    with NativeProcess(firmware.firmware.elf, tcp=True) as process:
        assert process.port is not None
        cable = Cable(int(process.port.rpartition(":")[2]))
        yield cable
        cable.close()


def test_a_cable_pulled_and_put_back_is_survived(firmware: ModelFirmware, cable: Cable) -> None:
    with open_device(firmware, port=cable.port) as device:
        tensor = device.inputs[0]
        values = np.arange(tensor.size_bytes, dtype=np.int8).reshape(tensor.shape)
        for pulls in (1, 2):
            cable.pull_after(tensor.size_bytes // pulls)
            device.write_input(0, values)
            assert np.array_equal(device.read_input(0), values)
            assert device.link_counts.reconnections == cable.pulls == pulls
        device.invoke()


def run_while_another_is_plugged_in(firmware: ModelFirmware, cable: Cable, port: int) -> None:
    with open_device(firmware, port=cable.port) as device:
        cable.pull_after(8, port)
        device.invoke()


def test_another_image_at_the_same_port_is_told(
    firmware: ModelFirmware, other_model: Path, cable: Cable
) -> None:
    """Not as a restart, for which somebody would look for a fault of the board."""
    other = firmware_for(other_model, load_board("host"), Settings())
    with NativeProcess(other.firmware.elf, tcp=True) as process:
        port = int(str(process.port).rpartition(":")[2])
        with pytest.raises(WrongIdentity, match="the device carries another model") as raised:
            run_while_another_is_plugged_in(firmware, cable, port)
    assert raised.value.field == "model_sha256"
    assert isinstance(raised.value.__cause__, DeviceRestarted)
