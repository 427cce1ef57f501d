"""Does the board compute what the flatbuffer says? Vector by vector, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from exporter.build.firmware import ModelFirmware
from exporter.errors import CheckFailed
from exporter.hil.overrun import find_overrun
from exporter.hil.predictions import check_predictions, predictions
from exporter.hil.session import open_device
from exporter.hil.vectors import kind_of
from exporter.link.device import Device
from exporter.link.messages import MemoryReport
from exporter.oracle.oracle import Oracle

Array = npt.NDArray[Any]
Progress = Callable[[int, int], None]

POISON = (0xA5, 0x5A)
SLOWEST_MACS_PER_SECOND = 50_000
"""What the deadline of an inference allows for: a slow emulator on a busy machine."""
SHORTEST_DEADLINE_SECONDS = 60.0


@dataclass(frozen=True)
class Mismatch:
    """The first wrong element of one vector's output."""

    vector: int
    kind: str
    output: str
    position: tuple[int, ...]
    expected: int
    found: int
    elements: int
    """Wrong elements in this vector, over all outputs."""

    def describe(self) -> str:
        return (
            f"vector {self.vector} ({self.kind}): output '{self.output}' {list(self.position)} "
            f"is {self.found}, expected {self.expected}; {self.elements} elements differ"
        )


@dataclass
class Verification:
    """What was compared and measured. `stack_bytes` is the deepest of all inferences."""

    vectors: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    stack_bytes: int = 0
    memory: MemoryReport | None = None
    overrun: str | None = None
    """Who wrote next to the arena, where the guards were found damaged."""
    outputs: list[list[Array]] = field(default_factory=list)
    """The board's outputs, vector by vector."""
    expected: list[list[Array]] = field(default_factory=list)
    """The oracle's outputs, vector by vector."""

    @property
    def bit_exact(self) -> bool:
        return self.vectors > 0 and not self.mismatches

    @property
    def mismatched_elements(self) -> int:
        return sum(mismatch.elements for mismatch in self.mismatches)


def verify_on_board(
    firmware: ModelFirmware,
    vectors: Sequence[Sequence[Array]],
    *,
    port: str | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Run every vector on the board and on the oracle of the firmware's dialect.

    Raises:
        LinkFailed, MissingTool: the board. CheckFailed: the oracle crashes on the model.
    """
    program = firmware.program
    with (
        Oracle(firmware.compilation.model, firmware.settings.dialect, name=program.name) as oracle,
        open_device(firmware, port=port) as device,
    ):
        result = verify_device(device, oracle, vectors, macs=program.macs, progress=progress)
        if result.memory is not None and not result.memory.guards_intact:
            result.overrun = find_overrun(device, firmware, vectors, deadline_of(program.macs))
        return result


def verify_device(
    device: Device,
    oracle: Oracle,
    vectors: Sequence[Sequence[Array]],
    *,
    macs: int = 0,
    progress: Progress | None = None,
) -> Verification:
    """Compare `device` with `oracle` on `vectors`, each a list of int8 inputs."""
    result = Verification()
    for index, inputs in enumerate(vectors):
        found = run_on_device(device, inputs, index, result, macs)
        expected = oracle.run(inputs)
        mismatch = compare(device, index, expected, found)
        if mismatch is not None:
            result.mismatches.append(mismatch)
        result.outputs.append(found)
        result.expected.append(expected)
        result.vectors += 1
        if progress is not None:
            progress(index + 1, len(vectors))
    result.memory = device.memory()
    return result


def deadline_of(macs: int) -> float:
    """Seconds that an inference of so many multiply-accumulates may take."""
    return max(SHORTEST_DEADLINE_SECONDS, macs / SLOWEST_MACS_PER_SECOND)


def run_on_device(
    device: Device, inputs: Sequence[Array], index: int, result: Verification, macs: int
) -> list[Array]:
    """One inference over a poisoned arena, so that an output nobody wrote cannot look right."""
    device.poison(POISON[index % len(POISON)])
    for position, values in enumerate(inputs):
        device.write_input(position, values)
    invoked = device.invoke(deadline_of(macs))
    result.stack_bytes = max(result.stack_bytes, invoked.stack_bytes)
    return [device.read_output(position) for position in range(len(device.outputs))]


def compare(
    device: Device, index: int, expected: Sequence[Array], found: Sequence[Array]
) -> Mismatch | None:
    """The first difference in one vector, None where every element is equal."""
    wrong = sum(int((e != f).sum()) for e, f in zip(expected, found, strict=True))
    if wrong == 0:
        return None
    for tensor, e, f in zip(device.outputs, expected, found, strict=True):
        if (e != f).any():
            position = tuple(int(i) for i in np.argwhere(e != f)[0])
            return Mismatch(
                vector=index,
                kind=kind_of(index),
                output=tensor.name,
                position=position,
                expected=int(e[position]),
                found=int(f[position]),
                elements=wrong,
            )
    return None


def check_verification(firmware: ModelFirmware, result: Verification) -> None:
    """Raise CheckFailed for a mismatch, a damaged guard, or a prediction that was wrong."""
    board, memory = firmware.board.name, result.memory
    if result.vectors == 0:
        raise CheckFailed("nothing was verified", value="0 vectors", next_step="give at least one")
    if result.mismatches:
        raise CheckFailed(
            f"{board} does not compute what the flatbuffer says: "
            f"{len(result.mismatches)} of {result.vectors} vectors differ",
            value="; ".join(mismatch.describe() for mismatch in result.mismatches[:3]),
            allowed=f"equal outputs in the dialect '{firmware.settings.dialect}'",
            next_step="try --board host: if it differs too, report the model; if not, the compiler",
        )
    assert memory is not None
    if not memory.guards_intact:
        raise CheckFailed(
            f"{board} wrote outside the arena" + (f" {result.overrun}" if result.overrun else ""),
            value=f"{memory.guard_below_damaged} bytes below, {memory.guard_above_damaged} above",
            allowed="0",
            next_step="report this defect with the model",
        )
    check_predictions(board, predictions(firmware, memory, result.stack_bytes))


def as_dict(firmware: ModelFirmware, result: Verification) -> dict[str, object]:
    """The document that `nanoexport verify --json` prints."""
    memory = result.memory
    return {
        "schema_version": 1,
        "model": firmware.program.name,
        "board": firmware.board.name,
        "dialect": firmware.settings.dialect,
        "vectors": result.vectors,
        "mismatches": len(result.mismatches),
        "mismatched_elements": result.mismatched_elements,
        "bit_exact": result.bit_exact,
        "model_sha256": firmware.program.model_sha256,
        "build_id": firmware.build_id,
        "predicted": {
            "arena_bytes": firmware.program.arena_bytes,
            "image_bytes": firmware.image.image_bytes,
            "stack_bytes": firmware.stack.bytes if firmware.stack else None,
        },
        "measured": {
            "arena_bytes": memory.arena_bytes if memory else None,
            "stack_bytes": result.stack_bytes,
            "image_bytes": memory.image_bytes if memory else None,
        },
        "predictions": [
            {"name": p.name, "predicted": p.predicted, "measured": p.measured, "rule": p.rule}
            for p in (predictions(firmware, memory, result.stack_bytes) if memory else ())
        ],
    }
