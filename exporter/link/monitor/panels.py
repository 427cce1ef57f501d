"""What stands in the panels of the live view: each is lines of at most so many rows."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from rich.cells import chop_cells
from rich.text import Text

from exporter.link.monitor import text
from exporter.link.monitor.events import Inference, TensorInfo, TensorRead
from exporter.link.monitor.picture import Picture
from exporter.link.monitor.poll import POLLED_BYTES

_LEVEL_STYLES = {"debug": "dim", "warning": "yellow", "error": "bold red", "note": "cyan"}
_TOP_STYLES = ("bold green", "green")
_GAP = "   "
_MOST_BINS = 8
_MOST_COLUMNS = 24
_ROWS_WITH_INPUTS = 8
_WIDTH_WITH_TIMES = 40
_QUIET_SECONDS = 3.0


def title(picture: Picture) -> str:
    """Who it is and where."""
    origin = f"{picture.device.origin} on " if picture.device else ""
    return f"{origin}{picture.port}"


def head(picture: Picture, clock: float, width: int) -> list[Text]:
    """State, boot, link and memory, as many to a line as there is room for.

    What matters most comes first, since a small terminal cuts the last lines.
    """
    fields = [
        ("", _state(picture, clock)),
        *_boot(picture, clock),
        *_guards(picture),
        *_link(picture),
    ]
    fields += [*_memory(picture), *_build(picture)]
    lines = [Text()]
    for name, value in fields:
        field = Text.assemble((f"{name} " if name else "", "dim"), text.clean(value))
        if "DAMAGED" in value:
            field.stylize("bold red")
        if lines[-1] and lines[-1].cell_len + len(_GAP) + field.cell_len > width:
            lines.append(Text())
        lines[-1].append_text(Text(_GAP if lines[-1] else "")).append_text(field)
    return lines


def _state(picture: Picture, clock: float) -> str:
    """Throughput comes every second, so no event means that a request waits for its reply."""
    quiet = clock - picture.at
    waits = picture.state == "connected" and quiet >= _QUIET_SECONDS
    return f"no reply for {text.duration(quiet)}" if waits else picture.state


def _boot(picture: Picture, clock: float) -> list[tuple[str, str]]:
    device = picture.device
    if device is None:
        return []
    fields = [("boot", f"{device.boot_nonce:08x}")]
    if picture.boot_at is not None:
        least = "" if picture.boot_seen else "at least "
        fields.append(("up", least + text.duration(clock - picture.boot_at)))
    return fields


def _build(picture: Picture) -> list[tuple[str, str]]:
    device = picture.device
    return [("build", device.build_id[:12]), ("dialect", device.dialect)] if device else []


def _link(picture: Picture) -> list[tuple[str, str]]:
    traffic = picture.throughput
    if traffic is None:
        return []
    damaged = f"{traffic.bad_frames:,}"
    if picture.memory is not None:
        damaged += f" here, {picture.memory.bad_frames:,} there"
    return [
        ("in", f"{text.per_second(traffic.received_bytes, traffic.seconds)} B/s"),
        ("out", f"{text.per_second(traffic.sent_bytes, traffic.seconds)} B/s"),
        ("damaged frames", damaged),
        ("repeated", f"{traffic.repeated_requests:,}"),
    ]


def _guards(picture: Picture) -> list[tuple[str, str]]:
    memory = picture.memory
    if memory is None:
        return []
    damaged = memory.guard_below_damaged + memory.guard_above_damaged
    return [("guards", f"DAMAGED in {damaged:,} B" if damaged else "intact")]


def _memory(picture: Picture) -> list[tuple[str, str]]:
    memory = picture.memory
    if memory is None:
        return []
    return [
        ("stack", f"{memory.stack_bytes:,} B"),
        ("arena", f"{memory.arena_bytes:,} B"),
        ("image", f"{memory.image_bytes:,} B"),
    ]


# --- tensors -------------------------------------------------------------------------------------


def tensors(picture: Picture, width: int, height: int) -> list[Text]:
    """Outputs as bars, single values over time, inputs as sparklines: outputs come first."""
    device = picture.device
    if device is None or height <= 0:
        return []
    inputs = device.inputs if height >= _ROWS_WITH_INPUTS else ()
    room = max(1, height - 2 * len(inputs))
    share = max(2, room // max(1, len(device.outputs)))
    lines = []
    for index, info in enumerate(device.outputs):
        lines += _output(picture, index, info, width, share)
    for index, info in enumerate(inputs):
        lines += _input(picture, index, info, width)
    return lines[:height]


def _output(picture: Picture, index: int, info: TensorInfo, width: int, height: int) -> list[Text]:
    read = picture.tensors.get(("output", index))
    lines = [_tensor_title("output", index, info)]
    if read is None or not read.values:
        return [*lines, _unread(info)]
    values = text.dequantized(info, read.values)
    if len(values) == 1:
        past = text.dequantized(info, picture.history.get(index, ()))
        now = f"{text.real(values[0])} "
        return [*lines, Text.assemble((now, "bold"), text.sparkline(past, width - len(now)))]
    if len(values) > height - 1 > 2:
        lines.append(Text(text.sparkline(values, width), style="blue"))
    return lines + _bars(values, info, width, max(1, height - len(lines)))


def _bars(
    values: np.ndarray[tuple[int], np.dtype[np.float64]], info: TensorInfo, width: int, rows: int
) -> list[Text]:
    """One bar for each value, or for the greatest ones; the greatest two stand out."""
    order = [int(i) for i in np.argsort(-values, kind="stable")]
    shown = range(len(values)) if len(values) <= rows else order[:rows]
    low, high = _axis(values, info)
    digits = len(str(len(values) - 1))
    lines = []
    for i in shown:
        value = float(values[i])
        number = f"{text.real(value):>8}"
        bar_width = width - digits - len(number) - 2
        drawn = _bar(value, low, high, bar_width)
        style = _TOP_STYLES[order.index(i)] if order.index(i) < len(_TOP_STYLES) else "none"
        lines.append(Text.assemble((f"{i:>{digits}} ", "dim"), (f"{drawn} {number}", style)))
    return lines


def _axis(
    values: np.ndarray[tuple[int], np.dtype[np.float64]], info: TensorInfo
) -> tuple[float, float]:
    """From where to where bars run. Probabilities (scale 1/256, zero point -128) up to 1."""
    if info.scale == 1 / 256 and info.zero_point == -128:
        return 0.0, 1.0
    return min(0.0, float(values.min())), max(0.0, float(values.max()))


def _bar(value: float, low: float, high: float, width: int) -> str:
    if width <= 0 or high <= low:
        return " " * max(0, width)
    ends = [(end - low) / (high - low) for end in (min(0.0, value), max(0.0, value))]
    return text.bar(ends[0], ends[1], width)


def _input(picture: Picture, index: int, info: TensorInfo, width: int) -> list[Text]:
    read: TensorRead | None = picture.tensors.get(("input", index))
    lines = [_tensor_title("input", index, info)]
    if read is None or not read.values:
        return [*lines, _unread(info)]
    values = text.dequantized(info, read.values)
    lines[0].append(f"  {text.real(values.min())} to {text.real(values.max())}", style="dim")
    return [*lines, Text(text.sparkline(values, width), style="magenta")]


def _tensor_title(role: str, index: int, info: TensorInfo) -> Text:
    shape = "x".join(map(str, info.shape))
    return Text.assemble(
        (f"{role} {index} ", "bold"), text.clean(info.name), (f"  {info.dtype} {shape}", "dim")
    )


def _unread(info: TensorInfo) -> Text:
    if info.size_bytes > POLLED_BYTES:
        return Text(f"{info.size_bytes:,} bytes, not polled", style="dim")
    return Text("not read yet", style="dim")


# --- inferences ----------------------------------------------------------------------------------


def inferences(picture: Picture, width: int, height: int) -> list[Text]:
    """How many and how fast; a histogram of the last ones."""
    traffic = picture.throughput
    speed = f"{text.per_second(traffic.inferences, traffic.seconds)}/s" if traffic else ""
    lines = [Text.assemble((f"{picture.inferences:,}", "bold"), f" done   {speed}")]
    if picture.latencies:
        hz = picture.device.ticks_hz if picture.device else 0
        lines += _device_times(picture.latencies, hz, width, height - 3)
        lines += _round_trips(picture.latencies, width)
    return lines[: max(0, height)]


def _device_times(runs: Collection[Inference], hz: int, width: int, rows: int) -> list[Text]:
    """Ticks on the device, and what they are in microseconds: the least of each bin."""
    bins = text.histogram([run.ticks for run in runs], max(1, min(_MOST_BINS, rows)))
    most = max(count for _, _, count in bins)
    labels = [f"{first:,} ticks" for first, _, _ in bins]
    times = [text.microseconds(first / hz) if hz else "" for first, _, _ in bins]
    lines = []
    for label, in_time, (_, _, count) in zip(labels, times, bins, strict=True):
        name = f"{label:>{max(map(len, labels))}} {in_time:>{max(map(len, times))}} "
        number = f" {count:>{len(f'{most:,}')},}"
        drawn = text.bar(0, count / most, max(0, width - len(name) - len(number)))
        lines.append(Text.assemble((name, "dim"), (drawn, "green"), number))
    return lines


def _round_trips(runs: Collection[Inference], width: int) -> list[Text]:
    """From request to reply, on the host: figures, then the histogram where there is room."""
    times = [round(run.round_trip_seconds * 1e6) for run in runs]
    middle, late = np.percentile(times, [50, 95])
    said = Text(f"round trip median {middle:,.0f} us, 95% {late:,.0f} us")
    counts = [count for _, _, count in text.histogram(times, min(_MOST_COLUMNS, width))]
    drawn = Text(text.sparkline(counts, width), style="green")
    if said.cell_len + 1 + drawn.cell_len <= width:
        return [said.append(" ").append_text(drawn)]
    return [said, drawn]


# --- log -----------------------------------------------------------------------------------------


def log(picture: Picture, width: int, height: int) -> list[Text]:
    """The last lines, folded; with their times where there is room for these."""
    rows = []
    for line in list(picture.lines)[-height:]:
        time = f"{text.clock(line.at)} " if width >= _WIDTH_WITH_TIMES else ""
        level = "" if line.level in ("note", "text") else f"{line.level} "
        parts = chop_cells(text.clean(level + line.text), max(2, width - len(time)))
        for i, part in enumerate(parts or [""]):
            style = _LEVEL_STYLES.get(line.level, "none")
            rows.append(Text.assemble((" " * len(time) if i else time, "dim"), (part, style)))
    return rows[-height:]
