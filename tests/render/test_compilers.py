"""The generated C under every compiler at hand: no warning with all of them on, in plain C99."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from exporter.render.model import Arena, render_model
from tests.ops.harness import compile_graph
from tests.random_models import random_model
from tests.render.programs import (
    MODEL_NAMES,
    MODELS,
    STRICT,
    compiler,
    object_flags,
    reference_program,
    run,
    small_program,
    sources,
    write,
)

HOSTS = ["gcc"]
CROSS = ["arm-none-eabi-gcc", "riscv64-unknown-elf-gcc", "zig-cc"]
EVERY_COMPILER = [*HOSTS, *(pytest.param(name, marks=pytest.mark.toolchain) for name in CROSS)]
REGISTERS = {"gcc": 16, "zig-cc": 16, "riscv64-unknown-elf-gcc": 31}
"""As the boards of these compilers have them: more registers, larger tiles."""

RANDOM_PROGRAMS = range(8)

BRANCH = re.compile(r"^\s+(?:bl?|call|tail|jmp|jal|j)\s+model_layer_0_mean\b", re.MULTILINE)


def _compile(name: str, folder: Path, paths: list[Path]) -> None:
    command = compiler(name)
    if command is None:
        pytest.skip(f"{name} is not installed")
    # zig links where it is given several files.
    batches = [[path] for path in paths] if name == "zig-cc" else [paths]
    for batch in batches:
        run([*command, *STRICT, *object_flags(folder), *batch], folder)


@pytest.mark.parametrize("name", EVERY_COMPILER)
def test_random_models(name: str, tmp_path: Path) -> None:
    paths = []
    for seed in RANDOM_PROGRAMS:
        paths += write(tmp_path, sources(small_program(seed), f"model_{seed}"))
    _compile(name, tmp_path, paths)


@pytest.mark.parametrize("name", EVERY_COMPILER)
def test_reference_models(name: str, tmp_path: Path) -> None:
    if not MODELS.is_dir():
        pytest.skip("../shared/models is absent")
    paths = []
    for model in MODEL_NAMES:
        program = reference_program(model, registers=REGISTERS.get(name, 13))
        paths += write(tmp_path, sources(program, model.lower()))
    _compile(name, tmp_path, paths)


def test_a_model_without_layers(tmp_path: Path) -> None:
    """Nothing but views: no step, no function, no constant, and still C."""
    from tests.passes.models import Model  # noqa: PLC0415
    from tests.random_shape_layers import reshape  # noqa: PLC0415

    model = Model()
    flat = reshape(model, model.rng, model.x, (1, 90))
    _, program = compile_graph(model.finish([model.x], [flat]))
    paths = write(tmp_path, sources(program))
    _compile("gcc", tmp_path, paths)


@pytest.mark.parametrize("name", HOSTS)
def test_optimised_for_size(name: str, tmp_path: Path) -> None:
    if not MODELS.is_dir():
        pytest.skip("../shared/models is absent")
    program = reference_program("kws_ref_model", "size")
    _compile(name, tmp_path, write(tmp_path, sources(program)))


@pytest.mark.toolchain
@pytest.mark.parametrize("name", [*HOSTS, "arm-none-eabi-gcc", "riscv64-unknown-elf-gcc"])
def test_no_layer_is_taken_for_an_access_of_a_null_pointer(name: str, tmp_path: Path) -> None:
    """A mean over pairs: GCC 12 for Arm drops the call, unless null pointers may be read."""
    files = sources(compile_graph(random_model("MEAN", 5))[1])
    layer = "void model_layer_0_mean(int8_t *arena)\n{"
    assert layer in files["model.c"]
    files["model.c"] = files["model.c"].replace(layer, f"__attribute__((noinline)) {layer}")
    write(tmp_path, files)
    command = compiler(name)
    if command is None:
        pytest.skip(f"{name} is not installed")
    run([*command, "-std=c99", "-O2", "-S", "model.c"], tmp_path)
    assert BRANCH.search((tmp_path / "model.s").read_text(encoding="utf-8"))


@pytest.mark.toolchain
@pytest.mark.parametrize("arena", ["static", "caller"])
def test_programs_in_cplusplus_find_the_model(arena: Arena, tmp_path: Path) -> None:
    """The header declares functions of C: their names in the object file are plain."""
    if shutil.which("arm-none-eabi-g++") is None:
        pytest.skip("arm-none-eabi-g++ is not installed")
    header = render_model(small_program(), prefix="model", arena=arena)["model/model.h"]
    (tmp_path / "model.h").write_text(header, encoding="utf-8")
    lent = "arena" if arena == "caller" else ""
    (tmp_path / "main.cpp").write_text(
        f'#include "model.h"\nint8_t arena[4096];\n'
        f"int main() {{ model_init({lent}); model_invoke({lent}); return 0; }}\n",
        encoding="utf-8",
    )
    flags = ("-mcpu=cortex-m4", "-mthumb", "-std=c++11", "-pedantic", "-Wall", "-Wextra", "-Werror")
    run(["arm-none-eabi-g++", *flags, "-ffreestanding", "-c", "main.cpp"], tmp_path)
    symbols = run(["arm-none-eabi-nm", "-u", "main.o"], tmp_path).decode()
    assert {line.split()[-1] for line in symbols.splitlines()} >= {"model_init", "model_invoke"}
