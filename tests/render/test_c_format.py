"""C literals, strings, comments and names: what is written is what a C compiler reads."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.render.c_format import (
    LINE_COLUMNS,
    c_bytes,
    c_comment,
    c_float,
    c_identifier,
    c_int32,
    c_string,
    c_values,
    chomp,
)

AWKWARD = [
    "plain", "", 'a "quoted" name', "back\\slash", "end\\", "*/ int x; /*", "**/", "/*/", "*//*",
    "??/", "??=", "what??", "line\nbreak", "\r", "tab\t", "nul\0here", "\x1b[31m", "é",
    "éa", "ÿf00", "日本語", "😀", "😀1", "\u202eright", "\u2028", "%s%n", "{{ jinja }}",
    "{% raw %}", "//% if", "$",
    "'", "`", "\x7f", "\x80", "a\x01b", "\x010",
]  # fmt: skip


@pytest.fixture(scope="module")
def c_outputs(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """What a program prints that holds every awkward text as a string and in a comment."""
    folder = tmp_path_factory.mktemp("strings")
    lines = [
        f"    /* {c_comment(text)} */ put({c_string(text)}, sizeof({c_string(text)}) - 1);"
        for text in AWKWARD
    ]
    source = (
        "#include <stdio.h>\n"
        "static void put(const char *text, unsigned long size)\n"
        '{\n    printf("%lu:", size);\n    fwrite(text, 1, size, stdout);\n}\n'
        "int main(void)\n{\n" + "\n".join(lines) + "\n    return 0;\n}\n"
    )
    (folder / "strings.c").write_text(source, encoding="utf-8")
    strict = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror")
    build = ["gcc", *strict, "strings.c", "-o", "strings"]
    done = subprocess.run(build, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:3000]
    printed = subprocess.run([folder / "strings"], capture_output=True, check=True).stdout
    texts = []
    while printed:
        size, _, rest = printed.partition(b":")
        texts.append(rest[: int(size)])
        printed = rest[int(size) :]
    return texts


@pytest.mark.parametrize("position", range(len(AWKWARD)))
def test_strings_are_utf_8_in_the_program(position: int, c_outputs: list[bytes]) -> None:
    assert c_outputs[position] == AWKWARD[position].encode()


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40))
def test_strings_are_one_line_of_ascii(text: str) -> None:
    literal = c_string(text)
    assert literal.isascii() and literal.isprintable()
    assert literal[0] == literal[-1] == '"' and "??" not in literal
    assert re.fullmatch(r'"([^"\\]|\\[0-7]{3}|\\["\\?])*"', literal)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40))
def test_comments_stay_comments(text: str) -> None:
    comment = c_comment(text)
    assert "*/" not in comment and "/*" not in comment
    assert comment.isprintable() or not comment


@given(st.text(max_size=20))
def test_identifiers(text: str) -> None:
    name = c_identifier(text)
    assert re.fullmatch(r"([a-z_][a-z0-9_]*)?", name)


def test_identifiers_by_example() -> None:
    assert c_identifier("CONV_2D") == "conv_2d"
    assert c_identifier("model/conv 1;relu") == "model_conv_1_relu"
    assert c_identifier("2d") == "_2d"


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_floats_are_exact(value: float) -> None:
    literal = c_float(value)
    assert literal.endswith("f") and re.search(r"[.e]", literal)
    assert np.float32(float(literal[:-1])) == np.float32(value)


@given(st.integers(-(2**31), 2**31 - 1))
def test_integers_are_exact(value: int) -> None:
    text = c_int32(value)
    assert value == (int(text) if value > -(2**31) else -2147483647 - 1)
    assert re.fullmatch(r"-?\d+|\(-2147483647 - 1\)", text)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-(2**31) + 1, 2**31 - 1), min_size=1, max_size=100), st.integers(0, 8))
def test_arrays_hold_their_values_in_lines_of_100_columns(values: list[int], indent: int) -> None:
    text = c_values(np.array(values, np.int32), indent=indent)
    assert [int(item) for item in text.split(",")] == values
    lines = text.split("\n")
    assert all(len(line) <= LINE_COLUMNS for line in lines)
    assert all(line == line.rstrip() for line in lines)


def test_arrays_of_floats_and_of_nothing() -> None:
    assert c_values(np.array([0.5, -1.0], np.float32)) == "     0.5f, -1.0f"
    assert c_values([]) == ""


def test_bytes_and_chomp(tmp_path: Path) -> None:
    assert c_bytes("00ff10") == "        0x00, 0xff, 0x10"
    assert c_bytes("ab" * 9).count("\n") == 1
    assert chomp("a\n") == "a" and chomp("a\n\n") == "a\n" and chomp("a") == "a"
