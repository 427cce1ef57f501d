"""Rendered models in a program of their own: sanitizers, guards, several models side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from exporter.hil.vectors import make_vectors
from exporter.oracle import Oracle
from exporter.plan.program import Program
from tests.ops.harness import compile_graph, skip_without_oracle
from tests.plan.random_graphs import random_graph
from tests.render.programs import (
    MODEL_NAMES,
    MODELS,
    STRICT,
    reference_program,
    run,
    sources,
    write,
)

SANITIZERS = (
    "-g", "-fsanitize=address,undefined,alignment", "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
)  # fmt: skip

EXTREMES = 13
"""Vectors that are extremes and patterns; random ones follow."""

MAIN_HEAD = """\
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_bytes(int8_t *to, size_t size) { return fread(to, 1, size, stdin) == size; }
static void guard(const int8_t *at, size_t size)
{
    for (size_t i = 0; i < size; ++i) {
        if (at[i] != 0x5a) { abort(); }
    }
}
"""

MODEL_RUN = """\
    PREFIX_init();
    memset(PREFIX_arena, 0x5a, UPPER_GUARD_BYTES);
    memset(PREFIX_arena + UPPER_GUARD_BYTES + UPPER_ARENA_BYTES, 0x5a, UPPER_GUARD_BYTES);
    for (int n = 0; n < VECTORS; ++n) {
        memset(PREFIX_arena + UPPER_GUARD_BYTES, 0xa5, UPPER_ARENA_BYTES);
READS
        PREFIX_invoke();
WRITES
        guard(PREFIX_arena, UPPER_GUARD_BYTES);
        guard(PREFIX_arena + UPPER_GUARD_BYTES + UPPER_ARENA_BYTES, UPPER_GUARD_BYTES);
    }
"""


def _main(programs: Mapping[str, Program], vectors: int) -> str:
    includes = "".join(f'#include "{p}.h"\n#include "{p}_layers.h"\n' for p in programs)
    bodies = "".join(_body(prefix, program, vectors) for prefix, program in programs.items())
    return f"{MAIN_HEAD}{includes}\nint main(void)\n{{\n{bodies}    return 0;\n}}\n"


def _body(prefix: str, program: Program, vectors: int) -> str:
    reads = [
        f"        if (!read_bytes({prefix}_input_{n}, {prefix.upper()}_INPUT_{n}_BYTES)) abort();"
        for n in range(len(program.inputs))
    ]
    writes = [
        f"        fwrite({prefix}_output_{n}, 1, {prefix.upper()}_OUTPUT_{n}_BYTES, stdout);"
        for n in range(len(program.outputs))
    ]
    text = MODEL_RUN.replace("READS", "\n".join(reads)).replace("WRITES", "\n".join(writes))
    text = text.replace("PREFIX", prefix).replace("UPPER", prefix.upper())
    return text.replace("VECTORS", str(vectors))


def _assert_equal_to_reference(
    folder: Path, models: Mapping[str, tuple[bytes, Program]], flags: Sequence[str], vectors: int
) -> None:
    """All `models` by prefix in one program; every output byte as the reference computes it."""
    stdin, expected = b"", b""
    for data, program in models.values():
        with Oracle(data) as oracle:
            for vector in make_vectors([port.tensor for port in program.inputs], vectors):
                stdin += b"".join(array.tobytes() for array in vector)
                expected += b"".join(array.tobytes() for array in oracle.run(vector))
    files = {"main.c": _main({prefix: program for prefix, (_, program) in models.items()}, vectors)}
    for prefix, (_, program) in models.items():
        files |= sources(program, prefix)
        del files[f"{prefix}_description.c"]
    paths = write(folder, files)
    run(["gcc", *flags, *paths, "-o", "models"], folder)
    found = run([folder / "models"], folder, stdin)
    assert len(found) == len(expected)
    wrong = np.flatnonzero(np.frombuffer(found, np.int8) != np.frombuffer(expected, np.int8))
    assert not len(wrong), f"{len(wrong)} of {len(found)} bytes differ, first at {wrong[0]}"


def test_several_models_in_one_program_under_the_sanitizers(tmp_path: Path) -> None:
    skip_without_oracle("tflite")
    models = {}
    for seed in range(50, 58):
        data = random_graph(seed)
        models[f"net_{seed}"] = (data, compile_graph(data)[1])
    flags = (*(flag for flag in STRICT if flag != "-O1"), *SANITIZERS)
    _assert_equal_to_reference(tmp_path, models, flags, EXTREMES + 2)


def test_one_model_twice_in_one_program(tmp_path: Path) -> None:
    """Same kernels, same layers, other prefix: nothing collides, nothing is shared."""
    skip_without_oracle("tflite")
    data = random_graph(3)
    program = compile_graph(data)[1]
    models = {"first": (data, program), "second": (data, program)}
    _assert_equal_to_reference(tmp_path, models, STRICT, 3)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_reference_models_under_the_sanitizers(name: str, tmp_path: Path) -> None:
    skip_without_oracle("tflite")
    if not MODELS.is_dir():
        pytest.skip("../shared/models is absent")
    data = (MODELS / f"{name}.tflite").read_bytes()
    models = {"net": (data, reference_program(name))}
    _assert_equal_to_reference(tmp_path, models, (*STRICT, *SANITIZERS), 4)
