"""Recordings: what is written is read back, a torn line costs itself only, broken ones are told."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import get_args

import pytest

from exporter.errors import BadInput
from exporter.link.monitor import events
from exporter.link.monitor.events import Event, from_json, to_json
from exporter.link.monitor.recording import Recorder, read_recording, replay
from tests.link.monitor.scenes import CONNECTED, RUN, SCORES, START


def record(path: Path, run: list[Event]) -> Path:
    with Recorder(path) as recorder:
        for event in run:
            recorder.take(event)
    return path


def test_the_scene_has_an_event_of_every_kind() -> None:
    assert {type(event) for event in RUN} == set(get_args(events.Event))


@pytest.mark.parametrize("event", RUN, ids=lambda event: event.kind)
def test_an_event_survives_its_line(event: Event) -> None:
    line = to_json(event)
    assert "\n" not in line and from_json(line) == event


def test_a_scale_that_is_no_number_survives() -> None:
    odd = SCORES.model_copy(update={"scale": math.nan})
    read = from_json(to_json(CONNECTED.model_copy(update={"outputs": (odd,)})))
    assert isinstance(read, events.Connected) and math.isnan(read.outputs[0].scale)


def test_a_recording_is_read_back_and_continued(tmp_path: Path) -> None:
    path = record(tmp_path / "run.jsonl", RUN)
    assert json.loads(path.read_text().splitlines()[0])["schema_version"] == 1
    assert list(read_recording(path)) == RUN
    record(path, RUN[:3])
    assert list(read_recording(path)) == RUN + RUN[:3]


def test_every_event_is_in_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with Recorder(path) as recorder:
        for count, event in enumerate(RUN, start=1):
            recorder.take(event)
            assert len(list(read_recording(path))) == count


@pytest.mark.parametrize("cut", range(1, len(to_json(RUN[-1])) + 1))
def test_a_torn_last_line_is_left_out_and_replaced(cut: int, tmp_path: Path) -> None:
    path = record(tmp_path / "run.jsonl", RUN)
    path.write_bytes(path.read_bytes()[:-cut])
    assert list(read_recording(path)) == RUN[:-1]
    record(path, RUN[:2])
    assert list(read_recording(path)) == RUN[:-1] + RUN[:2]


def test_a_torn_header_begins_anew(tmp_path: Path) -> None:
    path = record(tmp_path / "run.jsonl", [])
    path.write_bytes(path.read_bytes()[:-1])
    record(path, RUN)
    assert list(read_recording(path)) == RUN


HEADER = b'{"kind": "nanoexport-recording", "schema_version": 1}\n'
GOOD = to_json(RUN[0]).encode() + b"\n"
BROKEN = {
    "empty": (b"", "empty file"),
    "another file": (b"\x7fELF\x00\x01\n", "not a recording"),
    "json of another kind": (b'{"kind": "report"}\n', "not a recording"),
    "a list": (b"[1]\n", "not a recording"),
    "nested": (b"[" * 100_000, "not a recording"),
    "a newer schema": (HEADER.replace(b"1}", b"2}"), "schema_version 2"),
    "no schema": (b'{"kind": "nanoexport-recording"}\n', "schema_version None"),
    "a damaged line": (HEADER + GOOD + b"{nonsense\n" + GOOD, "line 3"),
    "an empty line": (HEADER + b"\n" + GOOD, "line 2"),
    "no utf-8": (HEADER + b"\xff\xfe\n", "UTF-8"),
    "an unknown kind": (HEADER + b'{"kind": "sneeze", "at": 1}\n', "line 2"),
    "a field too many": (HEADER + b'{"kind":"ended","at":1,"x":2}\n', "ended.x"),
    "no time": (HEADER + b'{"kind":"ended"}\n', "ended.at"),
    "a time that is none": (HEADER + b'{"kind":"ended","at":1e99}\n', "ended.at"),
    "a huge number": (
        HEADER + b'{"kind":"tensor","at":1,"role":"output","index":0,"values":[1e300]}\n',
        "tensor.values.0",
    ),
    "a long line": (HEADER + b"x" * (1 << 20) + b"\n", "over 1,048,576 bytes"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_recordings_are_told(name: str, tmp_path: Path) -> None:
    data, told = BROKEN[name]
    path = tmp_path / "run.jsonl"
    path.write_bytes(data)
    with pytest.raises(BadInput) as error:
        list(read_recording(path))
    assert told in str(error.value) and str(path) in str(error.value)


def test_what_stands_before_the_damage_is_replayed(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(HEADER + GOOD + b"{nonsense\n")
    taken: list[Event] = []
    with pytest.raises(BadInput):
        replay(read_recording(path), taken.append, None)
    assert taken == RUN[:1]


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(BadInput, match="cannot read"):
            list(read_recording(path))
    for path in (tmp_path, tmp_path / "absent" / "run.jsonl", Path("/dev/full")):
        with pytest.raises(BadInput, match="cannot write"):
            record(path, RUN)


def test_a_file_that_is_no_recording_is_not_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine\n")
    with pytest.raises(BadInput, match="not a recording"):
        Recorder(path)
    assert path.read_text() == "mine\n"


def test_the_pace_of_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    seen: list[float] = []
    monkeypatch.setattr("time.monotonic", lambda: clock[0])

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    again = [event.model_copy(update={"at": event.at + 1e6}) for event in RUN[:3]]
    replay([*RUN, *again], lambda event: seen.append(clock[0]), 4.0, sleep)
    expected = [(event.at - START) / 4 for event in RUN]
    expected += [2.5 + (event.at - START) / 4 for event in RUN[:3]]  # no wait between two runs
    assert seen == pytest.approx(expected, abs=1e-6)
    clock[0] = 0.0
    replay(RUN, lambda event: None, None, sleep)
    assert clock[0] == 0.0


def test_a_clock_that_was_set_back_costs_no_time() -> None:
    waits: list[float] = []
    back = [RUN[0], RUN[3].model_copy(update={"at": 5.0}), RUN[-1].model_copy(update={"at": 5.0})]
    replay(back, lambda event: None, 1.0, waits.append)
    assert waits == []
