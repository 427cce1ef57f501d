"""Events for tests: one of each kind, and a run of the monitor as it happens."""

from __future__ import annotations

from exporter.link.monitor import events
from exporter.link.monitor.events import Event, TensorInfo

START = 1_700_000_000.0
SCORES = TensorInfo(
    name="scores", dtype="int8", shape=(1, 4), scale=1 / 256, zero_point=-128, size_bytes=4
)
LEVEL = TensorInfo(name="level", dtype="int16", shape=(1, 1), scale=0.5, zero_point=0, size_bytes=2)
IMAGE = TensorInfo(
    name="image", dtype="int8", shape=(1, 96, 96, 3), scale=1.0, zero_point=0, size_bytes=27648
)
CONNECTED = events.Connected(
    at=START + 1,
    again=False,
    model="digits",
    model_sha256="11" * 32,
    board="mps2-an386",
    build_id="ab" * 32,
    dialect="tflite",
    boot_nonce=0x12345678,
    ticks_hz=25_000_000,
    arena_bytes=1568,
    inputs=(IMAGE,),
    outputs=(SCORES, LEVEL),
)


def tensor(at: float, role: str, index: int, *values: int, stride: int = 1) -> Event:
    return events.TensorRead.model_validate(
        {"at": at, "role": role, "index": index, "stride": stride, "values": values}
    )


def memory(at: float, *, damaged: int = 0) -> events.Memory:
    return events.Memory(
        at=at,
        arena_bytes=1568,
        guard_bytes=32,
        guard_below_damaged=0,
        guard_above_damaged=damaged,
        stack_bytes=204,
        image_bytes=24372,
        bad_frames=3,
    )


def throughput(at: float, inferences: int = 0) -> events.Throughput:
    return events.Throughput(
        at=at,
        seconds=2.0,
        received_bytes=1000,
        sent_bytes=4000,
        inferences=inferences,
        bad_frames=1,
        repeated_requests=2,
    )


def inference(at: float, number: int, ticks: int = 3230, seconds: float = 0.004) -> Event:
    return events.Inference(
        at=at, number=number, ticks=ticks, round_trip_seconds=seconds, stack_bytes=204
    )


RUN: list[Event] = [
    events.Began(at=START, port="/dev/ttyACM0", mode="run"),
    events.Silent(at=START + 0.5, port="/dev/ttyACM0"),
    events.TextLine(at=START + 0.6, text="hello from a boot loader"),
    CONNECTED,
    events.Log(at=START + 1.5, level="warning", text="warm", sequence=1, boot_nonce=0x12345678),
    tensor(START + 1.6, "input", 0, *range(-100, 100), stride=139),
    memory(START + 1.7),
    *(inference(START + 2 + i / 100, i + 1, 3230 + i % 3) for i in range(20)),
    tensor(START + 2.5, "output", 0, -128, 96, -64, -128),
    tensor(START + 2.5, "output", 1, 250),
    throughput(START + 3, inferences=20),
    events.Restarted(at=START + 4, what="the device restarted", fault="HardFault (pc=0x00001234)"),
    CONNECTED.model_copy(update={"at": START + 4.1, "again": True, "boot_nonce": 0xABCD}),
    tensor(START + 4.2, "output", 0, -128, -128, 126, -128),
    tensor(START + 4.2, "output", 1, 7),
    memory(START + 4.3, damaged=5),
    throughput(START + 5),
    events.Trouble(at=START + 6, what="no reply to READ", value="sent 3 times"),
    events.Disconnected(at=START + 7, what="the connection broke", value="unplugged"),
    events.Reopened(at=START + 8, port="/dev/ttyACM0"),
    CONNECTED.model_copy(update={"at": START + 8.1, "again": True, "boot_nonce": 0xABCE}),
    throughput(START + 9),
    events.Ended(at=START + 10),
]
