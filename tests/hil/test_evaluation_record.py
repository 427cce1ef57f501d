"""The record: what a crash may leave of it, what it is not mixed with, and who may write it."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import numpy as np
import pytest

from exporter.errors import BadInput
from exporter.hil.evaluation.record import Output, Record, Result

OF = {"model_sha256": "ab" * 32, "inputs_sha256": "cd" * 32, "samples": 9}
OUTPUTS = (Output((1, 3)), Output((1, 2)))


def result(k: int) -> Result:
    return Result([np.full((1, 3), k, np.int8), np.full((1, 2), -k, np.int8)], 100 + k, "A")


def opened(path: Path, *, fresh: bool = False, **other: object) -> Record:
    return Record(path, {**OF, **other}, OUTPUTS, fresh=fresh)


def add_many(path: Path) -> None:
    with opened(path) as record:
        for k in range(100):
            record.add("board", k, result(k))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A record with five results of the board and one of the oracle."""
    path = tmp_path / "folder" / "record.jsonl"
    with opened(path) as record:
        for k in range(5):
            record.add("board", k, result(k))
        record.add("oracle", 7, result(7))
    return path


def test_what_was_added_is_there_again(path: Path) -> None:
    with opened(path) as record:
        assert record.kept.damaged == 0
        assert [*record.kept.board] == [0, 1, 2, 3, 4] and [*record.kept.oracle] == [7]
        kept = record.kept.board[3]
        assert (kept.stack_bytes, kept.device) == (103, "A")
        assert kept.outputs[0].tolist() == [[3, 3, 3]] and kept.outputs[1].tolist() == [[-3, -3]]
        assert kept.outputs[0].dtype == np.int8


def test_it_is_cut_anywhere(path: Path, tmp_path: Path) -> None:
    """Wherever a crash ends it: whole results stay, new ones go on lines of their own."""
    whole = path.read_bytes()
    ends = [k + 1 for k, byte in enumerate(whole) if byte == ord("\n")]
    torn = tmp_path / "torn.jsonl"
    for size in [*range(0, ends[0] + 1, 5), *range(ends[3], len(whole), 13)]:
        torn.write_bytes(whole[:size])
        with opened(torn) as record:
            lines = sum(end <= size for end in ends)
            assert len(record.kept.board) + len(record.kept.oracle) == max(0, lines - 1)
            record.add("board", 8, result(8))
        with opened(torn) as record:
            assert record.kept.damaged == 0 and 8 in record.kept.board


@pytest.mark.parametrize("damage", ["zeros", "one digit", "no object", "another crc"])
def test_a_damaged_line_is_run_again_and_the_others_are_not(path: Path, damage: str) -> None:
    """A loss of power leaves holes between what was written before and after."""
    lines = path.read_bytes().split(b"\n")
    entry = json.loads(lines[2])
    if damage == "zeros":
        lines[2] = bytes(len(lines[2]))
    elif damage == "one digit":
        entry["outputs"][0] = "AgMC"
        lines[2] = json.dumps(entry).encode()
    elif damage == "no object":
        lines[2] = b"[1, 2]"
    else:
        entry["crc"] += 1
        lines[2] = json.dumps(entry).encode()
    path.write_bytes(b"\n".join(lines))
    with opened(path) as record:
        assert record.kept.damaged == 1 and [*record.kept.board] == [0, 2, 3, 4]


def test_a_record_of_something_else_is_refused_and_kept(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(BadInput, match="another evaluation") as caught:
        opened(path, model_sha256="ef" * 32, board="host")
    error = caught.value
    assert error.value == f"model_sha256 {'ab' * 8}...; board None"
    assert error.allowed == f"model_sha256 {'ef' * 8}...; board host"
    assert "--fresh" in str(error.next_step) and "--results" in str(error.next_step)
    assert path.read_bytes() == before


def test_fresh_begins_anew_also_where_it_is_of_something_else(path: Path) -> None:
    with opened(path, fresh=True, samples=3) as record:
        assert not record.kept.board
        record.add("board", 1, result(1))
    with opened(path, samples=3) as record:
        assert [*record.kept.board] == [1]


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"{}\n", b"no newline", b"\n", b"\x00\x01"])
def test_another_file_is_never_written_to(tmp_path: Path, content: bytes, fresh: bool) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="no record of an evaluation"):
        opened(path, fresh=fresh)
    assert path.read_bytes() == content


def test_a_record_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "later.jsonl"
    path.write_text('{"nanoexport_evaluation":2,"of":{}}\n', encoding="utf-8")
    with pytest.raises(BadInput, match="no record") as caught:
        opened(path)
    assert caught.value.value == "version 2"


def test_two_runs_on_one_record_exclude_each_other(path: Path) -> None:
    with (
        opened(path),
        pytest.raises(BadInput, match="another evaluation is writing") as caught,
    ):
        opened(path, fresh=True)
    assert "--results" in str(caught.value.next_step)
    with opened(path) as record:
        assert len(record.kept.board) == 5, "and the one that was refused dropped nothing"


def test_a_disk_without_room_keeps_the_whole_lines(tmp_path: Path) -> None:
    path, room = tmp_path / "record.jsonl", 1000
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        with pytest.raises(BadInput, match="cannot write the record"):
            add_many(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.stat().st_size == room
    with opened(path) as record:
        assert [*record.kept.board] == [*range(len(record.kept.board))] and record.kept.board


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "record.jsonl"):
        with pytest.raises(BadInput, match="cannot write the record"):
            opened(path)
