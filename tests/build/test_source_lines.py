"""Functions and lines of an image, against the source that it was compiled from."""

from __future__ import annotations

import subprocess

import pytest

from exporter.build.source_lines import Place, SourceLines
from tests.compilers import FIRST_LINK_SECONDS, host_compiler

SOURCE = """\
int dropped(int n) { return n - 1; }
static volatile int sink;
__attribute__((noinline)) void leaf(int n)
{
    sink = n;
    sink += 3;
}
int main(void)
{
    leaf(1);
    return sink;
}
"""


@pytest.fixture(scope="module", params=["gcc", "clang"])
def lines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SourceLines:
    """A program of which the linker dropped a function."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "app").mkdir()
    (folder / "app" / "main.c").write_text(SOURCE)
    flags = [
        "-g",
        "-O1",
        "-ffunction-sections",
        "-Wl,--gc-sections",
        f"-ffile-prefix-map={folder}=.",
    ]
    argv = [*host_compiler(request.param), *flags, "-o", "program", f"{folder}/app/main.c"]
    subprocess.run(argv, cwd=folder, check=True, timeout=FIRST_LINK_SECONDS)
    return SourceLines(folder / "program")


def test_a_function_begins_on_its_line(lines: SourceLines) -> None:
    place = lines.place_of_function("leaf")
    assert place is not None and place.describe() in (
        "leaf, app/main.c:3",
        "leaf, app/main.c:4",
        "leaf, app/main.c:5",
    )
    assert lines.place(place.address) == place


def test_every_address_of_a_function_has_a_line_inside_of_it(lines: SourceLines) -> None:
    start = lines.place_of_function("leaf")
    assert start is not None
    places = [lines.place(start.address + offset) for offset in range(12)]
    assert {place.function for place in places} == {"leaf"}
    assert {5} <= {place.line for place in places} <= {3, 4, 5, 6, 7}


def test_what_is_not_in_the_image_is_unknown(lines: SourceLines) -> None:
    assert lines.place_of_function("dropped") is None
    for address in (0, 1, 0x7FFFFFFF):
        assert lines.place(address) == Place(address)
        assert (
            lines.place(address).describe() == "not in the image" and not lines.place(address).known
        )
