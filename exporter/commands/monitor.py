"""The command `monitor`: what a device says and does, live, recorded, or from a recording."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import click
from rich.console import Console

from exporter.board import load_board
from exporter.commands.keys import key_interrupts
from exporter.console import Output
from exporter.errors import BadInput
from exporter.hil.session import port_opener, suit
from exporter.hil.vectors import load_vectors, make_vectors
from exporter.link.monitor.events import Event, TensorInfo
from exporter.link.monitor.picture import Picture
from exporter.link.monitor.plain import PlainView
from exporter.link.monitor.recording import Recorder, read_recording, replay
from exporter.link.monitor.view import LiveView
from exporter.link.monitor.watch import Plan, Vectors, watch
from exporter.options import (
    MODEL,
    board_option,
    check_running_port,
    common_options,
    running_port_option,
)

Take = Callable[[Event], None]
_SYNTHETIC = 64
_NAP_SECONDS = 0.2
_SCRIPT_PATIENCE_SECONDS = 30.0
_PERSON_PATIENCE_SECONDS = 3600.0


@dataclass(frozen=True)
class _Wish:
    """The options of the command."""

    board: str | None
    port: str | None
    run: bool
    inputs: Path | None
    rate: float | None
    count: int | None
    listen: bool
    record: Path | None
    replay: Path | None
    speed: float | None
    plain: bool


def _speed(context: click.Context, option: click.Parameter, value: str) -> float | None:
    """A factor above 0; None for "max"."""
    if value == "max":
        return None
    try:
        factor = float(value)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise click.BadParameter(f"{value!r} is neither a number above 0 nor 'max'.")
    return factor


@click.command()
@board_option(required=False)
@running_port_option
@click.option("--run", is_flag=True, help="Make inferences, one after the other.")
@click.option(
    "--inputs", type=MODEL, metavar="NPZ",
    help="With --run: your own inputs, in turn, as verify takes them, instead of synthetic ones.",
)  # fmt: skip
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), metavar="HZ",
    help="With --run: inferences a second, at most.",
)  # fmt: skip
@click.option(
    "--count", type=click.IntRange(1), metavar="N", help="With --run: end after N inferences."
)
@click.option(
    "--listen", is_flag=True,
    help="Send nothing at all: only what the device says unasked is shown.",
)  # fmt: skip
@click.option("--record", type=MODEL, metavar="FILE", help="Append what happens to FILE.")
@click.option("--replay", type=MODEL, metavar="FILE", help="Show a recording instead of a port.")
@click.option(
    "--speed", default="1", show_default=True, callback=_speed, metavar="FACTOR|max",
    help="With --replay: times the pace at which it was recorded.",
)  # fmt: skip
@click.option("--plain", is_flag=True, help="Lines, as where stdout is no terminal.")
@common_options
@click.pass_obj
def monitor(output: Output, /, **chosen: Any) -> None:
    r"""Show what a device says and holds, live, until q or Ctrl-C.

    It reads tensors and memory once a second, which changes nothing on the device; after a restart
    or a loss of the port it connects again. Only --run makes inferences.

    \b
    Examples:
      nanoexport monitor --port /dev/ttyACM0
      nanoexport monitor --port labgrid://board-1
      nanoexport monitor --port /dev/ttyACM0 --run --rate 10 --record run.jsonl
      nanoexport monitor --port socket://127.0.0.1:5555 --run --count 1000 --json
      nanoexport monitor --replay run.jsonl --speed 4
    """
    wish = _Wish(**chosen)
    _check(wish)
    live = not wish.plain and _can_draw(output)
    picture = Picture()
    try:
        with _views(output, wish, live=live) as takers:
            _show(wish, _all([*takers, picture.take]), live=live)
    finally:
        output.document(_document(wish, picture))
    if live:
        _conclude(output, _document(wish, picture))


def _all(takers: Sequence[Take]) -> Take:
    def take(event: Event) -> None:
        for each in takers:
            each(event)

    return take


def _check(wish: _Wish) -> None:
    """Raises BadInput for options that do not go together."""
    without_run = [name for name in ("inputs", "rate", "count") if getattr(wish, name) is not None]
    if without_run and not wish.run:
        raise _meaningless(without_run[0], "without --run")
    if wish.run and wish.listen:
        raise _meaningless("listen", "with --run")
    if wish.replay is None:
        check_running_port(wish.port)
        if click.get_current_context().get_parameter_source("speed") is not _DEFAULT:
            raise _meaningless("speed", "without --replay")
        return
    for name in ("port", "board", "run", "listen", "record"):
        if getattr(wish, name):
            raise _meaningless(name, "with --replay")


_DEFAULT = click.core.ParameterSource.DEFAULT


def _meaningless(option: str, why: str) -> BadInput:
    return BadInput(f"--{option} means nothing {why}", next_step="see: nanoexport monitor --help")


def _show(wish: _Wish, take: Take, *, live: bool) -> None:
    """Events from the port or the recording, until there are no more. Raises as their sources."""
    if wish.replay is not None:
        with contextlib.suppress(KeyboardInterrupt):
            replay(read_recording(wish.replay), take, wish.speed)
            while live:  # the last picture stays until the key
                time.sleep(_NAP_SECONDS)
        return
    uart = load_board(wish.board).uart if wish.board else None
    port, baud = str(wish.port), uart.baud if uart else None
    plan = Plan(
        listen_only=wish.listen,
        vectors=_vectors(wish.inputs) if wish.run else None,
        rate_hz=wish.rate,
        count=wish.count,
        reopen_seconds=_PERSON_PATIENCE_SECONDS if live else _SCRIPT_PATIENCE_SECONDS,
        on_met=lambda device: suit(device, port),
    )
    with port_opener(port, baud) as open_again:
        watch(port, open_again, take, plan)


def _vectors(path: Path | None) -> Vectors:
    """The user's vectors, or synthetic ones, over and over."""

    def of(inputs: Sequence[TensorInfo]) -> Iterator[Sequence[Any]]:
        return cycle(load_vectors(path, inputs) if path else make_vectors(inputs, _SYNTHETIC))

    return of


