"""Proves a program by executing its memory traffic, independently of how the planner made it.

Every byte of a shadow arena carries a label: which byte of which tensor it holds. The program is
replayed row by row: a read must find exactly the bytes it is meant to read, a write puts new labels
down. Overlap of live data, a read before its write, a wrong halo, a lost input or output all show
up as a label that is not the expected one. Nothing here looks at lifetimes or buffers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from exporter.errors import InternalError
from exporter.graph.ir import Graph, TensorId
from exporter.ops import operator
from exporter.plan.program import Program, Step, View

UNWRITTEN = -1
RING_FILL = -2
LABEL_STRIDE = 1 << 32
RING_TENSOR = 1 << 24
"""Ring contents are labelled as tensor RING_TENSOR + step."""

Shadow = npt.NDArray[np.int64]


def check(program: Program, graph: Graph) -> Program:
    """Return `program` if it computes `graph` with every byte where it must be.

    Raises:
        InternalError: it does not; the message names the step and the operand.
    """
    replay = _Replay(program, graph)
    replay.run()
    return program


class _Replay:
    def __init__(self, program: Program, graph: Graph) -> None:
        self.program = program
        self.graph = graph
        self.shadow: Shadow = np.full(program.arena_bytes, UNWRITTEN, np.int64)
        self.content = _contents(graph)

    def run(self) -> None:
        self._check_coverage()
        for port, tensor in zip(self.program.inputs, self.graph.inputs, strict=True):
            self._write(
                port.offset, self._labels(tensor, 0, self.graph[tensor].bytes), "graph input"
            )
        for step in self.program.steps:
            for image in range(step.candidate.images):
                self._image(step, image)
        for port, tensor in zip(self.program.outputs, self.graph.outputs, strict=True):
            expected = self._labels(tensor, 0, self.graph[tensor].bytes)
            self._read(port.offset, expected, f"graph output {tensor}")

    def _check_coverage(self) -> None:
        """Every operator that computes something has exactly one step, in the graph's order."""
        computing = [op.index for op in self.graph.ops if not operator(op.kind).is_view]
        planned = [step.op_index for step in self.program.steps]
        if computing != planned:
            raise _defect("the steps are not the graph's operators", f"{planned} for {computing}")

    def _image(self, step: Step, image: int) -> None:
        if step.candidate.window is None:
            self._whole(step, image)
        elif step.candidate.ring is None:
            for rows in _calls(step):
                self._clobber_scratch(step)
                for wanted in _window_rows(step, rows):
                    self._read_row(step, step.inputs[0], image, wanted)
                    for row in rows:
                        _require_apart(step, image, wanted, row)
                for row in rows:
                    self._require_apart_from_scratch(step, image, row)
                    self._write_row(step, image, row)
        else:
            self._ringed(step, image)

    def _whole(self, step: Step, image: int) -> None:
        """Inputs are read while scratch and output are written: only in place may they overlap."""
        self._clobber_scratch(step)
        output = range(step.output.offset, step.output.end)
        for view in step.inputs:
            for row in range(view.rows):
                self._read_row(step, view, image, row)
            if step.candidate.rereads or (view.offset, view.end) != (output.start, output.stop):
                _require_disjoint(step, range(view.offset, view.end), output)
        if step.scratch_offset is not None:
            end = step.scratch_offset + step.candidate.scratch_bytes
            _require_disjoint(step, range(step.scratch_offset, end), output)
        for row in range(step.output.rows):
            self._write_row(step, image, row)

    def _ringed(self, step: Step, image: int) -> None:
        """Rows enter the ring as the generated loop brings them, and are read from there."""
        ring, window = step.candidate.ring, step.candidate.window
        assert ring is not None and window is not None and step.ring_offset is not None
        self._write(
            step.ring_offset, np.full(ring.bytes, RING_FILL, np.int64), f"ring {step.index}"
        )
        ready, view = 0, step.inputs[0]
        for rows in _calls(step):
            while ready < min(view.rows, rows[-1] * window.stride - window.before + window.extent):
                self._read_row(step, view, image, ready)
                slot = step.ring_offset + ready % ring.slots * ring.pitch_bytes
                labels = _ring_labels(step, ready, view.row_bytes)
                self._write(slot + ring.margin_bytes, labels, f"ring {step.index}")
                ready += 1
            self._clobber_scratch(step)
            for wanted in _window_rows(step, rows):
                self._read_ring(step, wanted)
            for row in rows:
                start = _address(step.output, image, row)
                written = range(start, start + step.output.row_bytes)
                end = step.ring_offset + ring.bytes
                _require_disjoint(step, range(step.ring_offset, end), written)
                self._require_apart_from_scratch(step, image, row)
                self._write_row(step, image, row)

    def _read_ring(self, step: Step, row: int) -> None:
        """A whole padded row: fill, the input row, fill."""
        ring, row_bytes = step.candidate.ring, step.inputs[0].row_bytes
        assert ring is not None and step.ring_offset is not None
        after = ring.pitch_bytes - ring.margin_bytes - row_bytes
        expected = np.concatenate(
            [
                np.full(ring.margin_bytes, RING_FILL, np.int64),
                _ring_labels(step, row, row_bytes),
                np.full(after, RING_FILL, np.int64),
            ]
        )
        slot = step.ring_offset + row % ring.slots * ring.pitch_bytes
        self._read(slot, expected, f"ring row {row} of step {step.index}")
        outside = step.ring_offset + ring.slots * ring.pitch_bytes
        fill = np.full(ring.pitch_bytes, RING_FILL, np.int64)
        self._read(outside, fill, f"padding row of step {step.index}")

    def _require_apart_from_scratch(self, step: Step, image: int, row: int) -> None:
        if step.scratch_offset is not None:
            start = _address(step.output, image, row)
            scratch = range(step.scratch_offset, step.scratch_offset + step.candidate.scratch_bytes)
            _require_disjoint(step, scratch, range(start, start + step.output.row_bytes))

    def _clobber_scratch(self, step: Step) -> None:
        if step.scratch_offset is not None:
            size = step.candidate.scratch_bytes
            self._write(step.scratch_offset, np.full(size, UNWRITTEN, np.int64), "scratch")

    def _read_row(self, step: Step, view: View, image: int, row: int) -> None:
        start = image * view.image_bytes + row * view.row_bytes
        expected = self._labels(view.tensor, start, view.row_bytes)
        what = f"row {row} of tensor {view.tensor} at step {step.index} {step.kind} '{step.name}'"
        self._read(_address(view, image, row), expected, what)

    def _write_row(self, step: Step, image: int, row: int) -> None:
        view = step.output
        start = image * view.image_bytes + row * view.row_bytes
        labels = self._labels(view.tensor, start, view.row_bytes)
        self._write(_address(view, image, row), labels, f"output of step {step.index}")

    def _labels(self, tensor: TensorId, start: int, size: int) -> Shadow:
        return np.arange(start, start + size, dtype=np.int64) + self.content[tensor] * LABEL_STRIDE

    def _write(self, offset: int, labels: Shadow, what: str) -> None:
        if offset < 0 or offset + len(labels) > len(self.shadow):
            raise _defect(f"{what} is written outside the arena", f"{offset} + {len(labels)} bytes")
        self.shadow[offset : offset + len(labels)] = labels

    def _read(self, offset: int, expected: Shadow, what: str) -> None:
        found = self.shadow[offset : offset + len(expected)]
        if offset < 0 or len(found) < len(expected):
            raise _defect(f"{what} is read outside the arena", f"{offset} + {len(expected)} bytes")
        wrong = np.flatnonzero(found != expected)
        if len(wrong):
            at = int(wrong[0])
            raise _defect(
                f"{what} is not in place", f"arena byte {offset + at} holds {_name(found[at])}"
            )


