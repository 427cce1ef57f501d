"""The live view: a picture of the device that fills the terminal, whatever its size."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from exporter.errors import defect
from exporter.link.monitor import panels
from exporter.link.monitor.events import Event
from exporter.link.monitor.picture import Picture
from exporter.link.monitor.text import clean

_FRAMES_PER_SECOND = 5
_WIDE = 80
_BORDER_ROWS = 2
_BORDER_COLUMNS = 4
_LEAST_LOG_ROWS = 3
_HEAD_SHARE = 6  # one row in so many


class LiveView:
    """A rich renderable that follows events. It is drawn in another thread than it is fed.

    With `of_recording` its clock is that of the events.
    """

    def __init__(self, *, of_recording: bool = False) -> None:
        self._picture = Picture()
        self._lock = threading.Lock()
        self._of_recording = of_recording

    def take(self, event: Event) -> None:
        """Follow one event; it is seen with the next frame."""
        with self._lock:
            self._picture.take(event)

    def live(self, console: Console) -> Live:
        """A context in which the view fills the screen of `console`, drawn anew all the time."""
        return Live(self, console=console, screen=True, refresh_per_second=_FRAMES_PER_SECOND)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """See rich."""
        height = options.height or console.height
        with self._lock:
            clock = self._picture.at if self._of_recording else time.time()
            yield self._draw(clock, options.max_width, height)

    def _draw(self, clock: float, width: int, height: int) -> RenderableType:
        """The screen. A defect of ours is shown in its place: else the view would just stand."""
        try:
            return _screen(self._picture, clock, width, height)
        except Exception as error:
            return Text(f"{defect(error)}\nThe events go on; --plain shows them.")


def _screen(picture: Picture, clock: float, width: int, height: int) -> Layout:
    """Head, tensors, inferences, log from top to bottom; side by side where there is room.

    Rows are given to the head, then to the log's last lines, then to the rest.
    """
    inner = max(1, width - _BORDER_COLUMNS)
    head = panels.head(picture, clock, inner)[: max(1, height // _HEAD_SHARE)]
    rows = [Layout(_panel(panels.title(picture), head, _style(picture)), size=len(head) + 2)]
    left = height - len(head) - _BORDER_ROWS
    middle = _middle(picture, width, left - _LEAST_LOG_ROWS - _BORDER_ROWS)
    if middle is not None:
        rows.append(middle)
        left -= middle.size or 0
    if left > _BORDER_ROWS:
        keys = "end of the recording, q ends" if picture.state == "ended" else "q ends"
        log = panels.log(picture, inner, left - _BORDER_ROWS)
        rows.append(Layout(_panel("log", log, subtitle=keys), size=left))
    screen = Layout()
    screen.split_column(*rows)
    return screen


def _middle(picture: Picture, width: int, height: int) -> Layout | None:
    """Tensors and inferences in at most `height` rows; None where there is nothing or no room."""
    running = picture.mode == "run" or bool(picture.latencies)
    has_tensors = bool(picture.device and (picture.device.outputs or picture.device.inputs))
    middle = Layout()
    if running and has_tensors and width >= _WIDE:
        parts = [
            _part("tensors", panels.tensors, picture, width // 2, height),
            _part("inferences", panels.inferences, picture, width - width // 2, height),
        ]
        middle.split_row(*(Layout(panel) for panel, _ in parts))
        middle.size = max(rows for _, rows in parts)
        return middle if height > _BORDER_ROWS else None
    share = height // 2 if running and has_tensors else height
    runs = [_part("inferences", panels.inferences, picture, width, share)] if running else []
    left = height - sum(rows for _, rows in runs)
    values = [_part("tensors", panels.tensors, picture, width, left)] if has_tensors else []
    parts = [(panel, rows) for panel, rows in values + runs if rows > _BORDER_ROWS]
    middle.split_column(*(Layout(panel, size=rows) for panel, rows in parts))
    middle.size = sum(rows for _, rows in parts)
    return middle if parts else None


def _part(
    title: str,
    draw: Callable[[Picture, int, int], list[Text]],
    picture: Picture,
    width: int,
    height: int,
) -> tuple[Panel, int]:
    """A panel of at most `height` rows, and the rows that it takes."""
    lines = draw(picture, width - _BORDER_COLUMNS, height - _BORDER_ROWS)
    return _panel(title, lines), len(lines) + _BORDER_ROWS


def _panel(
    title: str, lines: Sequence[Text], style: str = "none", subtitle: str | None = None
) -> Panel:
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Panel(
        Group(*lines),
        title=Text(clean(title), style="bold", no_wrap=True, overflow="ellipsis"),
        title_align="left",
        subtitle=Text(subtitle, style="dim") if subtitle else None,
        subtitle_align="right",
        border_style=style,
    )


def _style(picture: Picture) -> str:
    if picture.state in ("connected", "listening", "ended"):
        return "green"
    return "yellow" if picture.state in ("connecting", "waiting", "no answer") else "red"
