"""The checker finds seeded faults: every offset of every step, ring and port, moved.

A fault that changes what some layer reads must be found. Moving a ring is harmless where it lands
on bytes that nobody needs; that such plans are right is shown by running them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from exporter.errors import BadInput, InternalError
from exporter.graph.ir import Graph
from exporter.ops.base import Target
from exporter.plan.check import check
from exporter.plan.program import Program, Stage, Step, View
from tests.ops import harness
from tests.ops.harness import compile_graph
from tests.plan.random_graphs import random_graph, random_joins, random_stack

SEEDS = range(25)
Fault = tuple[str, Program]
Faults = Callable[[random.Random, Program], Iterator[Fault]]


TARGETS = (Target(), Target(ram_for_time=1000), Target(instruction_set="dsp", ram_for_time=0))


MODELS = (random_graph, random_stack, random_joins, random_stack)


def planned(seed: int) -> tuple[Graph, Program]:
    """A random model of one kind or another, under one of the targets."""
    return compile_graph(MODELS[seed % len(MODELS)](seed), TARGETS[seed % len(TARGETS)])


def detected(program: Program, graph: Graph) -> bool:
    try:
        check(program, graph)
    except InternalError:
        return True
    return False


def _with_step(program: Program, step: Step) -> Program:
    steps = [*program.steps]
    steps[step.index] = step
    return replace(program, steps=tuple(steps))


def _moves(rng: random.Random, offset: int, program: Program) -> Iterator[int]:
    """Other offsets: near by, anywhere, and outside."""
    anywhere = rng.randrange(max(program.arena_bytes, 2))
    for moved in (offset + 1, offset - 4, anywhere, -4, program.arena_bytes):
        if moved != offset:
            yield moved


def _moved_inputs(rng: random.Random, program: Program) -> Iterator[Fault]:
    for step in program.steps:
        for position, view in enumerate(step.inputs):
            for offset in _moves(rng, view.offset, program):
                inputs = [*step.inputs]
                inputs[position] = replace(view, offset=offset)
                text = f"step {step.index} {step.kind} input {position} to {offset}"
                yield text, _with_step(program, replace(step, inputs=tuple(inputs)))


def _moved_outputs(rng: random.Random, program: Program) -> Iterator[Fault]:
    for step in program.steps:
        for offset in _moves(rng, step.output.offset, program):
            output = replace(step.output, offset=offset)
            text = f"step {step.index} {step.kind} output to {offset}"
            yield text, _with_step(program, replace(step, output=output))


def _moved_rings(rng: random.Random, program: Program) -> Iterator[Fault]:
    for step in program.steps:
        if step.ring_offset is not None:
            for offset in _moves(rng, step.ring_offset, program):
                text = f"step {step.index} {step.kind} ring to {offset}"
                yield text, _with_step(program, replace(step, ring_offset=offset))


def _moved_ports(rng: random.Random, program: Program) -> Iterator[Fault]:
    """Only inputs that are read: nothing shows where another one is."""
    read = {view.tensor for step in program.steps for view in step.inputs}
    for position, port in enumerate(program.inputs):
        for offset in _moves(rng, port.offset, program):
            if port.tensor.id in read:
                ports = [*program.inputs]
                ports[position] = replace(port, offset=offset)
                yield f"input {position} to {offset}", replace(program, inputs=tuple(ports))
    for position, port in enumerate(program.outputs):
        for offset in _moves(rng, port.offset, program):
            ports = [*program.outputs]
            ports[position] = replace(port, offset=offset)
            yield f"output {position} to {offset}", replace(program, outputs=tuple(ports))


@pytest.mark.parametrize("faults", [_moved_inputs, _moved_outputs, _moved_ports])
def test_every_moved_operand_and_port_is_found(faults: Faults) -> None:
    missed, count = [], 0
    for seed in SEEDS:
        graph, program = planned(seed)
        for text, broken in faults(random.Random(seed), program):
            count += 1
            if not detected(broken, graph):
                missed.append(f"seed {seed} {text}")
    assert count > 100
    assert not missed, f"{len(missed)} of {count} missed:\n" + "\n".join(missed[:20])


def _ring_bytes(step: Step) -> int:
    assert step.candidate.ring is not None
    return step.candidate.ring.bytes


def _overlap(start: int, size: int, view: View) -> bool:
    return start < view.end and view.offset < start + size


def test_rings_over_their_layers_operands_are_found() -> None:
    missed, count = [], 0
    for seed in SEEDS:
        graph, program = planned(seed)
        for text, broken in _moved_rings(random.Random(seed), program):
            step = next(
                a for a, b in zip(broken.steps, program.steps, strict=True)
                if a.ring_offset != b.ring_offset
            )  # fmt: skip
            assert step.ring_offset is not None
            over_output = _overlap(step.ring_offset, _ring_bytes(step), step.output)
            outside = not 0 <= step.ring_offset <= program.arena_bytes - _ring_bytes(step)
            if over_output or outside:
                count += 1
                if not detected(broken, graph):
                    missed.append(f"seed {seed} {text}")
    assert count > 20
    assert not missed, f"{len(missed)} of {count} missed:\n" + "\n".join(missed[:20])


def _grouped() -> Iterator[tuple[Graph, Program, int]]:
    """Programs with a group, and which of their stages it is; some with the input by rows."""
    for seed in range(40):
        target = Target(instruction_set="dsp", ram_for_time=1000, input_by_rows=seed % 2 == 0)
        try:
            graph, program = compile_graph(random_stack(seed), target)
        except BadInput:
            continue  # the first layer is not made by rows
        for number, stage in enumerate(program.stages):
            if stage.is_group:
                yield graph, program, number


def _with_stage(program: Program, number: int, stage: Stage) -> Program:
    stages = [*program.stages]
    stages[number] = stage
    return replace(program, stages=tuple(stages))


def test_calls_left_out_repeated_and_too_early_are_found() -> None:
    count = 0
    for graph, program, number in _grouped():
        stage = program.stages[number]
        order = stage.order
        late = next(i for i, step in enumerate(order) if step != order[0])
        # The first call of a later layer, before those that make what it reads.
        early = (order[late], *order[:late], *order[late + 1 :])
        faults = [order[1:], (*order, order[-1]), early]
        if stage is program.stages[-1]:
            faults.append(order[:-1])  # elsewhere nobody may need the last row
        for broken in faults:
            count += 1
            assert detected(_with_stage(program, number, replace(stage, order=broken)), graph)
    assert count > 60


def test_a_row_too_few_is_found() -> None:
    """Of a tensor of which few rows exist at a time, for the one that makes it and all readers."""
    count = 0
    for graph, program, _ in _grouped():
        for step in program.steps:
            if not step.output.is_whole and step.output.slots > 1:
                count += 1
                assert detected(_with_fewer_slots(program, step.output), graph)
    assert count > 20


def _with_fewer_slots(program: Program, view: View) -> Program:
    def fewer(item: View) -> View:
        return replace(item, slots=item.slots - 1) if item.tensor == view.tensor else item

    for step in program.steps:
        candidate, shares = step.candidate, step.ring_is_input
        if shares and step.inputs[0].tensor == view.tensor and candidate.ring is not None:
            ring = replace(candidate.ring, slots=candidate.ring.slots - 1)
            candidate = replace(candidate, ring=ring)
        inputs = tuple(map(fewer, step.inputs))
        changed = replace(step, inputs=inputs, output=fewer(step.output), candidate=candidate)
        program = _with_step(program, changed)
    return program


def test_the_wrong_direction_is_found() -> None:
    """Where an output lies over its input, the rows must be made from the right end on."""
    count = 0
    for seed in range(40):
        graph, program = compile_graph(random_stack(seed), Target("dsp", ram_for_time=0))
        for number, stage in enumerate(program.stages):
            if stage.backward:
                count += 1
                assert detected(_with_stage(program, number, replace(stage, backward=False)), graph)
    assert count > 5


def test_a_smaller_arena_is_found() -> None:
    for seed in SEEDS:
        graph, program = planned(seed)
        assert detected(replace(program, arena_bytes=program.arena_bytes - 1), graph)


def test_missing_and_swapped_steps_are_found() -> None:
    for seed in SEEDS:
        graph, program = planned(seed)
        for position in range(len(program.steps)):
            steps = program.steps[:position] + program.steps[position + 1 :]
            assert detected(replace(program, steps=steps), graph)
        if len(program.steps) > 1:
            assert detected(replace(program, steps=program.steps[::-1]), graph)


def test_a_fault_is_named_with_its_layer() -> None:
    graph, program = compile_graph(random_graph(2))
    step = program.steps[-1]
    view = replace(step.inputs[0], offset=step.inputs[0].offset + 1)
    broken = _with_step(program, replace(step, inputs=(view, *step.inputs[1:])))
    with pytest.raises(InternalError, match="the plan is wrong") as caught:
        check(broken, graph)
    assert f"step {step.index} {step.kind}" in caught.value.what and caught.value.value


def test_a_ring_may_be_anywhere_that_nobody_needs() -> None:
    """The one move that is no fault: such plans pass, and give the reference's outputs."""
    harness.skip_without_oracle("tflite")
    cases = []
    for seed in range(8):
        case = harness.make_case(f"seed {seed}", random_graph(seed), Target(), 3)
        moved = _with_rings_at_the_end(case.program)
        assert not detected(moved, case.graph)
        cases.append(replace(case, program=moved))
    outputs = harness._run(cases, "gcc")
    wrong = [harness._wrong(case, found) for case, found in zip(cases, outputs, strict=True)]
    assert not any(wrong), "\n".join(text for text in wrong if text)


def _with_rings_at_the_end(program: Program) -> Program:
    """Every ring that its own layer fills moved to bytes of its own behind the arena."""
    end = -(-program.arena_bytes // 4) * 4
    for step in program.steps:
        if step.ring_offset is not None and not step.ring_is_input:
            program = _with_step(program, replace(step, ring_offset=end))
            end += -(-_ring_bytes(step) // 4) * 4
    return replace(program, arena_bytes=end)
