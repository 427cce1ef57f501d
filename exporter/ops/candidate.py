"""What an operator offers the planner: kernels it may pick, each with everything it needs.

A kernel is a C function printed from one template in `firmware_templates/kernels/`. Its `params`
are the literals that specialise it: two layers whose candidates agree in kernel and params share
one function and differ only in the constants they pass.

Kernels come in two forms.

* A **row kernel** has a `window`. It makes one output row from the input rows that the window
  covers, given as an array of row pointers, and knows nothing of where the rows live:

      void NAME(const int8_t *const *rows, int8_t *output, [int8_t *scratch,] <constants>)

  `rows[k]` is the k-th row from the window's top, k in [0, window.extent). With a `ring`, input
  rows are first brought there, padded left and right; rows outside the image are there too, all
  `ring.fill`. Without a ring they are NULL, and the kernel skips them.

  With `rows_per_call` R > 1 it makes R output rows, from `input_rows` row pointers, and takes
  `int8_t *const *outputs`. Where fewer than R rows are left, the last outputs are NULL; input rows
  that only those would need may be outside the image.

* A **whole kernel** (`window` is None) makes its whole output at once:

      void NAME(const int8_t *input, ..., int8_t *output, [int8_t *scratch,] <constants>)

  Where its output has several `Rows`, it is called for one after another, with that row of the
  inputs that have as many, and the whole of the others.

Both may call **micro-kernels**: C functions, some with a body in assembly, that are printed once
for all the kernels that share them. `scratch` is aligned to 4 bytes and empty before each call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Param = int | float | bool | str | tuple[int, ...] | tuple[tuple[int, ...], ...]

C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "uint16": "uint16_t",
           "int32": "int32_t", "uint32": "uint32_t", "float32": "float"}  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """An activation operand seen as `count` rows of `bytes` bytes, per image of the batch."""

    count: int
    bytes: int


@dataclass(frozen=True)
class Window:
    """Output row y needs the input rows `y * stride - before + k * dilation`, k in [0, size)."""

    size: int
    stride: int
    dilation: int
    before: int

    @property
    def extent(self) -> int:
        """Input rows from the first to the last that one output row needs."""
        return (self.size - 1) * self.dilation + 1


@dataclass(frozen=True)
class Ring:
    """Prepared input rows, also those outside the image: `slots` rows of `pitch_bytes`.

    The input row starts `margin_bytes` into its slot; the margins hold `fill`. The kernel's row
    begins `lead_bytes` into the slot: they put the input row on a word, so that words are copied.
    """

    slots: int
    pitch_bytes: int
    margin_bytes: int
    fill: int
    lead_bytes: int = 0

    @property
    def bytes(self) -> int:
        return self.slots * self.pitch_bytes


@dataclass(frozen=True)
class Tiling:
    """How a kernel moves along its rows, so that the output may lie over input already read.

    It works from front to back, `tile` pixels at a time; once it has written a tile, it reads
    nothing before the next one. `input_bytes`, `output_bytes`: of a pixel. It holds for inputs of
    `pixels * input_bytes`.
    """

    pixels: int
    input_bytes: int = 1
    output_bytes: int = 1
    tile: int = 1
    reads_first: bool = True
    """Has read a whole tile before it writes any of it."""
    overlaps: bool = False
    """The last tile ends with the row, over pixels that are done; else the rest goes one by one."""

    def tiles(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The first pixel of each tile, and one past its last."""
        whole = self.pixels - self.pixels % self.tile
        starts = np.arange(0, whole, self.tile)
        ends = starts + self.tile
        if whole < self.pixels:
            rest = [self.pixels - self.tile] if self.overlaps else range(whole, self.pixels)
            starts = np.append(starts, rest)
            ends = np.append(ends, [self.pixels] if self.overlaps else np.add(rest, 1))
        return starts, ends


@dataclass(frozen=True, eq=False)
class Constant:
    """An array in flash that a kernel takes as an argument."""

    role: str
    values: npt.NDArray[np.generic]
    layout: str

    @property
    def c_type(self) -> str:
        return C_TYPES[self.values.dtype.name]

    @property
    def bytes(self) -> int:
        return int(self.values.nbytes)


@dataclass(frozen=True)
class MicroKernel:
    """An inner loop under the kernels. Equal names stand for equal C.

    `template`: below `firmware_templates/kernels`, without suffix, e.g. `dsp/micro/tile_4x2`;
    `params`: the literals it is printed with. It may use the header `model/nano_<set>.h`.
    """

    template: str
    name: str
    params: tuple[tuple[str, Param], ...] = ()

    @property
    def instruction_set(self) -> str:
        return self.template.partition("/")[0]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to compute an operator. All sizes in bytes; geometry is per image of the batch."""

    kernel: str
    """Template below `firmware_templates/kernels`, without suffix: `generic/conv_2d`."""
    name: str
    """Readable stem of the C function's name: `conv_2d_3x3_16x32`."""
    inputs: tuple[Rows, ...]
    output: Rows
    params: Mapping[str, Param] = field(default_factory=dict)
    constants: tuple[Constant, ...] = ()
    window: Window | None = None
    ring: Ring | None = None
    rows_per_call: int = 1
    micro_kernels: tuple[MicroKernel, ...] = ()
    images: int = 1
    scratch_bytes: int = 0
    tiling: Tiling | None = None
    """None: any of what a call reads may be read after any of what it writes."""
    by_channels: bool = False
    """A call works by groups of channels, each of all its rows read before it is written: an output
    row may lie exactly on an input row of the same call."""
    instructions: int = 0
    """Estimate for one inference, to compare candidates with."""
    choice: str = ""
    """The forms this kernel uses and what ruled out cheaper ones, in a few words for reports."""

    @property
    def signature(self) -> tuple[object, ...]:
        """What the C function is specialised for: equal signatures share one function."""
        forms = tuple((constant.role, constant.c_type) for constant in self.constants)
        params = tuple(sorted(self.params.items(), key=lambda item: item[0]))
        return (self.kernel, params, forms, self.rows_per_call, self.micro_kernels)

    @property
    def constant_bytes(self) -> int:
        """Flash that the packed constants take."""
        return sum(constant.bytes for constant in self.constants)

    @property
    def copy_instructions(self) -> int:
        """Estimate of what bringing the input into the ring takes, beside `instructions`."""
        if self.ring is None:
            return 0
        (rows,) = self.inputs
        by_words = rows.bytes % 4 == self.ring.pitch_bytes % 4 == self.ring.margin_bytes % 4 == 0
        return self.images * rows.count * (30 + rows.bytes * (1 if by_words else 8) // 2)

    @property
    def input_rows(self) -> int:
        """Row pointers that one call of a row kernel is given."""
        assert self.window is not None
        return self.window.extent + (self.rows_per_call - 1) * self.window.stride

    @property
    def calls(self) -> int:
        """Calls that make the output of one image."""
        return -(-self.output.count // self.rows_per_call)
