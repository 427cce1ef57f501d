"""The digits network on a board: exact, accurate, and within its budget of memory.

    pytest test_digits.py --nano-board mps2-an386

The fixtures `board`, `firmware` and `device` come with nanoexport; `conftest.py` beside this file
says which model the firmware is built from.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from exporter.hil.vectors import make_vectors, quantize
from exporter.link.device import Device
from exporter.oracle import Oracle

HERE = Path(__file__).parent

RAM_BUDGET_BYTES = 3 * 1024
STACK_BUDGET_BYTES = 1024


def infer(device: Device, image: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """The int8 scores of one int8 image; whatever was left in memory before is overwritten."""
    device.poison()
    device.write_input(0, image)
    device.invoke()
    return device.read_output(0)


def test_the_board_reads_digits(device: Device) -> None:
    with np.load(HERE / "test.npz") as test:
        images, digits = test["x"], test["y"]
    shape = device.inputs[0].shape
    inputs = quantize(images, device.inputs[0])
    scores = [infer(device, image.reshape(shape)).ravel() for image in inputs]
    right = int((np.stack(scores).argmax(axis=1) == digits).sum())
    assert right >= 0.98 * len(digits), f"{right} of {len(digits)} digits are right"


def test_the_board_is_bit_exact(device: Device, nano_model: Path) -> None:
    with Oracle(nano_model.read_bytes(), device.identity.dialect) as oracle:
        for index, (image,) in enumerate(make_vectors(oracle.inputs, 40)):
            expected = oracle.run([image])[0]
            assert np.array_equal(infer(device, image), expected), f"vector {index}"


def test_the_network_stays_within_its_memory(device: Device) -> None:
    infer(device, np.zeros(device.inputs[0].shape, np.int8))
    memory = device.memory()
    assert memory.guards_intact, "something wrote next to the arena"
    assert memory.arena_bytes <= RAM_BUDGET_BYTES
    assert memory.stack_bytes <= STACK_BUDGET_BYTES
