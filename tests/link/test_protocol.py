"""PROTOCOL.md against both sides: every vector in it is computed by Python and by C."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from exporter.link import frames, messages
from exporter.link.faults import Fault
from exporter.link.messages import Command, Kind, Message, Status
from tests.link.c_frames import CFrames
from tests.link.devices import StubTransport

DOCUMENT = Path(messages.__file__).with_name("PROTOCOL.md").read_text()


def vectors(section: str) -> dict[str, tuple[bytes, bytes]]:
    """The lines `name: hex -> hex` of a fenced block of the document."""
    found = re.search(rf"```{section}\n(.*?)```", DOCUMENT, re.S)
    assert found, section
    lines = [re.fullmatch(r"(.+): ([0-9a-f]*) -> ([0-9a-f]*)", x) for x in found[1].splitlines()]
    assert lines and all(lines)
    return {m[1]: (bytes.fromhex(m[2]), bytes.fromhex(m[3])) for m in lines if m}


FRAMES = vectors("frames")
CONVERSATION = vectors("conversation")


@pytest.mark.parametrize("name", FRAMES)
def test_python_frames(name: str) -> None:
    body, frame = FRAMES[name]
    assert frames.encode(body) == frame
    assert frames.Decoder().feed(frame) == [body]


@pytest.mark.parametrize("name", FRAMES)
def test_c_frames(name: str, c_frames: CFrames) -> None:
    body, frame = FRAMES[name]
    assert c_frames.encode(body) == frame
    assert c_frames.decode(frame) == [body]


def test_c_crc_check_value(c_frames: CFrames) -> None:
    assert c_frames.library.nano_crc32(b"123456789", 9) == 0xCBF43926


def test_c_conversation(stub: StubTransport) -> None:
    for name, (request, reply) in CONVERSATION.items():
        stub.write(frames.encode(request))
        bodies = frames.Decoder().feed(stub.read(4096, 0))
        assert [body.hex() for body in bodies[:1]] == [reply.hex()], name
    assert stub.resets == 1  # the last line
    assert [Message.decode(body) for body in bodies[1:]] == [
        Message(Kind.LOG, 1, 0, 0, 0x12345679, b"boot")
    ]


def test_python_reads_what_it_writes() -> None:
    for name, pair in CONVERSATION.items():
        for body in pair:
            message = Message.decode(body)
            assert message is None or message.encode() == body, name


def payload(name: str) -> bytes:
    """The payload of the reply called `name`."""
    message = Message.decode(CONVERSATION[name][1])
    assert message is not None and message.kind == Kind.REPLY and message.status == Status.OK
    return message.payload


def test_python_understands_the_replies() -> None:
    assert messages.Hello.decode(payload("hello")) == messages.Hello(0, 64)
    assert messages.Hello.decode(payload("hello in between")).last_sequence == 14
    assert messages.InvokeResult.decode(payload("invoke")) == messages.InvokeResult(10, 684)
    memory = messages.MemoryReport.decode(payload("memory"))
    assert memory == messages.MemoryReport(3024, 16, 0, 0, 684, 20000, 0, 0)
    fault = Fault(1, 3, 0x8200, 0x2000FFF0, 0x1234, 0x5678, 0x20001000)
    kind_of_this_machine = 3
    decoded = Fault.decode(payload("take fault"))
    assert decoded == Fault(kind_of_this_machine, *list(vars(fault).values())[1:])
    assert Fault.decode(payload("take fault again")) is None


def test_python_understands_the_descriptions() -> None:
    identity = payload("identify")[2:] + payload("identify, rest")[2:]
    read = messages.Identity.decode(identity, 1, 64)
    assert (read.model_name, read.board, read.dialect) == ("fake", "host", "tflite")
    assert (read.input_count, read.output_count, read.step_count) == (2, 2, 2)
    assert (read.ticks_hz, read.arena_bytes) == (25_000_000, 3024)
    assert read.model_sha256.startswith("112233") and read.build_id.startswith("aabb")
    image = messages.TensorDescription.decode(payload("describe input 0")[2:])
    assert (image.name, image.dtype.name, image.shape) == ("image", "int8", (1, 8))
    assert (image.scale, image.zero_point, image.size_bytes) == (0.5, -3, 8)
    step = messages.StepDescription.decode(payload("describe step 1")[2:])
    assert step == messages.StepDescription("COUNT", "count")


def test_document_lists_every_command_and_status() -> None:
    for command in Command:
        assert re.search(rf"^###.*\b{command:02x} {command.name}\b", DOCUMENT, re.M | re.I)
    for status in Status:
        assert re.search(rf"^\| {status:d} \| {status.name} \|", DOCUMENT, re.M)