# --- where events go -----------------------------------------------------------------------------


def _can_draw(output: Output) -> bool:
    """Whether stdout is a terminal that takes a picture: one that moves its cursor, in UTF-8."""
    console = Console()
    return (
        not output.as_json
        and sys.stdout.isatty()  # whatever FORCE_COLOR says
        and not console.is_dumb_terminal
        and console.encoding.startswith("utf")
    )


@contextlib.contextmanager
def _views(output: Output, wish: _Wish, *, live: bool) -> Iterator[list[Take]]:
    """Who takes the events, in order: the recording first, so that no view can cost it one."""
    with contextlib.ExitStack() as stack:
        takers: list[Take] = []
        if wish.record is not None:
            takers.append(stack.enter_context(Recorder(wish.record)).take)
        if live:
            view = LiveView(of_recording=wish.replay is not None)
            stack.enter_context(_ended_by_sigterm())
            stack.enter_context(key_interrupts("q"))
            drawn = stack.enter_context(view.live(Console()))
            stack.callback(drawn.refresh)  # the last events are seen, too
            takers.append(view.take)
        else:
            takers.append(_lines(sys.stderr if output.as_json else sys.stdout))
        yield takers


def _lines(out: TextIO) -> Take:
    """Lines on `out`; whoever reads them may stop the monitor by going away (`| head`)."""
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="replace")
    view = PlainView(out)

    def take(event: Event) -> None:
        try:
            view.take(event)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
            raise KeyboardInterrupt from None

    return take


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """While the context lasts SIGTERM is as Ctrl-C, so that the terminal is restored."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


# --- what is said at the end ---------------------------------------------------------------------


def _document(wish: _Wish, picture: Picture) -> dict[str, Any]:
    """The result for programs. Latencies are medians of the last 1,000 inferences."""
    device, runs = picture.device, picture.latencies
    return {
        "port": picture.port or wish.port,
        "mode": picture.mode,
        "recording": str(wish.record or wish.replay) if wish.record or wish.replay else None,
        "seconds": round(picture.at - picture.began_at, 3),
        "model": device.model if device else None,
        "board": device.board if device else None,
        "build_id": device.build_id if device else None,
        "dialect": device.dialect if device else None,
        "events": picture.counts,
        "inferences": picture.inferences,
        "ticks_hz": device.ticks_hz if device else None,
        "ticks_median": statistics.median(run.ticks for run in runs) if runs else None,
        "round_trip_seconds_median": (
            statistics.median(run.round_trip_seconds for run in runs) if runs else None
        ),
    }


def _conclude(output: Output, document: Mapping[str, Any]) -> None:
    """What the live view leaves behind in the terminal."""
    events = document["events"]
    names = {"log": "log lines", "restarted": "restarts", "disconnected": "losses of the port"}
    told = [f"{name}: {events[kind]:,}" for kind, name in names.items() if events.get(kind)]
    if document["inferences"]:
        told.append(
            f"{document['inferences']:,} inferences, median {document['ticks_median']:,.0f} ticks"
        )
    output.text(f"watched {document['port']} for {document['seconds']:,.0f} s")
    for line in told:
        output.text(f"  {line}")
    if document["recording"]:
        output.text(f"  recording: {document['recording']}")
