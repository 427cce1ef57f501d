"""The live view, drawn to consoles of fixed size and compared by content; the lines beside it."""

from __future__ import annotations

import io
import math

import pytest
from rich.cells import cell_len
from rich.console import Console

from exporter.link.monitor import events, text
from exporter.link.monitor.events import Event
from exporter.link.monitor.plain import PlainView
from exporter.link.monitor.view import LiveView
from tests.link.monitor.scenes import CONNECTED, RUN, SCORES, START, inference, tensor, throughput


def draw(
    run: list[Event], width: int = 100, height: int = 30, *, of_recording: bool = True
) -> list[str]:
    """The rows of the view after `run`."""
    view = LiveView(of_recording=of_recording)
    for event in run:
        view.take(event)
    console = Console(
        file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None
    )
    with console.capture() as captured:
        console.print(view, end="", height=height)
    return captured.get().splitlines()


def until(kind: str, nth: int = 1) -> list[Event]:
    """The run up to the nth event of that kind."""
    places = [i for i, event in enumerate(RUN) if event.kind == kind]
    return RUN[: places[nth - 1] + 1]


def lines(run: list[Event]) -> list[str]:
    out = io.StringIO()
    view = PlainView(out)
    for event in run:
        view.take(event)
    return out.getvalue().splitlines()


def test_everything_has_its_place() -> None:
    rows = draw(until("throughput"))
    screen = "\n".join(rows)
    assert len(rows) == 30 and all(cell_len(row) == 100 for row in rows)
    assert "digits@mps2-an386 on /dev/ttyACM0" in rows[0]
    for told in (
        "connected", "boot 12345678", "up at least 0:00:02", "guards intact", "in 500 B/s",
        "out 2,000 B/s", "damaged frames 1 here, 3 there", "repeated 2", "stack 204 B",
        "arena 1,568 B", "image 24,372 B", "build abababababab", "dialect tflite",
        "input 0 image  int8 1x96x96x3", "20 done   10/s", "warning warm", "q ends",
        "hello from a boot loader", "round trip median 4,000 us",
    ):  # fmt: skip
        assert told in screen, told


def test_bars_are_as_long_as_the_numbers_are_great() -> None:
    rows = draw(until("throughput"))
    bars = {row[2:4].strip(): row[:50] for row in rows if row[2:4].strip() in {*"0123"}}
    lengths = {index: row.count("█") for index, row in bars.items()}
    room = 50 - 4 - len("0 ") - len(" ") - 8
    assert lengths == {"0": 0, "1": int(room * 224 / 256), "2": room // 4, "3": 0}
    assert "0.875" in bars["1"] and "0.250" in bars["2"]


def test_single_values_are_shown_over_time() -> None:
    run = until("throughput")
    for second, value in enumerate(range(0, 80, 10)):
        run += [tensor(START + 3 + second, "output", 1, value), throughput(START + 3 + second)]
    (row,) = [row for row in draw(run) if "▁" in row and "35.000 " in row]
    assert "35.000 █▁▁▂▂▂▂▃▃" in row  # 125 first, then 0 to 35


def test_of_many_classes_the_greatest_are_shown() -> None:
    many = SCORES.model_copy(update={"shape": (1, 1000)})
    values = [-128] * 1000
    values[123], values[777] = 100, -100
    run = [
        RUN[0],
        CONNECTED.model_copy(update={"outputs": (many,), "inputs": ()}),
        tensor(START + 2, "output", 0, *values),
    ]
    rows = draw(run, 60, 20)
    shown = [row.split()[1] for row in rows if row.rstrip(" │").endswith(("0.891", "0.109"))]
    assert shown == ["123", "777"]
    assert any("▁▁▁" in row and "█" in row for row in rows)  # all of them, as a sparkline


def test_the_histogram_has_ticks_and_microseconds() -> None:
    rows = draw(until("throughput"))
    found = [row.split("│")[3].split() for row in rows if " ticks " in row]
    assert [(r[0], r[2], r[-1]) for r in found] == [
        ("3,230", "129.2", "7"), ("3,231", "129.2", "7"), ("3,232", "129.3", "6"),
    ]  # fmt: skip


def test_a_restart_a_fault_damage_and_a_lost_port() -> None:
    screen = "\n".join(draw(until("throughput", 2)))
    assert "HardFault (pc=0x00001234)" in screen and "guards DAMAGED in 5 B" in screen
    assert "boot 0000abcd" in screen and "up 0:00:00" in screen  # this one was seen to start
    assert "disconnected" in "\n".join(draw(until("disconnected")))
    screen = "\n".join(draw(RUN))
    assert "/dev/ttyACM0 is back" in screen and "up at least 0:00:01" in screen
    assert "end of the recording" in screen


def test_brackets_control_characters_and_wide_letters() -> None:
    odd = "[bold]x[/] \x1b[31mred\x07 \u202eright 日本語テキスト\ttab"
    run = [RUN[0], events.Log(at=START, level="info", text=odd, sequence=1, boot_nonce=1)]
    rows = draw(run)
    (row,) = [row for row in rows if "bold" in row]
    assert "[bold]x[/] [31mred right 日本語テキスト tab" in row
    assert all(cell_len(row) == 100 for row in rows)
    assert "[bold]x[/] [31mred right 日本語テキスト tab" in lines(run)[0]


def test_long_lines_are_folded() -> None:
    run = [RUN[0], events.TextLine(at=START, text="x" * 150 + "end")]
    assert "end" in "\n".join(draw(run)) and "x…" not in "\n".join(draw(run))


SIZES = [(w, h) for w in (1, 2, 3, 5, 8, 13, 20, 39, 60, 79, 80, 200) for h in (1, 2, 4, 7, 12, 50)]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_any_size_of_a_terminal_will_do(width: int, height: int) -> None:
    wide = events.TextLine(at=START + 20, text="日本語テキスト" * 9)
    for run in ([], RUN[:1], until("throughput"), [*RUN, wide]):
        rows = draw(run, width, height)
        assert len(rows) == height and all(cell_len(row) <= max(width, 2) for row in rows)


def test_a_request_that_waits_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: CONNECTED.at + 65.5)
    assert "no reply for 0:01:05" in "\n".join(draw([RUN[0], CONNECTED], of_recording=False))
    assert "no reply" not in "\n".join(draw([RUN[0], CONNECTED]))


