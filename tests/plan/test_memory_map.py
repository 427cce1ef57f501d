"""The memory map: the plan's buffers under names for people, as text and as a picture."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from exporter.board import load_board
from exporter.build.firmware import Settings, target_for
from exporter.plan.memory_map import FREE, MARKS, SHARED, MapBuffer, memory_map, text_lines
from exporter.plan.program import Program
from exporter.render.memory_svg import LEFT, MAP_WIDTH, ROW, TOP, memory_svg
from tests.ops.harness import compile_graph
from tests.plan.random_graphs import random_branches, random_graph, random_stack

SVG = "{http://www.w3.org/2000/svg}"
SEEDS = range(6)
TARGET = target_for(load_board("mps2-an386"), Settings())


def programs() -> Iterator[Program]:
    for seed in SEEDS:
        for model in (random_graph(seed), random_stack(seed), random_branches(seed)):
            yield compile_graph(model, TARGET)[1]


PROGRAMS = list(programs())
every_program = pytest.mark.parametrize(
    "program", PROGRAMS, ids=[str(n) for n in range(len(PROGRAMS))]
)


@every_program
def test_every_buffer_is_in_the_map(program: Program) -> None:
    found = memory_map(program)
    assert sorted((b.offset, b.bytes) for b in found.buffers) == sorted(
        (b.offset, b.bytes) for b in program.buffers
    )
    named = [b.name for b in found.buffers if b.kind != "input"]  # models may repeat their names
    assert len(set(named)) == len(named)
    for b in found.buffers:
        assert 0 <= b.first <= b.last < len(found.stages) or b.stages == "never read"
    for stage in found.stages:
        live = {byte for b in found.buffers if b.lives_in(stage.index)
                for byte in range(b.offset, b.end)}  # fmt: skip
        assert stage.live_bytes == len(live) <= found.arena_bytes
    assert found.peak is not None
    assert found.stages[found.peak].live_bytes == max(s.live_bytes for s in found.stages)


@every_program
def test_live_buffers_share_bytes_only_where_one_takes_the_place_of_another(
    program: Program,
) -> None:
    buffers = memory_map(program).buffers
    for n, a in enumerate(buffers):
        for b in buffers[n + 1 :]:
            together = a.offset < b.end and b.offset < a.end and a.first <= b.last
            if together and b.first <= a.last:
                assert "rows" not in (a.kind, b.kind) and "scratch" not in (a.kind, b.kind)
                assert a.last == b.first or b.last == a.first, (a, b)


@every_program
def test_the_text_says_what_is_where(program: Program) -> None:
    found = memory_map(program)
    columns = found.arena_bytes  # a column for each byte
    lines = list(text_lines(found, columns))
    rows, legend = lines[1 : len(found.stages) + 1], lines[len(found.stages) + 2 :]
    for stage, line in zip(found.stages, rows, strict=True):
        cells = line.removesuffix("  <- peak")[-columns:]
        assert line.endswith("  <- peak") == (stage.index == found.peak)
        for byte, cell in enumerate(cells):
            assert cell == expected_cell(found.buffers, stage.index, byte)
    assert len(legend) == len(found.buffers)
    for buffer, line in zip(found.buffers, legend, strict=True):
        assert line.startswith(buffer.mark) and line.endswith(f"  {buffer.name}")
        assert f" {buffer.bytes:,} bytes at " in line and f" {buffer.offset:,}, " in line


def expected_cell(buffers: tuple[MapBuffer, ...], stage: int, byte: int) -> str:
    marks = [b.mark for b in buffers if b.lives_in(stage) and b.offset <= byte < b.end]
    return FREE if not marks else marks[0] if len(marks) == 1 else SHARED


@every_program
def test_the_text_fits_a_terminal(program: Program) -> None:
    found = memory_map(program)
    for line in list(text_lines(found))[: len(found.stages) + 1]:
        assert len(line) <= 132
    assert set("".join(b.mark for b in found.buffers)) <= set(MARKS)


@every_program
def test_the_picture_has_a_rectangle_for_each_buffer(program: Program) -> None:
    found = memory_map(program)
    groups = ElementTree.fromstring(memory_svg(found, "a board")).findall(f"{SVG}g")
    drawn = [b for b in found.buffers if b.stages != "never read"]
    for buffer, group in zip(drawn, groups, strict=True):
        box, title = group.find(f"{SVG}rect"), group.findtext(f"{SVG}title")
        assert box is not None and title is not None
        assert title.startswith(f"{buffer.name}: {buffer.bytes:,} bytes at {buffer.offset:,}, ")
        pixels = MAP_WIDTH / found.arena_bytes
        assert float(box.attrib["x"]) == pytest.approx(LEFT + buffer.offset * pixels, abs=0.01)
        assert float(box.attrib["width"]) == pytest.approx(max(1, buffer.bytes * pixels), abs=0.01)
        assert int(box.attrib["y"]) == TOP + buffer.first * ROW + 2
        assert int(box.attrib["height"]) == (buffer.last - buffer.first + 1) * ROW - 4
        assert box.attrib["class"] == f"{buffer.kind} buffer"


@every_program
def test_labels_are_not_written_over_each_other(program: Program) -> None:
    root = ElementTree.fromstring(memory_svg(memory_map(program), "a board"))
    labels = [t.attrib | {"text": t.text or ""} for t in root.findall(f"{SVG}text")
              if t.attrib.get("class") == "small label"]  # fmt: skip
    spans = [(int(t["y"]), float(t["x"]), float(t["x"]) + 6 * len(t["text"])) for t in labels]
    for n, (y, start, end) in enumerate(spans):
        assert end < LEFT + MAP_WIDTH
        for other_y, other_start, other_end in spans[n + 1 :]:
            assert y != other_y or start >= other_end or other_start >= end


def test_names_from_the_model_are_escaped() -> None:
    program = PROGRAMS[0]
    found = memory_map(program)
    text = memory_svg(type(found)("<a> & b", *list(vars(found).values())[1:]), "<board>")
    assert ElementTree.fromstring(text).findtext(f"{SVG}title") == "Arena of <a> & b on <board>"


def test_rows_rings_and_scratch_have_names() -> None:
    kinds = {b.kind: b.name for program in PROGRAMS for b in memory_map(program).buffers}
    assert {"input", "output", "activation", "rows", "ring", "scratch"} <= kinds.keys()
    assert "of layer" in kinds["rows"] and kinds["ring"].startswith("ring of layer ")
    assert kinds["scratch"].startswith("scratch of layer")
    assert kinds["input"].startswith("input '") and kinds["output"].endswith("the model's")
