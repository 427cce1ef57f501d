"""The program: everything the renderer prints, and nothing it has to decide.

A frozen list of steps over one arena. An activation operand is a `View`: where each of its rows
lives. Row y of an image is at `offset + (y % slots) * pitch_bytes`; a whole tensor has as many
slots as rows, a ring has fewer. In-place execution, rings and overlaps are views that share bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporter.graph.ir import Tensor, TensorId
from exporter.ops.candidate import Candidate, MicroKernel, Param


@dataclass(frozen=True)
class View:
    """Rows of one tensor in the arena. `image_bytes` separates the images of a batch."""

    tensor: TensorId
    offset: int
    rows: int
    row_bytes: int
    pitch_bytes: int
    slots: int
    image_bytes: int

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
    """One layer: a call of `function` for each output row, or once for the whole output."""

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
    scratch_offset: int | None
    operands: tuple[tuple[str, Tensor], ...]
    """(role, tensor) of the operands of the flatbuffer, for the title comment."""
    macs: int


@dataclass(frozen=True, eq=False)
class Port:
    """A graph input or output: its tensor and where it lives in the arena."""

    tensor: Tensor
    offset: int


@dataclass(frozen=True)
class Buffer:
    """A range of the arena and the steps [first, last] during which it holds live data."""

    name: str
    offset: int
    bytes: int
    first: int
    last: int


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
    functions: tuple[Function, ...]
    micro_kernels: tuple[MicroKernel, ...]
    constants: tuple[ConstantArray, ...]
    buffers: tuple[Buffer, ...]

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

    def live_bytes(self, step: Step) -> int:
        """Bytes of the buffers that are live during `step`."""
        return sum(b.bytes for b in self.buffers if b.first <= step.index <= b.last)