def test_long_values_of_troubles_are_cut() -> None:
    screen = "\n".join(draw([events.Trouble(at=START, what="no reply", value="ab " * 400)]))
    assert "no reply: ab ab" in screen and screen.count("ab") < 60


def test_a_defect_of_the_view_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> list[object]:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("exporter.link.monitor.panels.head", broken)
    assert "ZeroDivisionError: oops" in "\n".join(draw(RUN))


def odd_devices() -> list[events.Connected]:
    odd = [
        SCORES.model_copy(update={"scale": scale, "name": "[/]\x1b"})
        for scale in (0.0, -1.0, math.nan, math.inf, 1e-40, 3e38)
    ]
    empty = SCORES.model_copy(update={"shape": (0,), "size_bytes": 0})
    return [
        CONNECTED.model_copy(update={"outputs": (*odd, empty), "inputs": (empty,), "ticks_hz": 0}),
        CONNECTED.model_copy(update={"outputs": (), "inputs": ()}),
    ]


@pytest.mark.parametrize("device", odd_devices(), ids=["odd scales", "no tensors"])
def test_devices_that_say_nonsense(device: events.Connected) -> None:
    run = [
        RUN[0],
        device,
        *(tensor(START, "output", index, -(2**31), 2**31 - 1, 0, 5) for index in range(9)),
        tensor(START, "output", 6),
        tensor(START, "input", 0),
        inference(START, 1, 2**64 - 1, 0.0),
        inference(START, 2, 0, 2.0**33),
        throughput(START).model_copy(update={"seconds": 0.0}),
        events.Log(at=START, level="level 200", text="", sequence=0, boot_nonce=0),
    ]
    for width, height in ((20, 10), (60, 20), (100, 30)):
        assert len(draw(run, width, height)) == height
    assert lines([*run, RUN[-1]])


def test_lines_tell_what_the_view_shows() -> None:
    told = [line.split(" ", 1)[1] for line in lines(RUN)]
    assert told[:5] == [
        "-- device: /dev/ttyACM0 does not answer; showing the text it sends",
        "device: hello from a boot loader",
        "-- digits@mps2-an386: build abababababab, dialect tflite, boot 12345678",
        "digits@mps2-an386 [12345678] warning: warm",
        "digits@mps2-an386 arena 1,568 bytes, guards intact, stack 204, image 24,372",
    ]
    assert told[5:9] == [
        "digits@mps2-an386 output 0 scores: 0.000 0.875 0.250 0.000",
        "digits@mps2-an386 output 1 level: 125.000",
        "digits@mps2-an386 20 inferences, 10/s, median 3,231 ticks, round trip 4,000 us",
        "-- digits@mps2-an386: the device restarted: HardFault (pc=0x00001234)",
    ]
    assert "-- digits@mps2-an386: the connection broke: unplugged; waiting for it" in told
    assert told[-1] == "-- digits@mps2-an386: end"


def test_lines_do_not_repeat_outputs() -> None:
    run = [RUN[0], CONNECTED, tensor(START, "output", 1, 4)]
    run += [throughput(START + second) for second in range(5)]
    assert len([line for line in lines(run) if "output 1" in line]) == 1


def test_sparklines() -> None:
    assert text.sparkline([], 10) == "" and text.sparkline([1, 2], 0) == ""
    assert text.sparkline([5, 5, 5], 10) == "▁▁▁"
    assert text.sparkline(range(8), 10) == "▁▂▃▄▅▆▇█"
    assert text.sparkline([0, 0, 7, 7], 2) == "▁█"


def test_bars() -> None:
    assert text.bar(0, 1, 4) == "████" and text.bar(0, 0, 4) == "    "
    assert text.bar(0, 0.5, 3) == "█▌ " and text.bar(0.5, 1, 4) == "  ██"


def test_histograms_count_everything_once() -> None:
    assert text.histogram([7, 7], 8) == [(7, 7, 2)]
    assert text.histogram([1, 2, 2, 4], 8) == [(1, 1, 1), (2, 2, 2), (3, 3, 0), (4, 4, 1)]
    wide = text.histogram(list(range(100)), 8)
    assert len(wide) <= 8 and sum(count for _, _, count in wide) == 100
    assert wide[0][0] == 0 and wide[-1][1] >= 99
