"""Requests and replies over a link that may lose, damage or repeat bytes.

A request is sent again, with the same sequence number, until its reply comes or its deadline
passes; the device serves a sequence number once and sends the kept reply to its repetitions.
PROTOCOL.md, "Sequence and boots", is the authority.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from exporter.errors import LinkFailed
from exporter.link import frames
from exporter.link.faults import Fault
from exporter.link.messages import (
    ANY_BOOT,
    PROTOCOL_VERSION,
    Command,
    Hello,
    Kind,
    LogLine,
    Message,
    Status,
)
from exporter.link.transport import Transport

_READ_BYTES = 4096
_SHOWN_BYTES = 64


@dataclass(frozen=True)
class Timing:
    """How long to wait, in seconds, on a link that moves at least `bytes_per_second`."""

    bytes_per_second: float = 1000.0
    retry_seconds: float = 2.0  # until a request is sent again; doubles each time
    longest_retry_seconds: float = 16.0
    transfer_seconds: float = 30.0  # least deadline of anything, however few its bytes
    handshake_seconds: float = 30.0
    hello_seconds: float = 0.25

    def transfer_deadline(self, size: int) -> float:
        """Seconds that a transfer of `size` bytes may take."""
        return max(self.transfer_seconds, size / self.bytes_per_second)


class DeviceRestarted(LinkFailed):
    """The device started anew behind our back. `fault` is what it remembers of a crash."""

    def __init__(self, what: str, fault: Fault | None) -> None:
        super().__init__(
            what,
            value=fault.describe() if fault else "no fault recorded: power, watchdog or reset pin",
            next_step=(
                "look the address up in the ELF file (addr2line -e firmware.elf PC)"
                if fault
                else "check the supply and the reset line of the board"
            ),
        )
        self.fault = fault


class RequestRefused(LinkFailed):
    """The device answered with a status other than OK."""

    def __init__(self, request: str, status: int) -> None:
        known = status in list(Status)
        super().__init__(
            f"the device refused {request}",
            value=Status(status).name if known else f"status {status}",
            next_step="check that firmware and nanoexport are of the same version",
        )
        self.status = status


class NoAnswer(LinkFailed):
    """Nothing that speaks the protocol answered HELLO."""


class _NewBoot(Exception):
    """A frame carried another boot nonce than the session's."""


