"""Plans of small models: who shares storage with whom, and for how long."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import monotonic

import numpy as np
import pytest

from exporter.ops.base import Target
from exporter.plan.compile import compile_model
from exporter.plan.dump import dump, layer_figures
from exporter.plan.program import Program
from tests import random_layers as layers
from tests import random_shape_layers as shapes
from tests.flatbuffer_builder import ModelBuilder
from tests.ops.harness import compile_graph
from tests.plan.random_graphs import random_graph

MODELS = Path(__file__).resolve().parents[2] / "../shared/models"


class Model:
    """A builder with an image as input, and what the tests here do with it."""

    def __init__(self, shape: tuple[int, ...] = (1, 4, 4, 2)) -> None:
        self.rng = np.random.default_rng(1)
        self.builder = ModelBuilder()
        self.x = layers.activation_tensor(self.builder, self.rng, shape)

    def relu(self, x: int) -> int:
        return shapes.rectifier(self.builder, self.rng, "RELU", x)

    def add(self, a: int, b: int) -> int:
        return layers.binary(self.builder, self.rng, "ADD", a, b)

    def conv(self, x: int, filters: int = 2, padding: str = "SAME") -> int:
        return layers.conv_2d(self.builder, self.rng, x, filters, padding=padding)

    def reshape(self, x: int, shape: tuple[int, ...]) -> int:
        return shapes.reshape(self.builder, self.rng, x, shape)

    def plan(self, *outputs: int, inputs: tuple[int, ...] | None = None) -> Program:
        """Checked; also with every tensor's offsets in `offsets`."""
        return compile_graph(self.builder.finish(inputs or (self.x,), outputs))[1]


def _offset(program: Program, tensor: int) -> int:
    """Where a tensor is written."""
    return next(step.output.offset for step in program.steps if step.output.tensor == tensor)


def test_elementwise_layers_run_in_place() -> None:
    model = Model()
    a = model.relu(model.x)
    b = model.relu(a)
    program = model.plan(b)
    assert {_offset(program, a), _offset(program, b), program.inputs[0].offset} == {0}
    assert program.arena_bytes == 32 and len(program.buffers) == 1


def test_convolutions_do_not_run_in_place() -> None:
    model = Model()
    program = model.plan(model.conv(model.x))
    (step,) = program.steps
    assert step.output.offset >= step.inputs[0].end or step.inputs[0].offset >= step.output.end
    assert step.ring_offset is not None


def test_a_tensor_with_a_later_reader_is_not_overwritten() -> None:
    model = Model()
    a = model.conv(model.x)
    b = model.relu(a)
    c = model.add(a, b)
    program = model.plan(c)
    assert _offset(program, a) != _offset(program, b)


def test_the_last_reader_may_overwrite() -> None:
    model = Model()
    a = model.conv(model.x)
    b = model.relu(a)
    c = model.add(a, b)
    program = model.plan(c)
    assert _offset(program, c) in (_offset(program, a), _offset(program, b))


def test_views_share_storage_and_cost_nothing() -> None:
    model = Model()
    a = model.conv(model.x)
    flat = model.reshape(a, (1, 32))
    b = model.relu(flat)
    program = model.plan(b)
    assert len(program.steps) == 2
    assert program.steps[1].inputs[0].offset == _offset(program, a)


def test_a_tensor_that_is_read_through_a_view_is_not_overwritten() -> None:
    model = Model()
    a = model.conv(model.x)
    flat = model.reshape(a, (1, 32))
    b = model.relu(a)
    c = model.relu(flat)
    program = model.plan(b, c)
    offsets = [port.offset for port in program.outputs]
    assert offsets[0] != offsets[1] and _offset(program, b) != _offset(program, a)


def test_a_view_of_a_view_of_an_input_is_an_output() -> None:
    model = Model()
    view = model.reshape(model.reshape(model.x, (1, 32)), (1, 8, 4))
    program = model.plan(view, model.relu(model.x))
    assert program.outputs[0].offset == program.inputs[0].offset
    assert program.outputs[1].offset != program.inputs[0].offset


