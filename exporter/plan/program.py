"""The program: everything the renderer prints, and nothing it has to decide.

A frozen list of steps over one arena, run in stages. An activation operand is a `View`: where each
of its rows lives. Row y of an image is at `offset + (y + phase) % slots * pitch_bytes`; a whole
tensor has as many slots as rows, a tensor of which few rows exist at a time has fewer. In-place
execution, rings and overlaps are views that share bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporter.graph.ir import Tensor, TensorId
from exporter.graph.metadata import ModelMetadata
from exporter.ops.candidate import Candidate, MicroKernel, Param


@dataclass(frozen=True)
class View:
    """Rows of one tensor in the arena. `image_bytes` separates the images of a batch; `phase`: rows
    outside the image, above it, that are in the same ring.
    """

    tensor: TensorId
    offset: int
    rows: int
    row_bytes: int
    pitch_bytes: int
    slots: int
    image_bytes: int
    phase: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether all rows exist together."""
        return self.slots >= self.rows and self.phase == 0

    @property
    def end(self) -> int:
        """One past the last byte, over one image."""
        return self.offset + (self.slots - 1) * self.pitch_bytes + self.row_bytes


@dataclass(frozen=True, eq=False)
class ConstantArray:
    """A constant under its name in C."""

    name: str
    c_type: str
    role: str
    layout: str
    values: npt.NDArray[np.generic]

    @property
    def bytes(self) -> int:
        return int(self.values.nbytes)


@dataclass(frozen=True, eq=False)
class Function:
    """One specialised kernel function: the template, its C name, and the literals to print."""

    name: str
    kernel: str
    params: Mapping[str, Param]
    constants: tuple[tuple[str, str], ...]
    """(role, C type) of each constant argument."""
    micro_kernels: tuple[str, ...] = ()
    """Names of the micro-kernels it calls, in the candidate's order."""


@dataclass(frozen=True, eq=False)
class Step:
    """One layer: a call of `function` for each output row, or once for the whole output.

    The candidate's ring has as many slots as the plan gives it.
    """

    index: int
    op_index: int
    kind: str
    name: str
    function: str
    candidate: Candidate
    inputs: tuple[View, ...]
    output: View
    constants: tuple[str, ...]
    ring_offset: int | None
    ring_is_input: bool
    """The layer that makes the input puts its rows into the ring: none is copied."""
    scratch_offset: int | None
    operands: tuple[tuple[str, Tensor], ...]
    """(role, tensor) of the operands of the flatbuffer, for the title comment."""
    macs: int
    part: int | None = None
    """Which of the operator's outputs this is, where it has several."""
    in_place: tuple[int, ...] = ()
    """The operator's inputs, by position, that others make in the output: this writes the rest."""


@dataclass(frozen=True)
class Stage:
    """Steps that run together, `first` to `last`.

    A single step makes its output in order, or from the last row to the first (`backward`). A group
    makes its rows in turn: `order` has a step's index for each call, and GIVEN for each row of the
    input that the application gives.
    """

    first: int
    last: int
    order: tuple[int, ...] = ()
    backward: bool = False

    @property
    def is_group(self) -> bool:
        return bool(self.order)


GIVEN = -1


@dataclass(frozen=True, eq=False)
class Port:
    """A graph input or output: its tensor and where it lives in the arena."""

    tensor: Tensor
    offset: int


@dataclass(frozen=True)
class Buffer:
    """A range of the arena and the stages [first, last] during which it holds live data.

    `tensors`: those that are there, where it holds whole ones.
    """

    name: str
    offset: int
    bytes: int
    first: int
    last: int
    tensors: tuple[TensorId, ...] = ()


@dataclass(frozen=True, eq=False)
class Program:
    """A model compiled for a target: the plan, proven by `exporter.plan.check`."""

    name: str
    model_sha256: str
    dialect: str
    optimize: str
    arena_bytes: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    steps: tuple[Step, ...]
    stages: tuple[Stage, ...]
    functions: tuple[Function, ...]
    micro_kernels: tuple[MicroKernel, ...]
    constants: tuple[ConstantArray, ...]
    buffers: tuple[Buffer, ...]
    given: View | None = None
    """The rows of the input that exist at a time, where the application gives it row by row."""
    metadata: ModelMetadata | None = None
    """What the flatbuffer says of itself: labels, preprocessing."""

    @property
    def weights_bytes(self) -> int:
        """Bytes of all constant arrays, each on a word: weights, biases, multipliers, tables."""
        return sum(-(-constant.bytes // 4) * 4 for constant in self.constants)

    @property
    def macs(self) -> int:
        return sum(step.macs for step in self.steps)

    @property
    def peak_step(self) -> Step:
        """The step during which most of the arena is live."""
        return max(self.steps, key=lambda step: (self.live_bytes(step), -step.index))

    def stage_of(self, step: Step) -> int:
        """The number of the stage that `step` runs in."""
        return next(n for n, s in enumerate(self.stages) if s.first <= step.index <= s.last)

    def live_bytes(self, step: Step) -> int:
        """Bytes of the arena that hold live data during the stage of `step`."""
        stage = self.stage_of(step)
        live = sorted((b.offset, b.offset + b.bytes) for b in self.buffers
                      if b.first <= stage <= b.last)  # fmt: skip
        total, top = 0, 0
        for start, end in live:
            total += max(0, end - max(start, top))
            top = max(top, end)
        return total
