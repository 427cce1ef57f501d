"""The man in the middle: what passes, what is rewritten, whatever the order of frames."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.hil.controls.outputs import Exchange, Stuck, Swap
from exporter.hil.controls.relay import READ_REQUEST, Census, Relay, Tamper
from exporter.hil.controls.transfer import Drop
from exporter.link import Transport, frames
from exporter.link.messages import Command, Kind, Message

NONCE = 7
OUTPUT = 1


class Line(Transport):
    """A serial line whose far end is the test."""

    name = "line"

    def __init__(self) -> None:
        self.written = b""
        self.arriving = b""

    def write(self, data: bytes) -> None:
        """See Transport."""
        self.written += data

    def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """See Transport."""
        data, self.arriving = self.arriving[:max_bytes], self.arriving[max_bytes:]
        return data

    def close(self) -> None:
        """See Transport."""


def request(sequence: int, command: Command = Command.READ, payload: bytes = b"") -> bytes:
    return frames.encode(Message(Kind.REQUEST, command, 0, sequence, NONCE, payload).encode())


def read_of(sequence: int, tensor: int, offset: int, count: int) -> bytes:
    return request(sequence, payload=READ_REQUEST.pack(tensor, offset, count))


def reply(sequence: int, payload: bytes, command: Command = Command.READ) -> bytes:
    return frames.encode(Message(Kind.REPLY, command, 0, sequence, NONCE, payload).encode())


def payloads(stream: bytes) -> list[bytes]:
    """The payloads of the intact frames in a stream."""
    messages = [Message.decode(body) for body in frames.Decoder().feed(stream)]
    return [message.payload for message in messages if message is not None]


def answered(relay: Relay, line: Line, *replies: bytes) -> list[bytes]:
    """What the host gets of these replies."""
    line.arriving = b"".join(replies)
    return payloads(relay.read(1 << 16, 0))


@pytest.mark.parametrize("portion", [1, 3, 1000])
def test_what_is_not_tampered_with_passes(portion: int) -> None:
    """Frames, also damaged ones, and noise: the far side finds in them what it would have."""
    good, noise = read_of(5, 1, 0, 4), b"boot \xff\xfe\0"
    damaged = bytes([*good[:4], good[4] ^ 1, *good[5:]])
    stream = noise + good + damaged + good
    line = Line()
    relay = Relay(line)
    for start in range(0, len(stream), portion):
        relay.write(stream[start : start + portion])
    decoder = frames.Decoder()
    assert [frames.encode(body) for body in decoder.feed(line.written)] == [good, good]
    assert decoder.bad_frames == 2
    line.arriving = stream
    found = b"".join(relay.read(portion, 0) for _ in range(2 * len(stream)))
    assert found == line.written


def test_replies_are_known_by_their_sequence_number() -> None:
    """Two requests under way, answered in the other order, one of them twice."""
    line = Line()
    relay = Relay(line)
    relay.tamper = Swap(OUTPUT, 0, 0, 1, item_bytes=1)
    relay.write(read_of(10, 0, 0, 2) + read_of(11, OUTPUT, 0, 2))
    swapped, kept = reply(11, b"ab"), reply(10, b"xy")
    assert answered(relay, line, swapped, kept, swapped) == [b"ba", b"xy", b"ba"]
    assert relay.tamper.changed == 2


def test_elements_are_swapped_in_the_portion_that_has_both() -> None:
    line = Line()
    relay = Relay(line)
    relay.tamper = Swap(OUTPUT, 0, 2, 3, item_bytes=2)
    relay.write(read_of(1, OUTPUT, 0, 4) + read_of(2, OUTPUT, 4, 4) + read_of(3, OUTPUT, 8, 4))
    portions = [reply(n, bytes(range(4 * n, 4 * n + 4))) for n in (1, 2, 3)]
    assert answered(relay, line, *portions) == [
        bytes([4, 5, 6, 7]), bytes([10, 11, 8, 9]), bytes([12, 13, 14, 15]),
    ]  # fmt: skip


def test_the_first_output_is_answered_for_ever() -> None:
    line = Line()
    relay = Relay(line)
    relay.tamper = Stuck(OUTPUT)
    relay.write(read_of(1, OUTPUT, 0, 2) + read_of(2, OUTPUT, 2, 2))
    assert answered(relay, line, reply(1, b"ab"), reply(2, b"cd")) == [b"ab", b"cd"]
    relay.write(read_of(3, OUTPUT, 0, 2) + read_of(4, OUTPUT, 2, 2) + read_of(5, 0, 0, 2))
    late = reply(3, b"AB"), reply(4, b"CD"), reply(5, b"in")
    assert answered(relay, line, *late) == [b"ab", b"cd", b"in"]
    relay.write(read_of(6, OUTPUT, 0, 3) + read_of(7, OUTPUT, 3, 1))
    assert answered(relay, line, reply(6, b"ABC"), reply(7, b"D")) == [b"abc", b"d"]


def test_outputs_are_exchanged_by_asking_for_the_other() -> None:
    line = Line()
    relay = Relay(line)
    relay.tamper = Exchange(first=1, a=0, b=2)
    relay.write(read_of(1, 1, 0, 8) + read_of(2, 2, 0, 8) + read_of(3, 3, 8, 4))
    asked = [READ_REQUEST.unpack(payload) for payload in payloads(line.written)]
    assert asked == [(3, 0, 8), (2, 0, 8), (1, 8, 4)]


def test_a_byte_is_dropped_once() -> None:
    """The second WRITE, not its repetition, nor that of the first."""
    line = Line()
    relay = Relay(line)
    relay.tamper = drop = Drop(True, Command.WRITE, 1, 0.5)
    first, second = (request(n, Command.WRITE, b"some data") for n in (1, 2))
    for frame in (first, first, request(9, Command.INVOKE), second, second):
        relay.write(frame)
    decoder = frames.Decoder()
    assert len(decoder.feed(line.written)) == 4
    assert (decoder.bad_frames, drop.changed) == (1, 1)
    assert len(line.written) == 4 * len(first) + len(request(9, Command.INVOKE)) - 1


@pytest.mark.parametrize("fraction", np.linspace(0, 1, 41, endpoint=False))
def test_every_dropped_byte_damages_the_frame(fraction: float) -> None:
    frame = reply(3, bytes(17), Command.INVOKE)
    message = Message.decode(frames.Decoder().feed(frame)[0])
    assert message is not None
    drop = Drop(False, Command.INVOKE, 0, float(fraction))
    decoder = frames.Decoder()
    assert decoder.feed(drop.reply(message, frame, None)) == []
    assert decoder.bad_frames == 1


def test_a_census_counts_repetitions_once() -> None:
    line = Line()
    relay = Relay(line)
    relay.tamper = census = Census()
    for frame in (read_of(1, 0, 0, 1), read_of(2, 0, 1, 1), read_of(1, 0, 0, 1)):
        relay.write(frame)
    relay.write(request(3, Command.INVOKE))
    assert census.requests == {Command.READ: 2, Command.INVOKE: 1}
    relay.tamper = Tamper()
    relay.write(request(4, Command.INVOKE))
    assert census.requests[Command.INVOKE] == 1
