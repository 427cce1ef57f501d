"""PROTOCOL.md against both sides: every vector in it is computed by Python and by C."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from exporter.link import frames, messages
from exporter.link.faults import REGISTER_NAMES, REGISTERS, Fault, FaultKind, Reason
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
DAMAGE = vectors("damage")


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


def test_c_notices_damage(stub: StubTransport) -> None:
    for name, (received, body) in DAMAGE.items():
        stub.write(received)
        bodies = frames.Decoder().feed(stub.read(4096, 0))
        assert bodies == ([body] if body else []), name


def test_notices_end_until_a_good_request_comes(stub: StubTransport) -> None:
    hello, bad = DAMAGE["hello"][0], DAMAGE["a frame that fails its CRC"][0]
    for _ in range(2):
        stub.write(hello + 100 * bad)
        bodies = frames.Decoder().feed(stub.read(1 << 16, 0))
        assert [body[1] for body in bodies] == [Kind.REPLY] + 8 * [Kind.DAMAGED]


def test_python_understands_a_notice() -> None:
    notice = Message.decode(DAMAGE["a frame that was cut"][1])
    assert notice == Message(Kind.DAMAGED, 0, 0, 1, 0x12345678)


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
    assert messages.Hello.decode(payload("hello")) == messages.Hello(0, 64, 512)
    assert messages.Hello.decode(payload("hello in between")).last_sequence == 14
    assert messages.InvokeResult.decode(payload("invoke")) == messages.InvokeResult(10, 684)
    with_interrupts = messages.InvokeResult.decode(payload("invoke with interrupts"))
    assert with_interrupts == messages.InvokeResult(10, 0)
    memory = messages.MemoryReport.decode(payload("memory"))
    assert memory == messages.MemoryReport(3024, 16, 0, 0, 684, 20000, 0, 0)


def test_python_understands_the_record_of_a_fault() -> None:
    portions = [payload("take fault"), payload("take fault, its second portion")]
    record = b"".join(portion[2:] for portion in portions)
    assert {portion[:2] for portion in portions} == {len(record).to_bytes(2, "little")}
    assert Fault.decode(record) == Fault(
        kind=FaultKind.POSIX,  # of this machine
        reason=Reason.ARENA_OVERRUN,
        step=1,
        cause=3,
        status=0x8200,
        address=0x2000FFF0,
        pc=0x1234,
        lr=0x5678,
        sp=0x20001000,
        registers={
            name: 0x11111111 * number for number, name in enumerate(REGISTER_NAMES[FaultKind.POSIX])
        },
        callers=tuple(range(0xA0000000, 0xA0000008)),
    )
    assert Fault.decode(payload("take fault again")[2:]) is None


@pytest.mark.parametrize("kind", FaultKind)
def test_every_register_of_a_record_has_its_name(kind: FaultKind) -> None:
    assert len(set(REGISTER_NAMES[kind])) == REGISTERS


def test_python_understands_the_descriptions() -> None:
    portions = [payload(f"identify{which}")[2:] for which in ("", ", more", ", its end")]
    read = messages.Identity.decode(b"".join(portions), 1, 64)
    assert (read.model_name, read.board, read.dialect) == ("fake", "host", "tflite")
    assert (read.input_count, read.output_count, read.step_count) == (2, 2, 2)
    assert (read.ticks_hz, read.arena_bytes) == (25_000_000, 3024)
    assert read.model_sha256.startswith("112233") and read.build_id.startswith("aabb")
    assert read.templates_sha256 == "cc".ljust(64, "0")
    assert read.elf_build_id == "e1f0".ljust(40, "0")
    assert (read.toolchain, read.chip_id) == ("cc 1.2.3", "07c5")
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
