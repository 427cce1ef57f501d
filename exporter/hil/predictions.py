"""What was said of a firmware before it ran, beside what its board measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from exporter.build.firmware import ModelFirmware
from exporter.errors import CheckFailed
from exporter.link.messages import MemoryReport
from exporter.render.model import GUARD_BYTES, progress_bytes

Rule = Literal["exact", "bound"]

WORD_BYTES = 4
LOOSEST_BOUND = 1.25
LOOSEST_BOUND_BYTES = 64
"""A bound may be this much of what was measured, or more by this much, whichever is more."""


@dataclass(frozen=True)
class Prediction:
    """Bytes predicted and measured; `predicted` is None where nothing was said.

    "exact": they are equal. "bound": at most `predicted` was measured, and not much less.
    `is_hash`: no bytes, but what they hash to.
    """

    name: str
    predicted: int | None
    measured: int
    rule: Rule = "exact"
    is_hash: bool = False

    def text(self, value: int | None) -> str:
        """A value as people read it."""
        if value is None:
            return "nothing"
        return f"{value:08x}" if self.is_hash else f"{value} bytes"

    @property
    def allowed(self) -> tuple[int, int]:
        """The least and the most that may be measured; raises where nothing was predicted."""
        assert self.predicted is not None
        if self.rule == "exact":
            return self.predicted, self.predicted
        least = min(self.predicted / LOOSEST_BOUND, self.predicted - LOOSEST_BOUND_BYTES)
        return max(0, -int(-least // 1)), self.predicted

    @property
    def holds(self) -> bool:
        if self.predicted is None:
            return True
        least, most = self.allowed
        return least <= self.measured <= most


def predictions(
    firmware: ModelFirmware, memory: MemoryReport, stack_bytes: int
) -> tuple[Prediction, ...]:
    """Plan and build against the device. `stack_bytes`: the deepest stack of all inferences."""
    program, footprint, stack = firmware.program, firmware.footprint, firmware.stack
    return (
        Prediction("arena", program.arena_bytes, memory.arena_bytes),
        Prediction(
            "section of the arena, with its guards",
            0 if firmware.settings.arena == "caller" else program.arena_bytes + 2 * GUARD_BYTES,
            footprint.arena_bytes,
        ),
        # The plan counts each array with what fills its last word; a section ends before that.
        Prediction(
            "section of the weights",
            program.weights_bytes,
            -(-footprint.weights_bytes // WORD_BYTES) * WORD_BYTES,
        ),
        Prediction(
            "static RAM beside the arena", progress_bytes(program), footprint.static_ram_bytes
        ),
        Prediction("image", firmware.image.image_bytes, memory.image_bytes),
        Prediction("image, CRC-32", firmware.image.image_crc32, memory.image_crc32, is_hash=True),
        Prediction(
            "stack of one inference", stack.measured_bytes if stack else None, stack_bytes, "bound"
        ),
    )


def check_predictions(board: str, made: tuple[Prediction, ...]) -> None:
    """Raise CheckFailed for the first prediction that was wrong."""
    for prediction in made:
        if not prediction.holds:
            least, most = prediction.allowed
            text = prediction.text
            raise CheckFailed(
                f"the prediction of the {prediction.name} was wrong on {board}",
                value=f"{text(prediction.measured)} measured, "
                f"{text(prediction.predicted)} predicted",
                allowed=f"{least} to {most} bytes" if least < most else text(most),
                next_step="report this defect with the model",
            )