def test_an_output_that_is_read_further_on_is_kept() -> None:
    model = Model()
    a = model.relu(model.x)
    program = model.plan(a, model.relu(a))
    assert program.outputs[0].offset != program.outputs[1].offset


def test_an_input_that_is_an_output_is_kept() -> None:
    model = Model()
    program = model.plan(model.x, model.relu(model.x))
    assert program.outputs[0].offset == program.inputs[0].offset != program.outputs[1].offset


def test_an_input_that_nobody_reads_has_its_place_when_it_is_written() -> None:
    model = Model()
    unused = layers.activation_tensor(model.builder, model.rng, (1, 100), "unused")
    program = model.plan(model.relu(model.x), inputs=(model.x, unused))
    first, second = sorted(program.inputs, key=lambda port: port.offset)
    assert first.offset + first.tensor.bytes <= second.offset


def test_both_operands_may_be_one_tensor() -> None:
    model = Model()
    (step,) = model.plan(model.add(model.x, model.x)).steps
    assert step.inputs[0] == step.inputs[1]
    assert step.inputs[0].offset == step.output.offset


def test_images_of_a_batch_are_apart() -> None:
    model = Model((3, 4, 4, 2))
    (step,) = model.plan(model.conv(model.x)).steps
    assert step.candidate.images == 3 and step.inputs[0].image_bytes == 32


def test_two_layers_of_one_signature_share_a_function() -> None:
    model = Model()
    a = model.relu(model.x)
    program = model.plan(model.relu(a))
    assert len(program.functions) == 1
    assert [step.function for step in program.steps] == [program.functions[0].name] * 2


def test_functions_of_one_stem_have_names_of_their_own() -> None:
    model = Model()
    program = model.plan(model.conv(model.conv(model.x, padding="SAME")))
    names = [function.name for function in program.functions]
    assert len(set(names)) == len(names)
    assert {step.function for step in program.steps} == set(names)


def test_constants_have_names_of_their_own() -> None:
    program = compile_graph(random_graph(3))[1]
    names = [constant.name for constant in program.constants]
    assert len(set(names)) == len(names)
    assert {name for step in program.steps for name in step.constants} == set(names)


@pytest.mark.parametrize("seed", range(5))
def test_planning_is_deterministic(seed: int) -> None:
    texts = {dump(compile_graph(random_graph(seed))[1]) for _ in range(3)}
    assert len(texts) == 1


@pytest.mark.parametrize("seed", range(60))
def test_random_graphs_are_planned_and_pass_the_checker(seed: int) -> None:
    graph, program = compile_graph(random_graph(seed))
    assert program.arena_bytes >= max(port.tensor.bytes for port in program.inputs)
    assert [step.index for step in program.steps] == list(range(len(program.steps)))
    assert len(layer_figures(program)) == len(program.steps) <= len(graph.ops)


def test_peak_step_is_the_one_with_most_live_bytes() -> None:
    program = compile_graph(random_graph(1))[1]
    live = [program.live_bytes(step) for step in program.steps]
    assert program.live_bytes(program.peak_step) == max(live) <= program.arena_bytes
    assert replace(program).weights_bytes == sum(c.values.nbytes for c in program.constants)


# Arena bytes of TensorFlow Lite Micro for the same models on a Cortex-M4.
BASELINE_ARENA_BYTES = {
    "ad01_int8": 2580,
    "kws_ref_model": 22820,
    "pretrainedResnet_quant": 54996,
    "vww_96_int8": 100708,
}
PLANNING_SECONDS = 10.0
"""Expected: under 2."""


@pytest.mark.parametrize("name", list(BASELINE_ARENA_BYTES))
def test_reference_models_are_planned_quickly_and_tightly(name: str) -> None:
    path = MODELS / f"{name}.tflite"
    if not path.exists():
        pytest.skip("../shared/models is absent")
    start = monotonic()
    program = compile_model(path, Target()).program
    assert monotonic() - start < PLANNING_SECONDS
    assert program.arena_bytes <= BASELINE_ARENA_BYTES[name]
