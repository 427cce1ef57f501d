"""Requests over links that lose, damage and repeat bytes, against the C device in memory."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest

from exporter.errors import LinkFailed
from exporter.link import (
    Device,
    DeviceRestarted,
    ExpectedIdentity,
    Timing,
    frames,
    require_identity,
)
from exporter.link.messages import HEADER, Command, Kind, Message, Status
from exporter.link.session import NoAnswer, RequestRefused, Session
from tests.link.devices import BOOT_NONCE, SilentTransport, StubTransport
from tests.link.faulty import Faults, FaultyTransport

HASTY = Timing(
    bytes_per_second=1e6,
    retry_seconds=0.002,
    longest_retry_seconds=0.002,
    transfer_seconds=5.0,
    handshake_seconds=5.0,
    hello_seconds=0.002,
)


class Spoiling(StubTransport):
    """The device in memory, with the bytes of each write or read replaced when a test wants."""

    on_write: Callable[[bytes], bytes] = staticmethod(lambda data: data)
    on_read: Callable[[bytes], bytes] = staticmethod(lambda data: data)

    def write(self, data: bytes) -> None:
        """See Transport."""
        super().write(self.on_write(data))

    def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """See Transport."""
        return self.on_read(super().read(max_bytes, timeout_seconds))


@pytest.fixture
def spoiling(stub: StubTransport) -> Spoiling:
    """A Spoiling transport on the freshly booted device."""
    return Spoiling(stub._library)


def once(replacement: bytes) -> Callable[[bytes], bytes]:
    """Replaces what passes first by `replacement`; nothing after it."""
    used: list[bytes] = []

    def replace(data: bytes) -> bytes:
        if used or not data:
            return data
        used.append(data)
        return replacement

    return replace


def runs(device: Device) -> int:
    """How often the model has run since boot, as the last run stored it."""
    return int(device.read_output(1)[0, 0])


def test_lost_request_is_sent_again(spoiling: Spoiling) -> None:
    device = Device(spoiling, timing=HASTY)
    spoiling.on_write = once(b"")
    device.invoke()
    assert device.repeated_requests == 1 and runs(device) == 1


def test_lost_reply_does_not_run_the_model_twice(spoiling: Spoiling) -> None:
    device = Device(spoiling, timing=HASTY)
    spoiling.on_read = once(b"")
    result = device.invoke()
    assert device.repeated_requests == 1 and runs(device) == 1
    assert result.stack_bytes == 684


def test_damaged_reply_is_asked_for_again(spoiling: Spoiling) -> None:
    device = Device(spoiling, timing=HASTY)
    spoiling.on_read = once(b"\x00\x05garbage\x00")
    device.invoke()
    assert device.repeated_requests == 1 and runs(device) == 1


def test_repeated_request_runs_once(spoiling: Spoiling) -> None:
    device = Device(spoiling, timing=HASTY)
    spoiling.on_write = lambda data: data * 3
    device.invoke()
    device.invoke()
    assert runs(device) == 2


def test_a_late_copy_of_an_old_request_runs_nothing(spoiling: Spoiling) -> None:
    device = Device(spoiling, timing=HASTY)
    sent: list[bytes] = []
    spoiling.on_write = lambda data: sent.append(data) or data  # type: ignore[func-returns-value]
    device.invoke()
    assert runs(device) == 1
    StubTransport.write(spoiling, sent[0])
    device.poison(0)
    device.invoke()
    assert runs(device) == 2


def test_a_second_session_goes_on_where_the_first_ended(stub: StubTransport) -> None:
    for expected in (1, 2, 3):
        device = Device(stub, timing=HASTY)
        device.invoke()
        assert runs(device) == expected


def test_stale_bytes_before_the_handshake_are_skipped(stub: StubTransport) -> None:
    old = Message(Kind.REQUEST, Command.INVOKE, 0, 1, BOOT_NONCE, bytes(8))
    stub.write(b"\xff\x01noise" + frames.encode(old.encode()) + b"\x07half")
    device = Device(stub, timing=HASTY)
    assert runs(device) == 1


def test_sequence_numbers_wrap(stub: StubTransport) -> None:
    device = Device(stub, timing=HASTY)
    device._session._sequence = 0x7FF0
    for _ in range(2):
        device.poison()
        device._session._sequence = (device._session._sequence + 0x7FF8) & 0xFFFF
    for _ in range(40):
        device.invoke()
    assert runs(device) == 40


@pytest.mark.parametrize("error_rate", [1e-3, 1e-2])
@pytest.mark.parametrize("seed", range(4))
def test_a_bad_link_loses_nothing(stub: StubTransport, seed: int, error_rate: float) -> None:
    faults = Faults(error_rate=error_rate, repeats_per_write=10 * error_rate)
    device = Device(FaultyTransport(stub, seed, faults), timing=HASTY)
    rng = np.random.default_rng(seed)
    large = rng.integers(-128, 128, (1, 3000), np.int8)
    device.write_input(1, large)
    assert np.array_equal(device.read_input(1), large)
    for expected in range(1, 21):
        image = rng.integers(-128, 100, (1, 8), np.int8)
        device.write_input(0, image)
        device.invoke()
        pairs = image.reshape(4, 2).astype(np.int32).sum(1).astype(np.int8)
        assert np.array_equal(device.read_output(0)[0], pairs)
        assert runs(device) == expected
    assert device.repeated_requests > 0


def test_a_restart_is_told_with_its_fault_and_the_session_goes_on(stub: StubTransport) -> None:
    device = Device(stub, timing=HASTY)
    stub.boot(77)
    with pytest.raises(DeviceRestarted) as caught:
        device.invoke()
    assert caught.value.exit_code == 4
    assert caught.value.fault is not None and caught.value.fault.pc == 0x1234
    assert "during INVOKE" in caught.value.what and "pc=0x00001234" in str(caught.value)
    assert device.take_fault() is None  # it was told
    device.invoke()
    assert runs(device) == 1


def test_reset_waits_for_the_next_boot(stub: StubTransport) -> None:
    device = Device(stub, timing=HASTY)
    device.invoke()
    before = device.identity.boot_nonce
    device.reset()
    assert stub.resets == 1
    assert device.identify().boot_nonce != before
    device.invoke()
    assert runs(device) == 1


def test_reset_to_loader_is_asked_for_once(stub: StubTransport) -> None:
    device = Device(stub, timing=HASTY)
    before = stub.loader_entries
    device.reset_to_loader()
    assert (stub.loader_entries - before, stub.resets) == (1, 1)
    with pytest.raises(DeviceRestarted):
        device.invoke()


@pytest.mark.parametrize("spoilt", [b"", b"\0\x05noise\0"], ids=["lost", "damaged"])
def test_reset_to_loader_is_never_repeated(spoiling: Spoiling, spoilt: bytes) -> None:
    device = Device(spoiling, timing=HASTY)
    sent = device.link_counts.sent_bytes
    spoiling.on_read = lambda data: spoilt
    with pytest.raises(LinkFailed, match="RESET_TO_LOADER"):
        device.reset_to_loader()
    assert spoiling.resets == 1
    assert device.link_counts.sent_bytes - sent == len(frames.encode(bytes(HEADER.size)))


def test_boots_that_look_alike_are_told_apart(stub: StubTransport) -> None:
    """A power cycle that leaves the board nothing to tell its boots apart: RAM of zeros, say."""
    device = Device(stub, timing=HASTY)
    device.invoke()
    stub.boot(BOOT_NONCE)
    with pytest.raises(DeviceRestarted, match="INVOKE"):
        device.invoke()
    device.invoke()
    assert runs(device) == 1


def test_a_boot_keeps_the_nonce_of_its_first_hello(stub: StubTransport) -> None:
    first, second = Device(stub, timing=HASTY), Device(stub, timing=HASTY)
    assert first.identity.boot_nonce == second.identity.boot_nonce != BOOT_NONCE


def test_a_board_that_came_back_too_late_is_met_by_the_next_request(spoiling: Spoiling) -> None:
    timing = replace(HASTY, handshake_seconds=0.05)
    device = Device(spoiling, timing=timing)
    spoiling.on_write = lambda data: b""  # it resets, and takes its time
    with pytest.raises(NoAnswer):
        device._session.handshake(unlike_boot=device.identity.boot_nonce)
    spoiling.on_write = lambda data: data
    spoiling.boot(77)
    with pytest.raises(DeviceRestarted, match="INVOKE"):
        device.invoke()
    device.invoke()
    assert runs(device) == 1


def test_a_board_that_cannot_reset_is_told(stub: StubTransport) -> None:
    device = Device(stub, timing=replace(HASTY, handshake_seconds=0.05))
    with pytest.raises(LinkFailed, match="did not restart"):
        device._session.handshake(unlike_boot=device._session.boot_nonce)
    device.invoke()
    assert runs(device) == 1


def answering(command: Command, payload: bytes) -> Callable[[bytes], bytes]:
    """Replaces the payload of each good reply to `command`."""

    def replace_payload(data: bytes) -> bytes:
        done = b""
        for body in frames.Decoder().feed(data):
            message = Message.decode(body)
            assert message is not None
            if (message.command, message.status) == (command, Status.OK):
                message = replace(message, payload=payload)
            done += frames.encode(message.encode())
        return done

    return replace_payload


@pytest.mark.parametrize(
    "max_payload", [0, 47, 32769], ids=["no payload", "short of a reply", "more than is read"]
)
def test_a_largest_payload_that_cannot_be_is_refused(spoiling: Spoiling, max_payload: int) -> None:
    spoiling.on_read = answering(Command.HELLO, struct.pack("<HHI", 0, max_payload, 512))
    with pytest.raises(LinkFailed, match=f"payload of {max_payload} bytes"):
        Device(spoiling, timing=HASTY)


def test_a_record_of_a_crash_that_is_cut_is_an_error(spoiling: Spoiling) -> None:
    device = Device(spoiling, timing=HASTY)
    spoiling.on_read = answering(Command.TAKE_FAULT, b"\x02\x00\x01\x00")
    spoiling.boot(77)
    with pytest.raises(LinkFailed, match="TAKE_FAULT does not fit the protocol"):
        device.invoke()


@pytest.mark.parametrize("offset", [124, 0xFFFF], ids=["its end", "far behind"])
def test_a_record_is_kept_until_its_last_byte_is_sent(stub: StubTransport, offset: int) -> None:
    device = Device(stub, timing=HASTY)
    device._session.request(Command.TAKE_FAULT, struct.pack("<H", offset))
    fault = device.take_fault()
    assert fault is not None and fault.pc == 0x1234


@pytest.mark.parametrize("payload", [b"\x40\x00\x80\x02\x00\x00", b""], ids=["header", "empty"])
def test_a_profile_without_its_steps_is_an_error(spoiling: Spoiling, payload: bytes) -> None:
    device = Device(spoiling, timing=HASTY)
    spoiling.on_read = answering(Command.PROFILE, payload)
    with pytest.raises(LinkFailed, match="PROFILE does not fit the protocol"):
        device.profile()


def test_a_tensor_whose_bytes_are_not_its_shape_is_refused(spoiling: Spoiling) -> None:
    (image, *_) = Device(spoiling, timing=HASTY).inputs
    description = struct.pack("<BB2IfiI", 1, 2, 1, 8, image.scale, image.zero_point, 4096)
    text = b"\x05\x00image"
    size = struct.pack("<H", len(description + text))
    spoiling.on_read = answering(Command.DESCRIBE_TENSOR, size + description + text)
    with pytest.raises(LinkFailed, match="4096 bytes"):
        Device(spoiling, timing=HASTY)


def test_reset_whose_reply_is_lost_resets_once(spoiling: Spoiling) -> None:
    device = Device(spoiling, timing=HASTY)
    spoiling.on_read = once(b"")
    before = device.identity.boot_nonce
    device.reset()
    assert spoiling.resets == 1
    assert device.identify().boot_nonce != before


def test_silence_ends_at_the_deadline() -> None:
    silent = SilentTransport()
    start = time.monotonic()
    with pytest.raises(NoAnswer) as caught:
        Device(silent, timing=Timing(handshake_seconds=0.3, hello_seconds=0.05))
    assert 0.3 <= time.monotonic() - start < 0.6
    assert "nothing answers on silent" in str(caught.value) and caught.value.exit_code == 4
    assert silent.closed and silent.written.count(b"\0") >= 6


def test_another_program_on_the_port_is_named() -> None:
    with pytest.raises(NoAnswer, match="login"):
        Device(SilentTransport(b"login: "), timing=Timing(handshake_seconds=0.2))


def test_a_device_that_falls_silent_ends_at_the_deadline(spoiling: Spoiling) -> None:
    device = Device(spoiling, timing=HASTY)
    spoiling.on_write = lambda data: b""
    start = time.monotonic()
    with pytest.raises(LinkFailed) as caught:
        device.invoke(deadline_seconds=0.2)
    assert 0.2 <= time.monotonic() - start < 0.4
    assert "no reply to INVOKE" in str(caught.value) and "sequence" in str(caught.value)


def test_an_error_of_a_description_says_what_was_sent(spoiling: Spoiling) -> None:
    device = Device(spoiling, timing=replace(HASTY, transfer_seconds=0.05))
    spoiling.on_write = lambda data: b""
    with pytest.raises(LinkFailed, match="no reply to IDENTIFY") as caught:
        device.identify()
    assert caught.value.sent and "IDENTIFY" in caught.value.sent[-1]


def test_pauses_between_repetitions_grow() -> None:
    times: list[float] = []

    class Recorder(SilentTransport):
        def write(self, data: bytes) -> None:
            times.append(time.monotonic())

    session = Session(Recorder(), Timing(retry_seconds=0.02, bytes_per_second=1e9))
    with pytest.raises(LinkFailed):
        session.request(Command.INVOKE, seconds=0.5)
    pauses = np.diff(times)
    assert 3 <= len(times) <= 6 and all(pauses >= 0.019 * 2 ** np.arange(len(pauses)))


def test_another_protocol_version_is_refused() -> None:
    reply = Message(Kind.REPLY, Command.HELLO, Status.BAD_VERSION, 0, 5, version=1)
    with pytest.raises(LinkFailed) as caught:
        Device(SilentTransport(frames.encode(reply.encode())), timing=HASTY)
    assert "version 2" in str(caught.value) and "version 1" in str(caught.value)


def test_a_refusal_is_an_error_that_names_the_status(stub: StubTransport) -> None:
    device = Device(stub, timing=HASTY)
    with pytest.raises(RequestRefused, match="OUT_OF_RANGE"):
        device._session.request(Command.READ, bytes([9, 0, 0, 0, 0, 0, 1, 0]))


@pytest.mark.parametrize("field", [field.name for field in fields(ExpectedIdentity)])
def test_a_foreign_device_is_refused(stub: StubTransport, field: str) -> None:
    identity = Device(stub, timing=HASTY).identity
    require_identity(identity, ExpectedIdentity(**{field: getattr(identity, field)}))
    with pytest.raises(LinkFailed) as caught:
        require_identity(identity, ExpectedIdentity(**{field: "other"}))
    assert getattr(identity, field) in str(caught.value) and "other" in str(caught.value)
