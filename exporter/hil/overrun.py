"""Who wrote next to the arena? Found by running again what damaged its guards.

First the core's memory protection is asked: with it the store itself faults, and the report has
its line. It protects blocks, and a store beside them stays unseen; then the model runs step by
step, and the first after which a guard is damaged is the one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from exporter.build.firmware import ModelFirmware
from exporter.build.source_lines import SourceLines
from exporter.link.device import Device
from exporter.link.faults import Reason
from exporter.link.session import DeviceRestarted
from exporter.render.model import stage_name
from exporter.render.project import DEFAULT_PREFIX

Array = npt.NDArray[Any]


def find_overrun(
    device: Device,
    firmware: ModelFirmware,
    vectors: Sequence[Sequence[Array]],
    deadline_seconds: float,
) -> str:
    """Where a store leaves the arena, in words, with the vector that makes it.

    Leaves the device freshly started or with damaged guards. Raises LinkFailed.
    """
    for number, inputs in enumerate(vectors):
        _prepare(device, inputs)
        try:
            device.invoke(deadline_seconds, guarded=True)
        except DeviceRestarted as crash:
            if crash.fault is not None and crash.fault.reason == Reason.ARENA_OVERRUN:
                return f"with vector {number}: {crash.value}"
            raise
        if not device.memory().guards_intact:
            return f"with vector {number}: {_by_steps(device, firmware, inputs, deadline_seconds)}"
    return "not found: run again vector by vector, the model did not do it"


def _by_steps(
    device: Device, firmware: ModelFirmware, inputs: Sequence[Array], deadline_seconds: float
) -> str:
    _prepare(device, inputs)
    for index, step in enumerate(device.steps()):
        device.run_step(index, deadline_seconds)
        if not device.memory().guards_intact:
            place = _place_of_step(firmware, index)
            return f"step {index}, {step.op} that makes '{step.name}': {place}"
    return "no step of the model by itself does it"


def _prepare(device: Device, inputs: Sequence[Array]) -> None:
    """A reset makes the guards anew."""
    device.reset()
    for position, values in enumerate(inputs):
        device.write_input(position, values)


def _place_of_step(firmware: ModelFirmware, index: int) -> str:
    """Function and line where the step's code begins."""
    program = firmware.program
    function = f"{DEFAULT_PREFIX}_{stage_name(program, program.stages[index])}"
    place = SourceLines(firmware.firmware.elf).place_of_function(function)
    return place.describe() if place is not None else function
