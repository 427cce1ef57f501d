"""A flipped bit of a weight, on a board whose identity stays valid."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exporter.build.firmware import compile_for
from exporter.errors import BadInput, CheckFailed
from exporter.graph.ir import short_name
from exporter.graph.tflite_reader import constant_bytes, read
from exporter.hil.controls.base import (
    MOST_DRAWS,
    Array,
    Bench,
    Control,
    Outcome,
    Rng,
    no_images,
    nothing_found,
)
from exporter.hil.verify import Verification
from exporter.plan.program import ConstantArray, Program
from exporter.render.model import render_model

PREFIX = "model"


@dataclass(frozen=True)
class Flip:
    """One bit of a constant of the flatbuffer: byte `byte` of the file, bit `bit`."""

    tensor: str
    byte: int
    bit: int
    place: str

    def applied(self, model: bytes) -> bytes:
        """`model` with this bit flipped."""
        flipped = bytearray(model)
        flipped[self.byte] ^= 1 << self.bit
        return bytes(flipped)


class FlippedWeightBit(Control):
    """A bit of a weight or bias is flipped in the flatbuffer; the board gets what that packs to.

    The image is the firmware's own but for the constants that change: model hash, build id and
    code stay. A flip by which the compiler plans otherwise cannot be put there so, and is redrawn.
    """

    name = "flipped weight bit"
    proves = "one wrong bit in flash reaches the comparison of outputs"

    def not_applicable(self, bench: Bench) -> str | None:
        """See Control."""
        if not weights_of(bench.firmware.compilation.model):
            return "the model has no weights"
        return no_images(bench)

    def run(self, bench: Bench, rng: Rng) -> Outcome:
        """See Control."""
        redrawn = Counter[str]()
        for _ in range(MOST_DRAWS):
            flip = draw(bench.firmware.compilation.model, rng)
            seeded = _Seeded.of(bench, flip)
            if isinstance(seeded, _Seeded):
                return seeded.outcome(bench, redrawn)
            redrawn[seeded] += 1
        return nothing_found(redrawn)


@dataclass(frozen=True)
class _Seeded:
    """A flip that changes an output: a vector that shows it, all outputs, and the program."""

    flip: Flip
    chosen: tuple[int, ...]
    expected: Sequence[Sequence[Array]]
    program: Program

    @classmethod
    def of(cls, bench: Bench, flip: Flip) -> _Seeded | str:
        """The flip as a fault, or why it is none."""
        model = flip.applied(bench.firmware.compilation.model)
        try:
            expected = bench.expected_of(model)
        except (BadInput, CheckFailed):
            return "the host reference refuses it"
        chosen = differing(bench.expected, expected)[:1]
        if not chosen:
            return "changes no output"
        try:
            program = compiled(bench, model)
        except (BadInput, CheckFailed):
            return "the compiler refuses it"
        if not same_code(bench.firmware.program, program):
            return "planned otherwise"
        return cls(flip, chosen, expected, program)

    def outcome(self, bench: Bench, redrawn: Counter[str]) -> Outcome:
        """Run it on the board."""
        elf = bench.image.write_copy(
            bench.folder / "flipped.elf", constant_patches(bench, self.program)
        )
        with bench.started(elf) as device:
            result = bench.verify(device, self.chosen)
        if not self._is_this_flip(result):
            return Outcome(
                "missed", self.flip.place, "the board does not compute the flipped model", redrawn
            )
        if not result.mismatches:
            return Outcome("missed", self.flip.place, "the outputs were taken for equal", redrawn)
        return Outcome("caught", self.flip.place, result.mismatches[0].describe(), redrawn)

    def _is_this_flip(self, result: Verification) -> bool:
        """Whether the board computes, bit for bit, what the flipped flatbuffer says."""
        expected = [self.expected[index] for index in self.chosen]
        return not differing(expected, result.outputs)


def weights_of(model: bytes) -> list[tuple[str, range]]:
    """Name and place in the file of each quantised constant: weights and biases."""
    graph = read(model)
    return [
        (short_name(tensor.name), constant_bytes(model, tensor.id))
        for tensor in graph.tensors.values()
        if tensor.is_constant and tensor.quantization is not None
    ]


def draw(model: bytes, rng: Rng) -> Flip:
    """Any weight tensor, then any bit of it: a large tensor does not hide the small ones."""
    weights = weights_of(model)
    name, stored = weights[int(rng.integers(len(weights)))]
    index, bit = int(rng.integers(len(stored))), int(rng.integers(8))
    return Flip(name, stored[index], bit, f"bit {bit} of byte {index} of '{name}'")


def differing(one: Sequence[Sequence[Array]], other: Sequence[Sequence[Array]]) -> tuple[int, ...]:
    """Numbers of the vectors whose outputs are not the same."""
    return tuple(
        index
        for index, outputs in enumerate(zip(one, other, strict=True))
        if not all(np.array_equal(a, b) for a, b in zip(*outputs, strict=True))
    )


def compiled(bench: Bench, model: bytes) -> Program:
    """What the compiler makes of `model` for the bench's board. Raises BadInput."""
    path = bench.folder / f"{bench.firmware.program.name}.tflite"
    path.write_bytes(model)
    program = compile_for(path, bench.firmware.board, bench.firmware.settings).program
    return dataclasses.replace(program, model_sha256=bench.firmware.program.model_sha256)


def same_code(one: Program, other: Program) -> bool:
    """Whether both programs print to the same C but for the values of their constants."""
    first, second = render_model(one, prefix=PREFIX), render_model(other, prefix=PREFIX)
    values = f"model/{PREFIX}_weights.c"
    same_text = all(second.get(path) == text for path, text in first.items() if path != values)
    return same_text and [*map(_shape, one.constants)] == [*map(_shape, other.constants)]


def _shape(constant: ConstantArray) -> tuple[str, str, int]:
    return constant.name, constant.c_type, constant.bytes


def constant_patches(bench: Bench, other: Program) -> dict[int, bytes]:
    """{place in the image: bytes} of the constants that differ."""
    patches = {}
    for ours, theirs in zip(bench.firmware.program.constants, other.constants, strict=True):
        old, new = stored_bytes(ours), stored_bytes(theirs)
        if old != new:
            patches[bench.image.place(f"{PREFIX}_{ours.name}", old)] = new
    return patches


def stored_bytes(constant: ConstantArray) -> bytes:
    """A constant as every target stores it: little-endian."""
    values = constant.values
    return values.astype(values.dtype.newbyteorder("<")).tobytes()