class Session:
    """One conversation with one device. `boot_nonce` and `max_payload` hold after `handshake`."""

    def __init__(
        self,
        transport: Transport,
        timing: Timing | None = None,
        on_log: Callable[[LogLine], None] | None = None,
    ) -> None:
        self.transport = transport
        self.timing = timing or Timing()
        self.boot_nonce = ANY_BOOT
        self.max_payload = 0
        self.repeated_requests = 0
        self._on_log = on_log or (lambda line: None)
        self._decoder = frames.Decoder()
        self._messages: list[Message] = []
        self._sequence = 0
        self._received_bytes = 0
        self._last_bytes = b""

    @property
    def bad_frames(self) -> int:
        """Frames received that were cut or damaged."""
        return self._decoder.bad_frames

    def handshake(self, *, unlike_boot: int = ANY_BOOT) -> None:
        """Find the device, its boot nonce, payload size and place in the sequence.

        With `unlike_boot`, wait for another boot than that. Raises LinkFailed.
        """
        self.boot_nonce = ANY_BOOT
        request = Message(Kind.REQUEST, Command.HELLO, 0, random.randrange(0x10000), ANY_BOOT)
        deadline = time.monotonic() + self.timing.handshake_seconds
        pause = self.timing.hello_seconds
        before = self._received_bytes
        while time.monotonic() < deadline:
            self.transport.write(frames.encode(request.encode()))
            reply = self._await_reply(request, min(deadline, time.monotonic() + pause))
            if reply is not None and reply.boot_nonce != unlike_boot:
                self._begin(reply)
                return
            pause = min(2 * pause, self.timing.retry_seconds)
        raise self._silent(self._received_bytes - before)

    def request(
        self, command: Command, payload: bytes = b"", seconds: float | None = None
    ) -> bytes:
        """The payload of the reply. Raises LinkFailed after `seconds` (default: by size).

        Raises DeviceRestarted where the device has booted since the handshake; the session then
        goes on with the new boot.
        """
        try:
            return self.request_once(command, payload, seconds)
        except _NewBoot:
            raise self._restarted(command.name) from None

    def restart(self) -> None:
        """Reset the device and meet its next boot. Raises LinkFailed."""
        old = self.boot_nonce
        with contextlib.suppress(_NewBoot):  # its reply was lost, its effect seen
            self.request_once(Command.RESET)
        self.handshake(unlike_boot=old)

    def request_once(
        self, command: Command, payload: bytes = b"", seconds: float | None = None
    ) -> bytes:
        """As `request`, but a new boot is only noticed, not looked into."""
        self._sequence = (self._sequence + 1) & 0xFFFF
        request = Message(Kind.REQUEST, command, 0, self._sequence, self.boot_nonce, payload)
        frame = frames.encode(request.encode())
        if seconds is None:
            seconds = self.timing.transfer_deadline(len(frame) + self.max_payload)
        start = time.monotonic()
        wire_seconds = (len(frame) + self.max_payload) / self.timing.bytes_per_second
        pause = self.timing.retry_seconds
        attempts = 0
        while attempts == 0 or time.monotonic() < start + seconds:
            self.transport.write(frame)
            attempts += 1
            until = min(start + seconds, time.monotonic() + pause + wire_seconds)
            reply = self._await_reply(request, until)
            if reply is not None:
                return _accept(command, reply)
            # Ever longer pauses: repetitions queue up in front of a device that is still busy.
            pause = min(2 * pause, self.timing.longest_retry_seconds)
            self.repeated_requests += 1
        raise self._unanswered(request, frame, attempts, seconds)

    def description(self, command: Command, prefix: bytes = b"") -> bytes:
        """A description of any length: its portions, put together. Raises as `request`."""
        data = b""
        while True:
            reply = self.request(command, prefix + len(data).to_bytes(2, "little"))
            data += reply[2:]
            if len(reply) <= 2 or len(data) >= int.from_bytes(reply[:2], "little"):
                return data

    def poll(self, seconds: float) -> None:
        """Listen for log lines. Raises DeviceRestarted when another boot speaks."""
        try:
            self._next_message(time.monotonic() + seconds)
        except _NewBoot:
            raise self._restarted("listening") from None

    def _begin(self, reply: Message) -> None:
        if reply.status != Status.OK:
            raise RequestRefused(Command.HELLO.name, reply.status)
        hello = Hello.decode(reply.payload)
        self.boot_nonce = reply.boot_nonce
        self.max_payload = hello.max_payload
        self._sequence = hello.last_sequence

    def _await_reply(self, request: Message, until: float) -> Message | None:
        """The reply to `request`; None when time is up. Replies to others are left behind."""
        while (message := self._next_message(until)) is not None:
            answers = (message.command, message.sequence) == (request.command, request.sequence)
            if message.kind != Kind.REPLY or not answers:
                continue
            if request.boot_nonce in (ANY_BOOT, message.boot_nonce):
                return message
            if message.status == Status.REBOOTED:
                raise _NewBoot
        return None

    def _next_message(self, until: float) -> Message | None:
        """The next frame that is no log line of this boot; None when time is up."""
        while True:
            while self._messages:
                message = self._messages.pop(0)
                if message.kind != Kind.LOG:
                    return message
                self._on_log(LogLine.of(message))
                if self.boot_nonce not in (ANY_BOOT, message.boot_nonce):
                    raise _NewBoot
            remaining = until - time.monotonic()
            self._take(self.transport.read(_READ_BYTES, max(0.0, remaining)))
            if remaining <= 0 and not self._messages:
                return None  # even where a babbling peer always has a byte more

    def _take(self, data: bytes) -> None:
        self._received_bytes += len(data)
        self._last_bytes = (self._last_bytes + data)[-_SHOWN_BYTES:]
        for body in self._decoder.feed(data):
            if body and body[0] != PROTOCOL_VERSION:
                raise _other_version(body[0])
            message = Message.decode(body)
            if message is not None:
                self._messages.append(message)

    def _restarted(self, during: str) -> DeviceRestarted:
        """Meet the new boot and ask what ended the old one."""
        try:
            self.handshake(unlike_boot=self.boot_nonce)
            fault = Fault.decode(self.request_once(Command.TAKE_FAULT))
        except _NewBoot:
            fault = None  # it restarts again and again
        return DeviceRestarted(f"the device restarted during {during}", fault)

    def _silent(self, received: int) -> NoAnswer:
        name = self.transport.name
        seconds = self.timing.handshake_seconds
        came = f"{received} bytes, last {self._last_bytes!r}" if received else "no byte"
        return NoAnswer(
            f"what answers on {name} does not speak the protocol"
            if received
            else f"nothing answers on {name}",
            value=f"sent HELLO for {seconds:g} s, received {came}",
            allowed="a HELLO reply",
            next_step="check port and baud rate, and flash the firmware with the application hil",
        )

    def _unanswered(
        self, request: Message, frame: bytes, attempts: int, seconds: float
    ) -> LinkFailed:
        name = Command(request.command).name
        return LinkFailed(
            f"no reply to {name} from {self.transport.name} within {seconds:g} s",
            value=(
                f"sent {attempts} times: {name}, sequence {request.sequence}, {len(frame)} bytes; "
                f"received in this session {self._received_bytes} bytes, "
                f"{self._decoder.bad_frames} damaged frames, last bytes {self._last_bytes.hex(' ')}"
            ),
            allowed="a reply with the same sequence number",
            next_step="reset the board; if it answers then, the model ran too long or hung",
        )


def _accept(command: Command, reply: Message) -> bytes:
    if reply.status != Status.OK:
        raise RequestRefused(command.name, reply.status)
    return reply.payload


def _other_version(version: int) -> LinkFailed:
    return LinkFailed(
        "the device speaks another version of the link protocol",
        value=f"version {version}",
        allowed=f"version {PROTOCOL_VERSION}",
        next_step="render, build and flash the firmware anew with this nanoexport",
    )
