"""Runs models on the host as generated C and in the oracle, and compares every output byte.

    check_models({"3x3 stride 2": model_bytes, ...})

All models of a call become one program: their C is concatenated into one file, kernels renamed, and
compiled once with all warnings, and with the address and undefined-behaviour sanitizers for one of
the dialects. Inputs go through its stdin, outputs through its stdout. The arena is poisoned before
each inference.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exporter import ops, passes
from exporter.graph.ir import Graph
from exporter.graph.tflite_reader import read
from exporter.graph.verify import verify
from exporter.hil.vectors import make_vectors
from exporter.ops.base import Dialect, InstructionSet, Target
from exporter.oracle import find_backend
from exporter.plan.check import check
from exporter.plan.planner import plan
from exporter.plan.program import Program
from exporter.render.environment import environment
from exporter.render.model import render_model
from exporter.worker import Message, Worker
from tests.compilers import FIRST_LINK_SECONDS, host_compiler
from tests.random_models import random_model

Array = NDArray[Any]

WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-Wno-unused-function")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
BUILDS: dict[str, tuple[str, ...]] = {
    # Sanitizers and optimisation together compile four times as long.
    "sanitized": ("gcc", "-O0", *WARNINGS, *SANITIZERS),
    "gcc": ("gcc", "-O1", *WARNINGS),
    "clang": ("clang", "-O1", *WARNINGS),
}
BUILD_OF_DIALECT = {"tflite": "sanitized", "litert": "gcc"}
"""Where a test names no build, so that a test of both dialects sees both."""

ORACLE_SECONDS = 60.0
PROGRAM_SECONDS = 120.0
POISON = 0xA5
"""Poisoned bytes are rarely right by chance; uninitialised ones often are."""

# One record per inference: the model's number, then all of its inputs. The reply: all its outputs.
MAIN = """
#include <stdio.h>

typedef struct {
    int8_t *data;
    size_t bytes;
} port_t;

typedef struct {
    void (*invoke)(void);
    port_t arena;
    const port_t *gaps; /* between the buffers: never read, never written */
    const port_t *inputs;
    const port_t *outputs;
} model_t;

{% macro ports(model, n, direction, list) %}
    const port_t {{ direction }}s_{{ n }}[] = {
{% for port in list %}
        { m{{ n }}_{{ direction }}_{{ loop.index0 }}, {{ port.tensor.bytes }} },
{% endfor %}
        { NULL, 0 },
    };
{% endmacro %}
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define __asan_poison_memory_region(address, size) ((void)(address), (void)(size))
#define __asan_unpoison_memory_region(address, size) ((void)(address), (void)(size))
#endif

{% for model in models if model.given %}
{% set n = models.index(model) %}
static int8_t m{{ n }}_input_0[{{ model.inputs[0].tensor.bytes }}];

static void m{{ n }}_invoke(void)
{
    const int8_t *row = m{{ n }}_input_0;
    do {
        memcpy(m{{ n }}_input_row(), row, M{{ n }}_INPUT_0_ROW_BYTES);
        row += M{{ n }}_INPUT_0_ROW_BYTES;
    } while (m{{ n }}_row_ready() > 0);
}
{% endfor %}

