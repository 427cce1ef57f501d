"""The link and its firmware on the emulated Pico: watchdog, crashes, restarts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from exporter.board import load_board
from exporter.flash import start
from exporter.link import Device, DeviceRestarted, SocketTransport
from exporter.link.faults import Reason
from tests.link.test_emulated import HANG, build_fake, write_image
from tests.platform.test_rp2040 import need_emulator

pytestmark = [pytest.mark.toolchain, pytest.mark.emulator]


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """A Device on the Pico, with the fake model."""
    need_emulator()
    board = load_board("raspberry-pi-pico")
    firmware = build_fake(board.name, tmp_path_factory.mktemp(board.name) / "project")
    with (
        start(board, firmware.elf) as running,
        Device(SocketTransport(running.connection)) as found,
    ):
        yield found


def test_transfers_and_inference(device: Device) -> None:
    values = np.random.default_rng(2).integers(-128, 128, (1, 3000), np.int8)
    device.write_input(1, values)
    assert np.array_equal(device.read_input(1), values)
    write_image(device)
    assert device.invoke().ticks > 0
    assert device.read_output(0).tolist() == [[1, 5, 9, 13]]


def test_identity_has_the_number_of_the_flash(device: Device) -> None:
    assert device.identity.chip_id == "e6613450823a5527"  # machine.mjs
    assert device.memory().image_crc32 is not None


def test_a_hang_is_ended_by_the_watchdog_and_reported(device: Device) -> None:
    """By the alarm, as a non-maskable interrupt: runs are made with interrupts masked. Twice:
    nothing of the first, such as an alarm that is armed, is left to the next boot.
    """
    for _ in range(2):
        write_image(device, HANG)
        with pytest.raises(DeviceRestarted) as caught:
            device.invoke(300.0, watchdog_seconds=0.02)
        assert caught.value.fault is not None
        assert caught.value.fault.reason == Reason.WATCHDOG
        assert caught.value.fault.cause == 2  # NMI
    write_image(device)
    device.invoke(watchdog_seconds=0.5)
    assert device.read_output(0).tolist() == [[1, 5, 9, 13]]


def test_the_timer_interrupts_runs(device: Device) -> None:
    """As often as its period passes in the cycles of the runs: 125 in a microsecond."""
    write_image(device)
    device.load(10, 50)
    runs = [device.invoke(interrupts=True).ticks for _ in range(20)]
    served = device.load(0, 0)
    assert served is not None and served > 0
    assert served == pytest.approx(sum(runs) / 1250, abs=len(runs))
