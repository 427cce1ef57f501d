"""The C of a model: deterministic, readable, free of its maker's machine, safe for any name."""

from __future__ import annotations

import difflib
import os
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.plan.program import Port, Program, Step
from exporter.render.model import layer_name
from tests.compilers import host_compiler
from tests.golden import COMMAND, FOLDER, golden_files
from tests.ops.harness import compile_graph
from tests.plan.random_graphs import random_graph
from tests.render.programs import STRICT, object_flags, run, small_program, sources, write
from tests.render.test_c_format import AWKWARD

ROOT = Path(__file__).resolve().parents[2]

RENDER_AND_HASH = """
import hashlib
from tests.golden import golden_files
from tests.render.programs import small_program, sources
texts = [golden_files(), *(sources(small_program(seed)) for seed in range(4))]
print(hashlib.sha256(repr(texts).encode()).hexdigest())
"""


def test_golden_files() -> None:
    """After a wanted change: run the command that the failure names, and review the diff."""
    kept = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*"))}
    made = golden_files()
    changes = [
        line
        for name in sorted(kept.keys() | made.keys())
        for line in difflib.unified_diff(
            kept.get(name, "").splitlines(), made.get(name, "").splitlines(), f"kept/{name}",
            f"made/{name}", lineterm="", n=1,
        )
    ]  # fmt: skip
    report = "\n".join(changes[:60])
    assert not changes, f"the C output has changed; if that is wanted: {COMMAND}\n{report}"


def test_byte_identical_in_any_process() -> None:
    digests = set()
    for seed in ("0", "1", "4242"):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "TZ": f"UTC+{seed[0]}",
            "COLUMNS": "40",
        }
        done = subprocess.run(
            [sys.executable, "-c", RENDER_AND_HASH],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1 and len(digests.pop()) == 64


def test_nothing_of_the_machine_nor_the_time() -> None:
    text = "".join("".join(sources(small_program(seed)).values()) for seed in range(6))
    for secret in (str(ROOT), str(Path.home()), socket.gethostname(), sys.executable):
        assert secret in ("", "/", "localhost") or secret not in text
    assert not re.search(r"\b(19|20)\d\d-\d\d-\d\d\b|\b\d\d:\d\d:\d\d\b|__DATE__|__TIME__", text)
    assert not re.search(r"(?<![\w.])/(work|root|home|tmp|usr)/", text)


@pytest.mark.parametrize("seed", range(8))
def test_layout(seed: int) -> None:
    """Whole lines, no tabs, no trailing blanks, no template left over, balanced braces."""
    for name, text in sources(small_program(seed)).items():
        assert text.endswith("\n") and not text.endswith("\n\n"), name
        assert "\t" not in text and "\r" not in text, name
        assert not re.search(r"[ ]+$", text, re.MULTILINE), name
        assert "\n\n\n" not in text, name
        assert not re.search(r"\{\{|\}\}|\{%|%\}|//%|//#|\bNone\b|Undefined", text), name
        assert text.count("{") == text.count("}"), name


def test_every_layer_is_a_titled_function_called_once_in_order() -> None:
    program = small_program(3)
    text = sources(program)["model.c"]
    body = text[text.index("void model_invoke(void)") :]
    calls = re.findall(r"model_(layer_\w+)\(arena\);", body)
    assert calls == [layer_name(step) for step in program.steps]
    for step in program.steps:
        assert f"/* Layer {step.op_index}: {step.kind}" in text


def test_files_use_no_heap_no_io_and_only_the_plain_headers() -> None:
    for seed in range(8):
        for name, text in sources(small_program(seed)).items():
            headers = set(re.findall(r"#include <([^>]+)>", text))
            assert headers <= {"stdint.h", "string.h", "stddef.h"}, name
            assert not re.search(r"\b(malloc|free|printf|exit|static int8_t \w+\[)\b", text), name


def _renamed(program: Program, names: list[str]) -> Program:
    """The program with every tensor, layer and the model itself under awkward names."""
    taken = iter(names * 50)

    def step_with(step: Step) -> Step:
        operands = tuple((role, replace(t, name=next(taken))) for role, t in step.operands)
        return replace(step, name=next(taken), operands=operands)

    def port_with(port: Port) -> Port:
        return replace(port, tensor=replace(port.tensor, name=next(taken)))

    return replace(
        program,
        name=next(taken),
        inputs=tuple(map(port_with, program.inputs)),
        outputs=tuple(map(port_with, program.outputs)),
        steps=tuple(map(step_with, program.steps)),
    )


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_any_name_gives_valid_c(tmp_path: Path, compiler: str) -> None:
    names = [name for name in AWKWARD if name]
    paths = []
    for number in range(4):
        start = number * len(names) // 4
        program = _renamed(small_program(number), names[start:] + names[:start])
        prefix = f"awkward_{number}"
        paths += write(tmp_path, sources(program, prefix))
    for path in paths:  # one by one: zig links what it is given together
        run([*host_compiler(compiler), *STRICT, *object_flags(tmp_path), path], tmp_path)


def test_names_from_the_flatbuffer_arrive_in_titles() -> None:
    _, program = compile_graph(random_graph(5))
    text = sources(program)["model.h"]
    assert "'input'" in text and program.model_sha256 in text and "`tflite`" in text


def test_prefix_is_on_every_global_name(tmp_path: Path) -> None:
    paths = write(tmp_path, sources(small_program(2), "other_name"))
    paths = [path for path in paths if "description" not in path.name]
    run(["gcc", *STRICT, *object_flags(tmp_path), *paths], tmp_path)
    symbols = run(["nm", "-g", "--defined-only", *tmp_path.glob("*.o")], tmp_path).decode()
    names = re.findall(r"^[0-9a-f]+ \w (\w+)$", symbols, re.MULTILINE)
    assert len(names) > 5 and all(name.startswith("other_name_") for name in names)