def _contents(graph: Graph) -> dict[TensorId, TensorId]:
    """The tensor whose bytes each tensor holds: views hold those of their input."""
    content = {tensor: tensor for tensor in graph.tensors}
    for op in graph.ops:
        if operator(op.kind).is_view:
            content[op.outputs[0]] = content[op.input(0)]
    return content


def _calls(step: Step) -> Iterator[range]:
    """The output rows of each call of a row kernel."""
    size = step.candidate.rows_per_call
    for first in range(0, step.output.rows, size):
        yield range(first, min(first + size, step.output.rows))


def _window_rows(step: Step, rows: range) -> list[int]:
    """The input rows inside the image that the output rows of one call need."""
    window = step.candidate.window
    assert window is not None
    wanted = {
        row * window.stride - window.before + k * window.dilation
        for row in rows
        for k in range(window.size)
    }
    return sorted(row for row in wanted if 0 <= row < step.inputs[0].rows)


def _require_apart(step: Step, image: int, read: int, written: int) -> None:
    """A kernel that re-reads its rows must not write over them in the same call."""
    start, output = _address(step.inputs[0], image, read), _address(step.output, image, written)
    overlap = start < output + step.output.row_bytes and output < start + step.inputs[0].row_bytes
    if step.candidate.rereads and overlap:
        raise _defect(f"step {step.index} writes over a row it still reads", step.name)


def _ring_labels(step: Step, row: int, size: int) -> Shadow:
    start = (RING_TENSOR + step.index) * LABEL_STRIDE + row * size
    return np.arange(start, start + size, dtype=np.int64)


def _require_disjoint(step: Step, in_use: range, written: range) -> None:
    """A kernel reads and writes by turns: it must not write over what it still reads."""
    if written.start < in_use.stop and in_use.start < written.stop:
        raise _defect(f"step {step.index} writes over bytes that it still reads", step.name)


def _address(view: View, image: int, row: int) -> int:
    return view.offset + image * view.image_bytes + row % view.slots * view.pitch_bytes


def _name(label: np.int64) -> str:
    if label == UNWRITTEN:
        return "nothing written yet"
    if label == RING_FILL:
        return "padding"
    tensor, byte = divmod(int(label), LABEL_STRIDE)
    return f"byte {byte} of {'a ring' if tensor >= RING_TENSOR else f'tensor {tensor}'}"


def _defect(what: str, value: str) -> InternalError:
    return InternalError(
        f"the plan is wrong: {what}", value=value, next_step="report this defect with the model"
    )
