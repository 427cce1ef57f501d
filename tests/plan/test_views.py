"""Inputs that are made in place: what is left to write, how small arenas get, and faults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from exporter.errors import InternalError
from exporter.graph.ir import Graph
from exporter.ops.base import Target
from exporter.plan.check import check
from exporter.plan.program import Program, Step
from tests import random_layers as layers
from tests import random_shape_layers as shapes
from tests.ops.harness import compile_graph
from tests.plan.random_graphs import random_joins
from tests.plan.test_planner import Model

ROW = 16
"""Bytes of a row of the images here: 4 pixels, 4 channels."""
IMAGE = 4 * ROW
ROWS, COLUMNS = [(0, 0), (1, 2), (0, 0), (0, 0)], [(0, 0), (0, 0), (1, 2), (0, 0)]


def model() -> Model:
    return Model((1, 4, 4, 4))


def pad(m: Model, x: int, amounts: list[tuple[int, int]], value: int | None = None) -> int:
    return shapes.pad(m.builder, m.rng, x, amounts, value)


def constant(m: Model, rows: int) -> int:
    return shapes.constant_like(m.builder, m.rng, m.x, (1, rows, 4, 4))


def steps_of(program: Program, *kinds: str) -> list[Step]:
    return [step for step in program.steps if step.kind in kinds]


def made_in_place(program: Program) -> list[tuple[int, ...]]:
    return [step.in_place for step in steps_of(program, "PAD", "PADV2", "CONCATENATION")]


@pytest.mark.parametrize("value", [None, -5])
def test_rows_around_an_input_are_all_that_a_pad_writes(value: int | None) -> None:
    m = model()
    program = m.plan(pad(m, m.x, ROWS, value))
    (step,) = program.steps
    assert step.inputs == () and step.candidate.kernel == "generic/pad_border"
    assert program.inputs[0].offset == program.outputs[0].offset + ROW
    assert program.arena_bytes == 7 * ROW


def test_a_layer_makes_its_output_between_the_rows_of_a_pad() -> None:
    m = model()
    program = m.fastest(m.pool(pad(m, m.relu(m.x), ROWS)))
    (border,) = steps_of(program, "PAD")
    (relu,) = steps_of(program, "RELU")
    assert relu.output.offset == border.output.offset + ROW


def test_a_vector_gets_its_ends() -> None:
    m = model()
    flat = m.reshape(m.x, (64,))
    program = m.plan(pad(m, flat, [(4, 3)]))
    assert made_in_place(program) == [(0,)] and program.arena_bytes == 4 + 64 + 3


def test_an_input_that_comes_in_pieces_or_off_a_word_is_copied() -> None:
    m = model()
    assert made_in_place(m.fastest(pad(m, m.x, COLUMNS))) == [()]
    m = model()
    assert made_in_place(m.fastest(pad(m, m.reshape(m.x, (64,)), [(3, 0)]))) == [()]


def test_a_graph_input_is_part_of_what_it_is_joined_to() -> None:
    m = model()
    program = m.plan(m.join(m.x, m.pool(m.x)))
    assert not steps_of(program, "CONCATENATION")
    assert program.inputs[0].offset == program.outputs[0].offset
    assert program.arena_bytes < 3 * IMAGE


def test_a_graph_output_is_part_of_another() -> None:
    m = model()
    pooled = m.pool(m.relu(m.x))
    program = m.plan(pooled, m.join(m.pool(pooled), pooled))
    part, whole = program.outputs
    assert part.offset == whole.offset + IMAGE and not steps_of(program, "CONCATENATION")


def test_constants_are_copied_around_what_is_in_place() -> None:
    m = model()
    relu = m.relu(m.x)
    rows = shapes.constant_like(m.builder, m.rng, relu, (1, 2, 4, 4))
    program = m.fastest(m.pool(m.join(rows, relu)))
    (step,) = steps_of(program, "CONCATENATION")
    assert step.in_place == (1,) and step.inputs == () and len(step.constants) == 1


def test_what_is_joined_to_itself_is_copied_once() -> None:
    m = model()
    pooled = m.pool(m.x)
    (step,) = steps_of(m.fastest(m.relu(m.join(pooled, pooled))), "CONCATENATION")
    assert step.in_place == (0,) and len(step.inputs) == 1
    assert step.inputs[0].offset == step.output.offset


def test_an_input_stays_apart_where_the_larger_buffer_would_live_too_long() -> None:
    """A graph input is there from the start, and with it all of what it is joined to."""
    m = model()
    wide = layers.conv_2d(m.builder, m.rng, m.x, 32, (1, 1))
    narrow = layers.conv_2d(m.builder, m.rng, wide, 4, (1, 1))
    program = m.plan(m.relu(m.join(m.x, *[narrow] * 6)))
    together = 7 * IMAGE + 8 * IMAGE  # the joined tensor, and the wide one beside it
    assert program.arena_bytes < together


def test_what_nobody_reads_of_a_part_is_not_written_over_other_data() -> None:
    """Of what is joined to a graph input only that input is read, best before the rest is made."""
    m = Model((1, 3, 3, 2))
    other = layers.activation_tensor(m.builder, m.rng, (1, 3, 3, 2))
    wide = layers.conv_2d(m.builder, m.rng, other, 16, (1, 1))
    joined = m.join(m.x, layers.conv_2d(m.builder, m.rng, wide, 2, (1, 1)))
    alone = shapes.slice_box(m.builder, m.rng, joined, [0, 0, 0, 0], [1, 3, 3, 2])
    hidden = layers.conv_2d(m.builder, m.rng, alone, 16, (1, 1))
    last = layers.conv_2d(m.builder, m.rng, hidden, 1, (1, 1))
    program = m.plan(last, wide, inputs=(m.x, other))
    assert made_in_place(program) == [(0,)]
    assert [step.output.tensor for step in program.steps].index(last) == 1


SEEDS = range(24)


def with_parts() -> Iterator[tuple[Graph, Program, Step]]:
    """Programs and their steps that write the rest of a tensor."""
    for seed in SEEDS:
        graph, program = compile_graph(random_joins(seed), Target(ram_for_time=5 * (seed % 2)))
        for step in program.steps:
            if step.in_place:
                yield graph, program, step


def faults(program: Program, step: Step) -> Iterator[Program]:
    """The step gone, one that says that it makes everything or less, one that writes elsewhere."""
    yield replace(program, steps=tuple(s for s in program.steps if s is not step))
    for in_place in ((), step.in_place[1:], (*step.in_place, step.in_place[-1] + 1)):
        if in_place != step.in_place:
            yield _with(program, replace(step, in_place=in_place))
    moved = replace(step.output, offset=step.output.offset + 4)
    yield _with(program, replace(step, output=moved))


def _with(program: Program, step: Step) -> Program:
    steps = [*program.steps]
    steps[step.index] = step
    return replace(program, steps=tuple(steps))


def test_faults_of_steps_that_write_the_rest_are_found() -> None:
    count = 0
    for graph, program, step in with_parts():
        for broken in faults(program, step):
            count += 1
            with pytest.raises(InternalError, match="the plan is wrong"):
                check(broken, graph)
    assert count > 100


def test_parts_made_elsewhere_are_found() -> None:
    """What makes an input, or the application, puts it beside its place."""
    count = 0
    for graph, program, step in with_parts():
        op = next(op for op in graph.ops if op.index == step.op_index)
        for part in (op.input(position) for position in step.in_place):
            for made in (s for s in program.steps if s.output.tensor == part):
                count += 1
                moved = replace(made.output, offset=made.output.offset - 4)
                with pytest.raises(InternalError, match="the plan is wrong"):
                    check(_with(program, replace(made, output=moved)), graph)
            for n, port in enumerate(program.inputs):
                if port.tensor.id == part:
                    count += 1
                    ports = [*program.inputs]
                    ports[n] = replace(port, offset=port.offset + 4)
                    with pytest.raises(InternalError, match="the plan is wrong"):
                        check(replace(program, inputs=tuple(ports)), graph)
    assert count > 40
