"""Labels and preprocessing in the header: whatever they say, it is C, and costs nothing unused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporter.graph.metadata import ModelMetadata
from exporter.plan.program import Program
from exporter.render.c_format import c_constant
from tests.compilers import host_compiler
from tests.hil.support import picture_model
from tests.ops.harness import compile_graph
from tests.render.programs import STRICT, object_flags, run, sources, write
from tests.render.test_c_format import AWKWARD

LABELS = [text for text in AWKWARD if text and text.isprintable()]

AUDIO = {
    "title": "Words ??/",
    "description": "One second of sound.\nNot */ for /* speech.",
    "created_by": "nanoexport",
    "source_sha256": "c" * 64,
    "calibration": {"samples": 7, "source": "calib.npz"},
    "inputs": [
        {
            "name": "spectrogram",
            "preprocessing": {
                "mean": [1, -2.5], "std": 4, "range": [-1, 1], "order": None,
                "features": {
                    "sample_rate_hz": 16000, "low_db": -20.5, "log": True, "window": "hann??/",
                },
            },
        }
    ],
    "outputs": [{"name": "word", "labels": ["yes", 'a "b"', "c\\d"]}],
}  # fmt: skip


def program_with(metadata: dict[str, Any]) -> Program:
    program = compile_graph(picture_model())[1]
    return replace(program, metadata=ModelMetadata.model_validate(metadata))


def header(metadata: dict[str, Any]) -> str:
    return sources(program_with(metadata))["model.h"]


def macros(text: str) -> dict[str, str]:
    return dict(re.findall(r"^#define MODEL_(\w+) (.+)$", text, re.MULTILINE))


def test_preprocessing_becomes_constants() -> None:
    found = macros(header(AUDIO))
    assert {k: v for k, v in found.items() if k.startswith("INPUT_0") and k[8:] not in (
        "BYTES", "SCALE", "ZERO_POINT"
    )} == {
        "INPUT_0_MEAN": "{1.0f, -2.5f}", "INPUT_0_STD": "4.0f", "INPUT_0_MIN": "(-1.0f)",
        "INPUT_0_MAX": "1.0f", "INPUT_0_SAMPLE_RATE_HZ": "16000", "INPUT_0_LOW_DB": "(-20.5f)",
        "INPUT_0_LOG": "1", "INPUT_0_WINDOW": '"hann\\077\\077/"',
    }  # fmt: skip


def test_labels_are_counted_and_declared() -> None:
    text = header(AUDIO)
    assert macros(text)["OUTPUT_0_CLASSES"] == "3"
    assert "extern const char *const model_output_0_labels[MODEL_OUTPUT_0_CLASSES];" in text
    assert '/* word, classes: 0 yes, 1 a "b", 2 c\\d */' in text


def test_names_of_what_are_no_classes() -> None:
    named = {"outputs": [{"kind": "regression", "labels": ["x", "y", "z"]}]}
    found = macros(header(named))
    assert found["OUTPUT_0_LABELS"] == "3" and "OUTPUT_0_CLASSES" not in found


def test_classes_without_labels_are_counted() -> None:
    text = header({"outputs": [{"kind": "classes"}]})
    assert macros(text)["OUTPUT_0_CLASSES"] == "3" and "labels" not in text


def test_what_the_model_is_stands_on_top() -> None:
    top = header(AUDIO).split("*/")[0]
    for line in ("Words ? ?/", "One second of sound.", "Not * / for / * speech.", "calib.npz"):
        assert line in top


@pytest.mark.parametrize("metadata", [{}, {"inputs": [{}], "outputs": [{}]}], ids=str)
def test_metadata_that_say_nothing_change_nothing(metadata: dict[str, Any]) -> None:
    program = compile_graph(picture_model())[1]
    assert sources(program_with(metadata)) == sources(program)


def test_the_layout_is_that_of_the_other_files() -> None:
    for name, text in sources(program_with(AUDIO)).items():
        assert not re.search(r"[ ]+$", text, re.MULTILINE) and "\n\n\n" not in text, name
        assert max(map(len, text.splitlines()), default=0) <= 200, name


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_any_text_gives_valid_c(tmp_path: Path, compiler: str) -> None:
    for number in range(0, len(LABELS), 3):
        texts = (LABELS * 2)[number : number + 3]
        program = program_with(
            {
                "title": texts[0],
                "description": "\n".join(texts) + " word" * 60,
                "inputs": [{"name": texts[1], "preprocessing": {"features": {"text": texts[2]}}}],
                "outputs": [{"name": texts[2], "labels": texts}],
            }
        )
        folder = tmp_path / str(number)
        write(folder, sources(program))
        flags = (*STRICT, *object_flags(folder))
        run([*host_compiler(compiler), *flags, folder / "model.c"], folder)


def test_a_program_reads_the_labels(tmp_path: Path) -> None:
    """UTF-8, byte for byte."""
    for number in range(0, len(LABELS) - 2, 3):
        texts = LABELS[number : number + 3]
        files = sources(program_with({"outputs": [{"labels": texts}]}))
        labels = files["model.c"]
        labels = labels[labels.index("const char *const") :].split("};")[0] + "};"
        main = (
            '#include <stdio.h>\n#include "model.h"\n' + labels + "\nint main(void)\n{\n"
            "    for (int i = 0; i < MODEL_OUTPUT_0_CLASSES; i++) {\n"
            "        puts(model_output_0_labels[i]);\n    }\n    return 0;\n}\n"
        )
        folder = tmp_path / str(number)
        write(folder, {"model.h": files["model.h"], "main.c": main})
        run(["gcc", *STRICT, "main.c", "-o", "main"], folder)
        assert run([folder / "main"], folder) == "".join(f"{t}\n" for t in texts).encode()


def test_labels_that_nobody_uses_are_not_linked(tmp_path: Path) -> None:
    paths = write(tmp_path, {**sources(program_with(AUDIO)), "main.c": MAIN})
    run(
        ["gcc", "-O2", "-fdata-sections", "-ffunction-sections", "-Wl,--gc-sections",
         f"-I{tmp_path}", *[p for p in paths if "description" not in p.name], "-o", "main"],
        tmp_path,
    )  # fmt: skip
    assert b"labels" not in run(["nm", "main"], tmp_path)
    assert b'a "b"' not in (tmp_path / "main").read_bytes()


MAIN = """#include "model.h"
int main(void)
{
    model_init();
    model_invoke();
    return 0;
}
"""


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "1"), (7, "7"), (-7, "(-7)"), (-(2**31), "(-2147483647 - 1)"), (123.675, "123.675f"),
     (-1e-6, "(-1e-06f)"), ("a", '"a"'), ((1.0, -2.0), "{1.0f, -2.0f}")],
)  # fmt: skip
def test_constants_are_spelled_as_c(value: Any, text: str) -> None:
    assert c_constant(value) == text