int main(void)
{
{% for model in models %}
    const port_t gaps_{{ loop.index0 }}[] = {
{% set n = loop.index0 %}
{% for offset, bytes in gaps[n] %}
        { m{{ n }}_arena + {{ offset }}, {{ bytes }} },
{% endfor %}
        { NULL, 0 },
    };
{{ ports(model, loop.index0, "input", model.inputs) | chomp }}
{{ ports(model, loop.index0, "output", model.outputs) | chomp }}
{% endfor %}
    const model_t models[] = {
{% for model in models %}
{% set n = loop.index0 %}
        { m{{ n }}_invoke, { m{{ n }}_arena, {{ model.arena_bytes }} }, gaps_{{ n }},
          inputs_{{ n }}, outputs_{{ n }} },
{% endfor %}
    };
    uint32_t number;
    while (fread(&number, sizeof number, 1, stdin) == 1) {
        const model_t *const model = &models[number];
        __asan_unpoison_memory_region(model->arena.data, model->arena.bytes);
        memset(model->arena.data, {{ poison }}, model->arena.bytes);
        for (const port_t *gap = model->gaps; gap->data != NULL; ++gap) {
            __asan_poison_memory_region(gap->data, gap->bytes);
        }
        for (const port_t *port = model->inputs; port->data != NULL; ++port) {
            if (fread(port->data, 1, port->bytes, stdin) != port->bytes) {
                return 1;
            }
        }
        model->invoke();
        for (const port_t *port = model->outputs; port->data != NULL; ++port) {
            fwrite(port->data, 1, port->bytes, stdout);
        }
    }
    return 0;
}
"""


@dataclass(frozen=True, eq=False)
class Case:
    """A model with its inputs, and what the oracle made of them."""

    name: str
    graph: Graph
    program: Program
    vectors: list[list[Array]]
    expected: list[list[Array]]
    gaps: tuple[tuple[int, int], ...] = ()
    """(offset, bytes) between the buffers of the arena that no kernel may touch."""
    is_over_input: bool = False
    """Buffers lie as planned, the output over the input where the kernel allows it."""


def check_operator(
    kind: str,
    seeds: Sequence[int],
    *,
    dialect: Dialect = "tflite",
    optimize: str = "speed",
    instruction_set: InstructionSet = "generic",
    thumb2: bool = False,
    vectors: int = 14,
) -> None:
    """Random models of one operator, as `tests/random_models.py` draws them."""
    models = {f"{kind} seed {seed}": random_model(kind, seed) for seed in seeds}
    check_models(
        models,
        dialect=dialect,
        optimize=optimize,
        instruction_set=instruction_set,
        thumb2=thumb2,
        vectors=vectors,
    )


def check_models(
    models: Mapping[str, bytes],
    *,
    dialect: Dialect = "tflite",
    optimize: str = "speed",
    instruction_set: InstructionSet = "generic",
    thumb2: bool = False,
    ram_for_time: float = 5,
    input_by_rows: bool = False,
    build: str | None = None,
    vectors: int = 14,
    inputs: list[list[Array]] | None = None,
) -> None:
    """Asserts that each model's generated C gives the oracle's outputs, bit for bit.

    The first 13 vectors are extremes and patterns (`exporter/hil/vectors.py`), the rest is random;
    `inputs`, vectors that fit every model, take their place. Kernels of an `instruction_set` other
    than generic, and those for Thumb-2, run as the C twins of their micro-kernels.
    """
    skip_without_oracle(dialect)
    target = Target(
        instruction_set=instruction_set,
        thumb2=thumb2,
        dialect=dialect,
        optimize="size" if optimize == "size" else "speed",
        ram_for_time=ram_for_time,
        input_by_rows=input_by_rows,
    )
    cases = [make_case(name, data, target, inputs or vectors) for name, data in models.items()]
    run_cases(cases, build or BUILD_OF_DIALECT[dialect])


def run_cases(cases: Sequence[Case], build: str) -> None:
    """Asserts that each case's generated C gives its expected outputs on the host."""
    outputs = _run(cases, build)
    wrong = [
        text for case, found in zip(cases, outputs, strict=True) if (text := _wrong(case, found))
    ]
    assert not wrong, f"{len(wrong)} of {len(cases)} models differ:\n" + "\n".join(wrong[:10])


def compile_graph(data: bytes, target: Target | None = None) -> tuple[Graph, Program]:
    """The graph of a flatbuffer after all passes, and its proven program."""
    graph = graph_of(data)
    program = plan(graph, target or Target())
    return graph, check(program, graph)


def graph_of(data: bytes) -> Graph:
    """The graph of a flatbuffer after all passes."""
    return ops.check(passes.run(verify(read(data), after="reading")))


def oracle_outputs(
    data: bytes, inputs: Sequence[Array], dialect: Dialect = "tflite"
) -> list[Array]:
    """What the oracle computes for one set of inputs."""
    _load(data, dialect)
    return _invoke(inputs, dialect)


def skip_without_oracle(dialect: Dialect) -> None:
    """Skips the test where no package of this dialect is installed."""
    module = {"tflite": "tflite_runtime", "litert": "ai_edge_litert"}[dialect]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module}, the oracle of the dialect {dialect}, is not installed")


def make_case(name: str, data: bytes, target: Target, inputs: int | list[list[Array]]) -> Case:
    """`inputs`: the vectors, or how many to make."""
    graph, program = compile_graph(data, target)
    tensors = [graph[tensor] for tensor in graph.inputs]
    made = make_vectors(tensors, inputs) if isinstance(inputs, int) else inputs
    vectors: list[list[Array]] = [list(vector) for vector in made]
    _load(data, target.dialect)
    expected = [_invoke(vector, target.dialect) for vector in vectors]
    _check_intervals(name, graph, vectors, expected)
    return Case(name, graph, program, vectors, expected)


def _check_intervals(
    name: str, graph: Graph, vectors: list[list[Array]], expected: list[list[Array]]
) -> None:
    """The proven interval of each output contains what the oracle computed."""
    intervals = ops.tensor_intervals(graph)
    for position, tensor in enumerate(graph.outputs):
        bounds = intervals[tensor]
        channels = graph[tensor].shape[-1] if graph[tensor].shape else 1
        assert bounds.low.shape == bounds.high.shape == (channels,), f"{name}: {bounds}"
        found = np.stack([outputs[position] for outputs in expected]).reshape(-1, channels)
        inside = (found >= bounds.low) & (found <= bounds.high)
        assert inside.all(), f"{name}: the interval [{bounds.low}, {bounds.high}] is too narrow"


# --- the oracle: one process per dialect for the whole test session ------------------------------


@cache
def _oracle(dialect: Dialect) -> Worker:
    module = find_backend(dialect).module
    return Worker("exporter.oracle.worker", [module], TF_CPP_MIN_LOG_LEVEL="3")


def _load(data: bytes, dialect: Dialect) -> None:
    _request("load", [np.frombuffer(data, np.uint8)], dialect)


