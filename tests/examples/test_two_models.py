"""examples/two_models, built as its README says: exact, and within the one arena."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from exporter.hil.vectors import make_vectors
from exporter.oracle import Oracle
from exporter.plan.program import Program
from tests.hil.support import nanoexport
from tests.ops.harness import compile_graph, skip_without_oracle
from tests.plan.random_graphs import random_graph
from tests.render.programs import STRICT, run

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "two_models"
SANITIZERS = ("-g", "-fsanitize=address,undefined,alignment", "-fno-sanitize-recover=all")
ROUNDS = 15


def one_in_one_out(seed: int) -> tuple[bytes, Program]:
    """The first random model from `seed` on with one input and one output."""
    while True:
        data = random_graph(seed)
        program = compile_graph(data)[1]
        if len(program.inputs) == len(program.outputs) == 1 and len(program.steps) > 1:
            return data, program
        seed += 1


@pytest.fixture(scope="module")
def models() -> dict[str, tuple[bytes, Program]]:
    """The larger one first: the second leaves the end of the arena alone."""
    pair = sorted((one_in_one_out(0), one_in_one_out(100)), key=lambda m: -m[1].arena_bytes)
    return dict(zip(("first", "second"), pair, strict=True))


@pytest.fixture(scope="module")
def rendered(
    models: dict[str, tuple[bytes, Program]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("two_models")
    for prefix, (data, _) in models.items():
        flatbuffer = folder / f"{prefix}.tflite"
        flatbuffer.write_bytes(data)
        options = ["--board", "host", "--app", "standalone", "--arena", "caller"]
        ran = nanoexport("render", flatbuffer, *options, "--prefix", prefix, "-o", folder / prefix)
        assert ran.code == 0, ran.err
    return folder


def build(rendered: Path, text: str, name: str) -> Path:
    """The example with `text` as its main.c, under the sanitizers."""
    main = rendered / f"{name}.c"
    main.write_text(text, encoding="utf-8")
    paths = [main, *(p for f in ("first", "second") for p in (rendered / f / "model").glob("*.c"))]
    includes = [f"-I{rendered / prefix / 'model'}" for prefix in ("first", "second")]
    run(["gcc", *STRICT, *SANITIZERS, *includes, *paths, "-o", rendered / name], rendered)
    return rendered / name


def alternating(models: dict[str, tuple[bytes, Program]]) -> tuple[bytes, bytes]:
    """Inputs of both models in turn, and what the reference makes of them."""
    streams = []
    for data, program in models.values():
        with Oracle(data) as oracle:
            vectors = make_vectors([port.tensor for port in program.inputs], ROUNDS)
            streams.append([(v[0].tobytes(), oracle.run(v)[0].tobytes()) for v in vectors])
    turns = [turn for pair in zip(*streams, strict=True) for turn in pair]
    return b"".join(i for i, _ in turns), b"".join(o for _, o in turns)


def test_two_models_take_turns_on_one_arena(
    models: dict[str, tuple[bytes, Program]], rendered: Path
) -> None:
    skip_without_oracle("tflite")
    program = build(rendered, (EXAMPLE / "main.c").read_text(encoding="utf-8"), "example")
    inputs, expected = alternating(models)
    assert run([program], rendered, inputs) == expected


def test_an_arena_too_small_by_a_byte_is_caught(
    models: dict[str, tuple[bytes, Program]], rendered: Path
) -> None:
    """The test above would see a model that writes outside of what it was lent."""
    text = (EXAMPLE / "main.c").read_text(encoding="utf-8")
    small = text.replace("SECOND_ARENA_BYTES)]", "SECOND_ARENA_BYTES) - 1]")
    assert small != text
    sizes = [program.inputs[0].tensor.bytes for _, program in models.values()]
    done = subprocess.run(
        [build(rendered, small, "small")], input=bytes(sum(sizes)), capture_output=True, check=False
    )
    assert done.returncode != 0
    assert b"AddressSanitizer: global-buffer-overflow" in done.stderr


CHECKS = """\
#include <stddef.h>
#include "first.h"
#include "second.h"

static int8_t arena[FIRST_ARENA_BYTES + 16] __attribute__((aligned(16)));

int main(void)
{
    for (int i = 0; i < 32; ++i) {
        const enum first_status expected = i % FIRST_ARENA_ALIGNMENT ? FIRST_BAD_ARENA : FIRST_OK;
        if (first_init(arena + i) != expected) return 1;
    }
    return first_init(NULL) == FIRST_BAD_ARENA && second_init(arena) == SECOND_OK ? 0 : 2;
}
"""


def test_what_cannot_be_lent_is_refused(rendered: Path) -> None:
    run([build(rendered, CHECKS, "checks")], rendered)
