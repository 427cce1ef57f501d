"""Proves a program by executing its memory traffic, independently of how the planner made it.

Every byte of a shadow arena carries a label: which byte of which tensor it holds. The program is
replayed row by row: a read must find exactly the bytes it is meant to read, a write puts new labels
down. Overlap of live data, a read before its write, a wrong halo, a lost input or output all show
up as a label that is not the expected one. Nothing here looks at lifetimes or buffers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from exporter.errors import InternalError
from exporter.graph.ir import Graph, Op, TensorId
from exporter.ops import operator
from exporter.ops.base import Shared
from exporter.plan.program import GIVEN, Program, Stage, Step, View

UNWRITTEN = -1
FILL = -2
LABEL_STRIDE = 1 << 32
RING_TENSOR = 1 << 24
"""Rows copied into a ring are labelled as tensor RING_TENSOR + step."""

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
        self.in_place = {step.output.tensor: step.in_place for step in program.steps}
        self.content = _contents(graph, self.in_place)

    def run(self) -> None:
        self._check_coverage()
        if self.program.given is None:
            for port, tensor in zip(self.program.inputs, self.graph.inputs, strict=True):
                labels = self._labels(tensor, 0, self.graph[tensor].bytes)
                self._write(port.offset, labels, "graph input")
        for stage in self.program.stages:
            self._stage(stage)
        for port, tensor in zip(self.program.outputs, self.graph.outputs, strict=True):
            expected = self._labels(tensor, 0, self.graph[tensor].bytes)
            self._read(port.offset, expected, f"graph output {tensor}")

    def _check_coverage(self) -> None:
        """Each output is made by one step or is a view, and each step is in one stage.

        In which order does not matter here: every read must find its data.
        """
        made = Counter(step.output.tensor for step in self.program.steps)
        for step in self.program.steps:
            if made[step.output.tensor] > 1 or not _computes(self.graph, step):
                raise _defect(f"step {step.index} is no operator of the graph", step.name)
        for op in _parts(self.graph):
            if op.outputs[0] not in made and not _is_view(self.graph, op):
                raise _defect("no step computes an operator", self.graph.describe(op))
        staged = [n for s in self.program.stages for n in range(s.first, s.last + 1)]
        if staged != [step.index for step in self.program.steps]:
            raise _defect("the stages are not the steps", f"{staged}")
        given = sum(stage.order.count(GIVEN) for stage in self.program.stages)
        wanted = self.program.given.rows if self.program.given else 0
        if given != wanted:
            raise _defect("the input is not awaited as a whole", f"{given} of {wanted} rows")

    def _stage(self, stage: Stage) -> None:
        steps = self.program.steps[stage.first : stage.last + 1]
        for step in steps:
            if step.candidate.ring is not None:
                self._fill_ring(step)
        for who, image, call in _calls(stage, steps):
            if who is None:
                self._give_row(call)
            else:
                self._call(who, image, call)

    def _call(self, step: Step, image: int, call: int) -> None:
        rows = _output_rows(step, call)
        if not rows:
            raise _defect(f"step {step.index} makes a row beyond its last", step.name)
        self._clobber_scratch(step)
        if step.candidate.ring is not None:
            self._bring(step, image, call)
            self._ringed(step, image, rows)
        elif step.candidate.window is not None:
            self._row_kernel(step, image, rows)
        else:
            self._whole_kernel(step, image, rows)

    def _give_row(self, row: int) -> None:
        """The application writes a row of the input to its place."""
        view = self.program.given
        if view is None or row >= view.rows:
            raise _defect("a row of the input is awaited that there is not", str(row))
        labels = self._labels(view.tensor, row * view.row_bytes, view.row_bytes)
        self._write(_address(view, 0, row), labels, "row of the graph input")

    def _whole_kernel(self, step: Step, image: int, rows: range) -> None:
        """Row by row of those inputs that have as many rows, and all of the others."""
        for view in step.inputs:
            by_rows = view.rows == step.output.rows > 1
            for row in rows if by_rows else range(view.rows):
                self._read_row(step, view, image, row)
                self._require_kept(step, image, view, row, rows)
        self._write_rows(step, image, rows)

    def _row_kernel(self, step: Step, image: int, rows: range) -> None:
        (view,) = step.inputs
        for row in _window_rows(step, rows):
            if 0 <= row < view.rows:
                self._read_row(step, view, image, row)
                self._require_kept(step, image, view, row, rows)
        self._write_rows(step, image, rows)

    def _require_kept(self, step: Step, image: int, view: View, row: int, rows: range) -> None:
        """What a call reads must not be overwritten by the same call before that."""
        read = _address(view, image, row)
        for made in rows:
            written = _address(step.output, image, made)
            apart = all(
                written + end <= read or read + view.row_bytes <= written + start
                for start, end in self._written(step)
            )
            on_row = written == read and view.row_bytes == step.output.row_bytes
            if not (
                apart
                or (step.candidate.by_channels and on_row)
                or _moves_safely(step, view, read, written)
            ):
                raise _defect(f"step {step.index} writes over a row it still reads", step.name)

    def _fill_ring(self, step: Step) -> None:
        ring = step.candidate.ring
        assert ring is not None and step.ring_offset is not None
        self._write(step.ring_offset, np.full(ring.bytes, FILL, np.int64), f"ring {step.index}")

    def _bring(self, step: Step, image: int, call: int) -> None:
        """The rows that this call is the first to need enter the ring, as the generated loop does.

        Where the layer before writes into the ring itself, only rows outside the image do.
        """
        ring, (view,) = step.candidate.ring, step.inputs
        assert ring is not None
        if step.ring_is_input and any(
            _address(view, image, row) != self._slot(step, row) + ring.margin_bytes
            for row in range(view.rows)
        ):
            raise _defect(f"the ring of step {step.index} {step.kind} is not its input", step.name)
        rows = _window_rows(step, _output_rows(step, call))
        before = _window_rows(step, _output_rows(step, call - 1)) if call else range(0)
        for row in rows:
            if row in before:
                continue
            slot = self._slot(step, row) + ring.margin_bytes
            if not 0 <= row < view.rows:
                self._write(slot, np.full(view.row_bytes, FILL, np.int64), f"ring {step.index}")
            elif not step.ring_is_input:
                self._read_row(step, view, image, row)
                labels = _ring_labels(step, row, view.row_bytes)
                self._write(slot, labels, f"ring {step.index}")

    def _ringed(self, step: Step, image: int, rows: range) -> None:
        """The kernel reads whole padded rows: fill, the input row, fill."""
        ring, (view,) = step.candidate.ring, step.inputs
        assert ring is not None and step.ring_offset is not None
        for row in _window_rows(step, rows):
            expected = np.full(ring.pitch_bytes, FILL, np.int64)
            if 0 <= row < view.rows:
                inner = slice(ring.margin_bytes, ring.margin_bytes + view.row_bytes)
                start = image * view.image_bytes + row * view.row_bytes
                expected[inner] = (
                    self._labels(view.tensor, start, view.row_bytes)
                    if step.ring_is_input
                    else _ring_labels(step, row, view.row_bytes)
                )
            self._read(self._slot(step, row), expected, f"ring row {row} of step {step.index}")
        for row in rows:
            start = _address(step.output, image, row)
            end = step.ring_offset + ring.bytes
            written = range(start, start + step.output.row_bytes)
            _require_disjoint(step, range(step.ring_offset, end), written)
        self._write_rows(step, image, rows)

    def _slot(self, step: Step, row: int) -> int:
        ring, window = step.candidate.ring, step.candidate.window
        assert ring is not None and window is not None and step.ring_offset is not None
        return step.ring_offset + (row + window.before) % ring.slots * ring.pitch_bytes

    def _write_rows(self, step: Step, image: int, rows: range) -> None:
        for row in rows:
            self._require_apart_from_scratch(step, image, row)
            self._write_row(step, image, row)

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
        first = image * view.image_bytes + row * view.row_bytes
        for start, end in self._written(step):
            labels = self._labels(view.tensor, first + start, end - start)
            self._write(_address(view, image, row) + start, labels, f"output of step {step.index}")

    def _written(self, step: Step) -> list[tuple[int, int]]:
        """The bytes of an output row that a call writes: not those of what is there already."""
        ends = [0, step.output.row_bytes]
        for part in _parts_in_place(self.graph, step.output.tensor, step.in_place):
            ends += [part.offset, part.offset + self.graph[part.part].bytes]
        ends.sort()
        return list(zip(ends[::2], ends[1::2], strict=True))

    def _labels(self, tensor: TensorId, start: int, size: int) -> Shadow:
        root, offset = self.content[tensor]
        first = root * LABEL_STRIDE + offset + start
        return np.arange(first, first + size, dtype=np.int64)

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


def _parts(graph: Graph) -> list[Op]:
    """The operators, those with several outputs as one for each of them."""
    return [part for op in graph.ops for part in op.parts]


def _computes(graph: Graph, step: Step) -> bool:
    """Whether a step reads and makes what its operator in the graph does."""
    for op in graph.ops:
        if op.index == step.op_index and step.output.tensor in op.outputs:
            read = [
                tensor
                for position, tensor in enumerate(op.inputs)
                if tensor is not None
                and not graph[tensor].is_constant
                and position not in step.in_place
            ]
            return op.kind == step.kind and [view.tensor for view in step.inputs] == read
    return False


def _is_view(graph: Graph, op: Op) -> bool:
    """Whether no byte of the output is left to be computed."""
    shared = operator(op.kind).shared_bytes(graph, op)
    parts = sum(graph[item.part].bytes for item in shared)
    return bool(shared) and parts == graph[op.outputs[0]].bytes


def _parts_in_place(graph: Graph, made: TensorId, in_place: Collection[int]) -> tuple[Shared, ...]:
    """The inputs at these positions as parts of what their operator makes, a whole tensor."""
    if not in_place:
        return ()
    op = next(op for op in _parts(graph) if made in op.outputs)
    shared = operator(op.kind).shared_bytes(graph, op)
    if any(item.whole != made for item in shared) or not {*in_place} <= {*range(len(shared))}:
        raise _defect("a step leaves out what is no part of its output", graph.describe(op))
    return tuple(shared[position] for position in in_place)


def _contents(
    graph: Graph, made: Mapping[TensorId, tuple[int, ...]]
) -> dict[TensorId, tuple[TensorId, int]]:
    """The tensor whose bytes each tensor holds, and from which one on.

    What no step has made is a view: its operator says which tensors are parts of which. `made`: of
    what a step has made, the inputs that are parts of it. As each is a part of one other at most, a
    byte of the outermost stands for one value.
    """
    content = {tensor: (tensor, 0) for tensor in graph.tensors}
    for op in _parts(graph):
        output = op.outputs[0]
        for shared in (
            _parts_in_place(graph, output, made[output])
            if output in made
            else operator(op.kind).shared_bytes(graph, op)
        ):
            root, start = content[shared.part]
            whole, offset = content[shared.whole]
            end = shared.offset + graph[shared.part].bytes
            if (
                root == whole
                or graph[root].is_constant
                or graph[whole].is_constant
                or (start, graph[root].bytes) != (0, graph[shared.part].bytes)
                or not 0 <= shared.offset <= end <= graph[shared.whole].bytes
            ):
                raise _defect("a view is part of what it cannot be part of", graph.describe(op))
            for tensor, (other, at) in content.items():
                if other == root:
                    content[tensor] = (whole, offset + shared.offset + at)
    return content


def _calls(stage: Stage, steps: tuple[Step, ...]) -> Iterator[tuple[Step | None, int, int]]:
    """(step, image, call) in the order of the generated code; no step: a row of the input."""
    if stage.is_group:
        made: Counter[int] = Counter()
        for index in stage.order:
            yield None if index == GIVEN else steps[index - stage.first], 0, made[index]
            made[index] += 1
    else:
        (step,) = steps
        calls = range(-(-step.output.rows // step.candidate.rows_per_call))
        for image in range(step.candidate.images):
            for call in reversed(calls) if stage.backward else calls:
                yield step, image, call


def _output_rows(step: Step, call: int) -> range:
    """The output rows of one call."""
    first = call * step.candidate.rows_per_call
    return range(first, min(first + step.candidate.rows_per_call, step.output.rows))


def _window_rows(step: Step, rows: range) -> range:
    """The input rows that one call is given, also those outside the image."""
    window = step.candidate.window
    assert window is not None
    top = rows.start * window.stride - window.before
    extent = (window.size - 1) * window.dilation + 1
    return range(top, top + (step.candidate.rows_per_call - 1) * window.stride + extent)


def _moves_safely(step: Step, view: View, read: int, written: int) -> bool:
    """Whether a kernel that goes along its row has read each pixel before it writes there.

    `read`, `written`: where in the arena the input row and the output row begin.
    """
    tiling = step.candidate.tiling
    if tiling is None:
        return False
    sizes = (view.row_bytes, step.output.row_bytes)
    if sizes != (tiling.pixels * tiling.input_bytes, tiling.pixels * tiling.output_bytes):
        return False
    if tiling.tile == 1 and tiling.reads_first and tiling.input_bytes == tiling.output_bytes:
        return written <= read
    starts, ends = tiling.tiles()
    owner = np.full(view.row_bytes, -1)  # the last tile that reads each byte of the input row
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        owner[start * tiling.input_bytes : end * tiling.input_bytes] = number
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        low = written + int(start) * tiling.output_bytes - read
        high = written + int(end) * tiling.output_bytes - read
        hit = owner[max(low, 0) : max(high, 0)]
        if np.any(hit > number if tiling.reads_first else hit >= number):
            return False
    return True


def _ring_labels(step: Step, row: int, size: int) -> Shadow:
    start = (RING_TENSOR + step.index) * LABEL_STRIDE + row * size
    return np.arange(start, start + size, dtype=np.int64)


def _require_disjoint(step: Step, in_use: range, written: range) -> None:
    """A kernel reads and writes by turns: it must not write over what it still reads."""
    if written.start < in_use.stop and in_use.start < written.stop:
        raise _defect(f"step {step.index} writes over bytes that it still reads", step.name)


def _address(view: View, image: int, row: int) -> int:
    slot = (row + view.phase) % view.slots
    return view.offset + image * view.image_bytes + slot * view.pitch_bytes


def _name(label: np.int64) -> str:
    if label == UNWRITTEN:
        return "nothing written yet"
    if label == FILL:
        return "padding"
    tensor, byte = divmod(int(label), LABEL_STRIDE)
    return f"byte {byte} of {'a ring' if tensor >= RING_TENSOR else f'tensor {tensor}'}"


def _defect(what: str, value: str) -> InternalError:
    return InternalError(
        f"the plan is wrong: {what}", value=value, next_step="report this defect with the model"
    )