def _invoke(inputs: Sequence[Array], dialect: Dialect) -> list[Array]:
    return list(_request("run", inputs, dialect).arrays)


def _request(kind: str, arrays: Sequence[Array], dialect: Dialect) -> Message:
    if not _oracle(dialect).alive:  # the last request ended it: oracles crash on some models
        _oracle.cache_clear()
    return _oracle(dialect).request(Message(kind, {}, arrays), ORACLE_SECONDS)


# --- the generated C -----------------------------------------------------------------------------


def _run(cases: Sequence[Case], build: str) -> list[list[list[Array]]]:
    """Outputs by case and vector."""
    stdin = b"".join(
        np.uint32(number).tobytes() + b"".join(array.tobytes() for array in vector)
        for number, case in enumerate(cases)
        for vector in case.vectors
    )
    with tempfile.TemporaryDirectory() as folder:
        program = _build(Path(folder), cases, build)
        done = subprocess.run(
            [program], input=stdin, capture_output=True, timeout=PROGRAM_SECONDS, check=False
        )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[:4000]
    return _split(done.stdout, cases)


def _split(stdout: bytes, cases: Sequence[Case]) -> list[list[list[Array]]]:
    offset, results = 0, []
    for case in cases:
        of_case = []
        for _ in case.vectors:
            outputs = []
            for tensor in (case.graph[t] for t in case.graph.outputs):
                raw = stdout[offset : offset + tensor.bytes]
                outputs.append(np.frombuffer(raw, np.int8).reshape(tensor.shape))
                offset += tensor.bytes
            of_case.append(outputs)
        results.append(of_case)
    assert offset == len(stdout)
    return results


def _build(folder: Path, cases: Sequence[Case], build: str) -> Path:
    source, program = folder / "models.c", folder / "models"
    source.write_text(_source(cases), encoding="utf-8")
    name, *flags = BUILDS[build]
    done = subprocess.run(
        [*host_compiler(name), *flags, str(source), "-o", str(program)],
        capture_output=True,
        text=True,
        timeout=FIRST_LINK_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[:4000]
    return program


def _source(cases: Sequence[Case]) -> str:
    """The models and a main that runs them by stdin and stdout."""
    main = environment().from_string(MAIN)
    return models_source(cases) + main.render(
        models=[case.program for case in cases], gaps=[case.gaps for case in cases], poison=POISON
    )


def models_source(cases: Sequence[Case]) -> str:
    """All models in one file. Kernels are static, so those of one name are told apart by macros;
    equal micro-kernels, kernels and constants are printed once, with the first model that has them.
    """
    parts: list[str] = []
    printed: dict[object, str] = {}
    pasted: set[str] = set()
    for number, case in enumerate(cases):
        prefix = f"m{number}"
        program, names = _unprinted(case.program, prefix, printed)
        files = render_model(program, prefix=prefix)
        headers = [path for path in files if path.startswith("model/nano_")]
        parts += [files[path] for path in headers if path not in pasted]
        pasted |= set(headers)
        parts += [f"#define {name} {first}\n" for name, first in names.items()]
        order = (".h", "_weights.h", "_layers.h", "_weights.c", ".c")
        parts += [f"/* {case.name} */\n{files[f'model/{prefix}{suffix}']}" for suffix in order]
        parts += [f"#undef {name}\n" for name in names]
    return re.sub(r'#include "[^"]+"\n', "", "".join(parts))


def _unprinted(
    program: Program, prefix: str, printed: dict[object, str]
) -> tuple[Program, dict[str, str]]:
    """The program without what is `printed`, which grows; and what its names stand for."""
    signatures = {step.function: step.candidate.signature for step in program.steps}
    parts: dict[str, list[tuple[Any, object, str]]] = {
        "micro_kernels": [(micro, micro, micro.name) for micro in program.micro_kernels],
        "functions": [(f, signatures[f.name], f.name) for f in program.functions],
        "constants": [
            (c, (c.c_type, c.values.tobytes()), f"{prefix}_{c.name}") for c in program.constants
        ],
    }
    new: dict[str, Any] = {kind: [] for kind in parts}
    names: dict[str, str] = {}
    for kind, items in parts.items():
        for part, key, name in items:
            if key not in printed:
                printed[key] = name if kind == "constants" else f"{prefix}_{name}"
                new[kind].append(part)
            names[name] = printed[key]
    new = {kind: tuple(kept) for kind, kept in new.items()}
    return replace(program, **new), {name: first for name, first in names.items() if name != first}


def _wrong(case: Case, found: list[list[Array]]) -> str | None:
    """Where a case's outputs first differ; None if nowhere."""
    for number, (outputs, expected) in enumerate(zip(found, case.expected, strict=True)):
        for position, (ours, theirs) in enumerate(zip(outputs, expected, strict=True)):
            if not np.array_equal(ours, theirs):
                at = tuple(int(i) for i in np.argwhere(ours != theirs)[0])
                count = int((ours != theirs).sum())
                return (
                    f"{case.name}: vector {number}, output {position}: {count} of {ours.size} "
                    f"elements, first at {at}: {ours[at]}, expected {theirs[at]}"
                )
    return None
