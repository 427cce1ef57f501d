"""Outputs that are right, but not there: permuted, or those of an earlier inference."""

from __future__ import annotations

import dataclasses
from collections import Counter
from itertools import combinations

import numpy as np

from exporter.hil.controls.base import (
    MOST_DRAWS,
    Array,
    Bench,
    Control,
    Outcome,
    Rng,
    nothing_found,
)
from exporter.hil.controls.relay import READ_REQUEST, Tamper
from exporter.hil.verify import Verification
from exporter.link import frames
from exporter.link.messages import Command, Message


class PermutedOutputs(Control):
    """Two elements of an output change places, or two outputs of the same size do."""

    name = "permuted outputs"
    proves = "every element is compared at its own place"

    def not_applicable(self, bench: Bench) -> str | None:
        """See Control."""
        outputs = bench.expected[0]
        if _exchangeable(outputs) or any(output.size > 1 for output in outputs):
            return None
        return "each output has one element, and no two are of one size"

    def run(self, bench: Bench, rng: Rng) -> Outcome:
        """See Control."""
        redrawn = Counter[str]()
        for _ in range(MOST_DRAWS):
            drawn = _draw(bench, rng)
            chosen = [n for n, outputs in enumerate(bench.expected) if drawn.changes(outputs)]
            if not chosen:
                redrawn["changes no output"] += 1
                continue
            outcome = _compared(bench, drawn, drawn.place, chosen[:1], redrawn)
            if drawn.changed:
                return outcome
            redrawn["came in two replies"] += 1
        return nothing_found(redrawn)


class StuckOutput(Control):
    """The output of the first inference is answered for ever."""

    name = "stuck output buffer"
    proves = "each inference is judged by its own output"

    def not_applicable(self, bench: Bench) -> str | None:
        """See Control."""
        first = bench.expected[0]
        if all(_same(first, outputs) for outputs in bench.expected):
            return "every vector gives the same outputs"
        return None

    def run(self, bench: Bench, rng: Rng) -> Outcome:
        """See Control."""
        redrawn = Counter[str]()
        for _ in range(MOST_DRAWS):
            output = int(rng.integers(len(bench.expected[0])))
            first, second = map(int, rng.choice(len(bench.vectors), 2, replace=False))
            if not np.array_equal(bench.expected[first][output], bench.expected[second][output]):
                stuck = Stuck(len(bench.firmware.program.inputs) + output)
                place = f"output {output} stuck at that of vector {first}"
                return _compared(bench, stuck, place, [first, second], redrawn)
            redrawn["changes no output"] += 1
        return nothing_found(redrawn)


def _compared(
    bench: Bench, tamper: Tamper, place: str, chosen: list[int], redrawn: Counter[str]
) -> Outcome:
    """The ordinary comparison with `tamper` in place."""
    with bench.tampered(tamper) as device:
        result: Verification = bench.verify(device, chosen)
    if not tamper.changed:
        return Outcome("missed", place, "the fault never took place", redrawn)
    if not result.mismatches:
        return Outcome("missed", place, "the outputs were taken for equal", redrawn)
    return Outcome("caught", place, result.mismatches[0].describe(), redrawn)


def _same(one: list[Array], other: list[Array]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


# --- on the way ----------------------------------------------------------------------------------


class Swap(Tamper):
    """Elements `i` and `j`, of `item_bytes` each, of output `output` change places.

    One reply is all that is seen at a time: nothing is changed where each comes in its own.
    """

    def __init__(self, tensor: int, output: int, i: int, j: int, item_bytes: int) -> None:
        super().__init__()
        self.place = f"elements {i} and {j} of output {output}"
        self._tensor, self._output = tensor, output
        self._i, self._j, self._item_bytes = i, j, item_bytes

    def changes(self, outputs: list[Array]) -> bool:
        """Whether these outputs would be others."""
        flat = outputs[self._output].reshape(-1)
        return bool(flat[self._i] != flat[self._j])

    def reply(self, message: Message, frame: bytes, read: tuple[int, int] | None) -> bytes:
        """See Tamper."""
        if read is None or read[0] != self._tensor:
            return frame
        size = self._item_bytes
        i, j = self._i * size - read[1], self._j * size - read[1]
        data = bytearray(message.payload)
        if not (0 <= i <= len(data) - size and 0 <= j <= len(data) - size):
            return frame
        data[i : i + size], data[j : j + size] = data[j : j + size], data[i : i + size]
        return with_payload(message, bytes(data))


class Exchange(Tamper):
    """The device is asked for output `b` where the host means `a`, and the other way round."""

    def __init__(self, first: int, a: int, b: int) -> None:
        super().__init__()
        self.place = f"outputs {a} and {b}"
        self._outputs = a, b
        self._other = {first + a: first + b, first + b: first + a}

    def changes(self, outputs: list[Array]) -> bool:
        """Whether these outputs would be others."""
        a, b = (outputs[index] for index in self._outputs)
        return a.tobytes() != b.tobytes()

    def request(self, message: Message, frame: bytes) -> bytes:
        """See Tamper."""
        if message.command != Command.READ:
            return frame
        tensor, offset, count = READ_REQUEST.unpack(message.payload)
        if tensor not in self._other:
            return frame
        return with_payload(message, READ_REQUEST.pack(self._other[tensor], offset, count))


class Stuck(Tamper):
    """The first contents of `tensor` that are read are given ever after, in whatever portions."""

    def __init__(self, tensor: int) -> None:
        super().__init__()
        self._tensor = tensor
        self._first: dict[int, int] = {}

    def reply(self, message: Message, frame: bytes, read: tuple[int, int] | None) -> bytes:
        """See Tamper."""
        if read is None or read[0] != self._tensor:
            return frame
        bytes_read = enumerate(message.payload, start=read[1])
        return with_payload(message, bytes(self._first.setdefault(*one) for one in bytes_read))


def with_payload(message: Message, payload: bytes) -> bytes:
    """The frame of `message` with another payload, its CRC valid."""
    return frames.encode(dataclasses.replace(message, payload=payload).encode())


def _draw(bench: Bench, rng: Rng) -> Swap | Exchange:
    """Two outputs of one size, or two elements of an output that may come in one reply."""
    outputs, first = bench.expected[0], len(bench.firmware.program.inputs)
    pairs = _exchangeable(outputs)
    large = [index for index, output in enumerate(outputs) if output.size > 1]
    choice = int(rng.integers(len(pairs) + len(large)))
    if choice < len(pairs):
        return Exchange(first, *pairs[choice])
    index = large[choice - len(pairs)]
    items = bench.device.identity.max_payload // outputs[index].itemsize
    i = int(rng.integers(outputs[index].size))
    portion = range(i // items * items, min(i // items * items + items, outputs[index].size))
    j = int(rng.choice(portion))
    return Swap(first + index, index, i, j, outputs[index].itemsize)


def _exchangeable(outputs: list[Array]) -> list[tuple[int, int]]:
    numbers = combinations(range(len(outputs)), 2)
    return [(a, b) for a, b in numbers if outputs[a].nbytes == outputs[b].nbytes]
