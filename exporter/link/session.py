"""Requests and replies over a link that may lose, damage or repeat bytes, or break for a while.

A request is sent again, with the same sequence number, until its reply comes or its deadline
passes; the device serves a sequence number once and sends the kept reply to its repetitions.
PROTOCOL.md, "Sequence and boots" and "Repair", is the authority.
"""

from __future__ import annotations

import contextlib
import random
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

from exporter.errors import LinkFailed, MissingTool
from exporter.link import frames
from exporter.link.failures import NoReply, misfit, not_restarted, other_version
from exporter.link.faults import Fault
from exporter.link.history import History
from exporter.link.messages import (
    ANY_BOOT,
    LEAST_PAYLOAD_BYTES,
    MOST_PAYLOAD_BYTES,
    PROTOCOL_VERSION,
    Command,
    Hello,
    Kind,
    LogLine,
    Message,
    Status,
)
from exporter.link.pacing import PortionSize, RoundTrip, Timing
from exporter.link.transport import ConnectionBroken, Transport

_READ_BYTES = 4096
_DAMAGED = Message(Kind.DAMAGED, 0, 0, 0, ANY_BOOT)


class DeviceRestarted(LinkFailed):
    """The device started anew behind our back. `fault` is what it remembers of a crash.

    `report` tells it in words, with the source line where the caller knows the image.
    """

    def __init__(self, what: str, fault: Fault | None, report: str | None = None) -> None:
        nothing = "no fault recorded: power, brown-out or reset pin"
        told = fault.describe() if fault else nothing
        super().__init__(what, value=report or told, next_step=_remedy(fault, report))
        self.fault = fault


def _remedy(fault: Fault | None, report: str | None) -> str:
    if fault is None:
        return "check the supply and the reset line of the board"
    if report is None:
        return "look the address up in the ELF file (addr2line -e firmware.elf PC)"
    return "mend what the report points at, or report it with the model; the session can go on"


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


Explain = Callable[[Fault], str]
"""What a crash means, in words, for one who knows the image that crashed."""


class Session:
    """One conversation with one device.

    `boot_nonce`, `max_payload` and `window_bytes` hold after `handshake`; from then on, with
    `reopen`, a connection that breaks is made anew within the deadline of the request, and the
    request goes on where it was. `reopen` may raise MissingTool or LinkFailed while there is
    nothing to open.
    """

    def __init__(
        self,
        transport: Transport,
        timing: Timing | None = None,
        on_log: Callable[[LogLine], None] | None = None,
        *,
        reopen: Callable[[], Transport] | None = None,
        explain: Explain | None = None,
    ) -> None:
        self.transport = transport
        self._explain = explain
        self.timing = timing or Timing()
        self.boot_nonce = ANY_BOOT
        self.max_payload = 0
        self.window_bytes = 0
        self.portion = PortionSize(0)
        self.history = History()
        self._on_log = on_log or (lambda line: None)
        self._reopen = reopen
        self._decoder = frames.Decoder()
        self._messages: list[Message] = []
        self._sequence = 0
        self._round_trips: defaultdict[int, RoundTrip] = defaultdict(RoundTrip)

    @property
    def bad_frames(self) -> int:
        """Frames received that were cut or damaged."""
        return self.history.counts.damaged_frames

    @property
    def repeated_requests(self) -> int:
        """Requests that had to be sent again."""
        return self.history.counts.repeated_requests

    def now(self) -> float:
        """Seconds on the clock of the transport, which deadlines are on."""
        return self.transport.now()

    # --- requests -----------------------------------------------------------------------------

    def handshake(self, *, unlike_boot: int = ANY_BOOT) -> None:
        """Find the device, its boot nonce, sizes and place in the sequence.

        With `unlike_boot`, wait for another boot than that. Raises LinkFailed.
        """
        with self._told():
            before = self.history.counts.received_bytes
            deadline = self.now() + self.timing.handshake_seconds
            reply = self._hello(deadline, unlike_boot)
            if reply is None:
                raise self._silent(self.history.counts.received_bytes - before)
            if reply.boot_nonce == unlike_boot:
                raise not_restarted(self.transport.name, self.timing.handshake_seconds)
            hello = _hello_of(reply)
            self.boot_nonce = reply.boot_nonce
            self.max_payload = hello.max_payload
            self.window_bytes = hello.window_bytes
            self.portion = PortionSize(hello.max_payload)
            self._sequence = hello.last_sequence

    def request(
        self, command: Command, payload: bytes = b"", seconds: float | None = None
    ) -> bytes:
        """The payload of the reply. Raises LinkFailed after `seconds` (default: by size).

        Raises DeviceRestarted where the device has booted since the handshake; the session then
        goes on with the new boot.
        """
        with self.telling(command.name):
            return self.request_once(command, payload, seconds)

    def restart(self) -> None:
        """Reset the device and meet its next boot. Raises LinkFailed."""
        old = self.boot_nonce
        with self._told(), contextlib.suppress(_NewBoot):  # its reply was lost, its effect seen
            self.request_once(Command.RESET)
        self.handshake(unlike_boot=old)

    def request_once(
        self, command: Command, payload: bytes = b"", seconds: float | None = None
    ) -> bytes:
        """As `request`, but a new boot is only noticed, not looked into."""
        request = self._next_request(command, payload)
        size = len(payload) + self.max_payload
        if seconds is None:
            seconds = self.timing.transfer_deadline(size)
        deadline = self.now() + seconds
        pause = self.pause(command, size)
        repairs = self.timing.quick_repeats
        attempts = 0
        while attempts == 0 or self.now() < deadline:
            self.history.counts.repeated_requests += attempts > 0
            try:
                sent_at = self._send(request)
                attempts += 1
                until = min(deadline, sent_at + pause)
                reply = self._await_reply(request, until, damage_ends=repairs > 0)
            except ConnectionBroken as broken:
                self.reconnect(broken, deadline)
                continue
            if reply is not None and reply.kind == Kind.REPLY:
                if attempts == 1:
                    self.answered(command, sent_at)
                return self.accept(command, reply)
            if reply is not None:
                repairs -= 1  # a frame came damaged, here or there: at once, but not for ever
                continue
            # Ever longer pauses: repetitions queue up in front of a device that is still busy.
            pause = min(2 * pause, self.timing.longest_retry_seconds)
            self.history.counts.time_outs += 1
        raise self.unanswered(command, seconds)

    def description(self, command: Command, prefix: bytes = b"") -> bytes:
        """A description of any length: its portions, put together. Raises as `request`."""
        with self.telling(command.name):
            return self._description(command, prefix)

    def _description(self, command: Command, prefix: bytes = b"") -> bytes:
        data = b""
        while True:
            reply = self.request_once(command, prefix + len(data).to_bytes(2, "little"))
            data += reply[2:]
            if len(reply) <= 2 or len(data) >= int.from_bytes(reply[:2], "little"):
                return data

    def poll(self, seconds: float) -> None:
        """Listen for log lines. Raises DeviceRestarted when another boot speaks."""
        with self.telling("listening"):
            self.next_message(self.now() + seconds)

    # --- for transfers ------------------------------------------------------------------------

    @contextlib.contextmanager
    def telling(self, during: str) -> Iterator[None]:
        """Errors say what went over the link; a new boot is met and told as DeviceRestarted."""
        with self._told():
            try:
                yield
            except _NewBoot:
                raise self._restarted(during) from None

    def post(self, command: Command, payload: bytes) -> tuple[int, int]:
        """Send a request without waiting; its sequence number, and the bytes of its frame."""
        request = self._next_request(command, payload)
        before = self.history.counts.sent_bytes
        self._send(request)
        return request.sequence, self.history.counts.sent_bytes - before

    def pause(self, command: Command, size: int) -> float:
        """Seconds after which a reply to `command`, of `size` bytes both ways, is overdue."""
        measured = self._round_trips[command].pause()
        if measured is None:
            return self.timing.retry_seconds + size / self.timing.bytes_per_second
        least = min(self.timing.least_retry_seconds, self.timing.retry_seconds)
        return min(max(least, measured), self.timing.longest_retry_seconds)

    def answered(self, command: Command, sent_at: float) -> None:
        """Learn from a reply to what was sent once, at `sent_at`."""
        self._round_trips[command].add(self.now() - sent_at)

    def concerns_us(self, message: Message) -> bool:
        """Whether a reply is of the boot that this session talks to."""
        if message.boot_nonce == self.boot_nonce:
            return True
        if message.status == Status.REBOOTED:
            raise _NewBoot
        return False

    def accept(self, command: Command, reply: Message) -> bytes:
        """The payload of a reply. Raises RequestRefused for a status other than OK."""
        if reply.status != Status.OK:
            raise RequestRefused(command.name, reply.status)
        return reply.payload

    def next_message(self, until: float) -> Message | None:
        """The next frame that is no log line of this boot; None when time is up.

        A frame that was damaged, on its way here or there, is a message of kind DAMAGED.
        """
        is_over = False
        while True:
            while self._messages:
                message = self._messages.pop(0)
                if message.kind != Kind.LOG:
                    return message
                line = LogLine.of(message)
                self.history.logged(line)
                self._on_log(line)
                if self.boot_nonce not in (ANY_BOOT, message.boot_nonce):
                    raise _NewBoot
            if is_over:
                return None  # even where a babbling peer always has a line more
            remaining = until - self.now()
            is_over = remaining <= 0
            self._take(self.transport.read(_READ_BYTES, max(0.0, remaining)))

    def reconnect(self, broken: ConnectionBroken, deadline: float) -> None:
        """Open the connection again and meet the same boot. Raises `broken` past the deadline."""
        if self.boot_nonce == ANY_BOOT:
            self._reopened(broken, deadline)
            return
        self._reopened(broken, deadline)
        reply = self._hello(deadline, ANY_BOOT)
        if reply is None:
            raise broken
        if reply.boot_nonce != self.boot_nonce:
            raise _NewBoot
        served = _hello_of(reply).last_sequence
        if (served - self._sequence) & 0xFFFF < 0x8000:
            self._sequence = served

    def unanswered(self, command: Command, seconds: float) -> NoReply:
        """The error for a request without a reply."""
        return NoReply(command, self.transport.name, seconds, self.history.describe())

    # --- inside -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except LinkFailed as error:
            self.history.attach(error)
            raise

    def _next_request(self, command: Command, payload: bytes) -> Message:
        self._sequence = (self._sequence + 1) & 0xFFFF
        return Message(Kind.REQUEST, command, 0, self._sequence, self.boot_nonce, payload)

    def _send(self, request: Message) -> float:
        """When it was sent."""
        frame = frames.encode(request.encode())
        self.history.sent(request, len(frame))
        sent_at = self.now()
        self.transport.write(frame)
        return sent_at

    def _hello(self, deadline: float, unlike_boot: int) -> Message | None:
        """The reply to HELLO of another boot than `unlike_boot`, or when time is up whatever came.

        Meanwhile all boots are ours; afterwards again the one that was, in case nobody answers now.
        """
        boot, self.boot_nonce = self.boot_nonce, ANY_BOOT
        try:
            return self._say_hello(deadline, unlike_boot)
        finally:
            self.boot_nonce = boot

    def _say_hello(self, deadline: float, unlike_boot: int) -> Message | None:
        number = struct.pack("<I", random.randrange(1, 1 << 32))
        sequence = random.randrange(1 << 16)
        request = Message(Kind.REQUEST, Command.HELLO, 0, sequence, ANY_BOOT, number)
        pause = self.timing.hello_seconds
        last = None
        while self.now() < deadline:
            try:
                self._send(request)
                reply = self._await_reply(request, min(deadline, self.now() + pause))
            except ConnectionBroken as broken:
                self._reopened(broken, deadline)
                continue
            if reply is not None and reply.boot_nonce != unlike_boot:
                return reply
            last = reply or last
            pause = min(2 * pause, self.timing.retry_seconds)
        return last

    def _await_reply(
        self, request: Message, until: float, *, damage_ends: bool = False
    ) -> Message | None:
        """The reply to `request`; None when time is up. Replies to others are left behind.

        With `damage_ends`, a damaged frame ends the wait, too.
        """
        while (message := self.next_message(until)) is not None:
            if message.kind == Kind.DAMAGED and damage_ends:
                return message
            answers = (message.command, message.sequence) == (request.command, request.sequence)
            any_boot = request.boot_nonce == ANY_BOOT
            if message.kind == Kind.REPLY and answers and (any_boot or self.concerns_us(message)):
                return message
            if self.now() >= until:
                return None  # a babbling peer always has a frame more
        return None

    def _take(self, data: bytes) -> None:
        self.history.received(data)
        for body in self._decoder.feed(data):
            if body and body[0] != PROTOCOL_VERSION:
                raise other_version(body[0])
            message = Message.decode(body)
            if message is not None:
                self.history.counts.damage_notices += message.kind == Kind.DAMAGED
                self._messages.append(message)
        damaged = self._decoder.take_bad_frames()
        self.history.counts.damaged_frames += damaged
        self._messages += [_DAMAGED] * min(damaged, 1)

    def _reopened(self, broken: ConnectionBroken, deadline: float) -> None:
        """Open the port again; give up with `broken` at the deadline, or where nobody said how.

        A port that breaks before a device was met is the wrong one, or its device is dead.
        """
        if self._reopen is None or self.max_payload == 0:
            raise broken
        self.transport.close()
        self._decoder = frames.Decoder()
        self._messages.clear()
        while self.now() < deadline:
            time.sleep(self.timing.reopen_seconds)  # first, too: it may open only to break again
            with contextlib.suppress(MissingTool, LinkFailed):
                self.transport = self._reopen()
                self.history.counts.reconnections += 1
                return
        raise broken

    def _restarted(self, during: str) -> DeviceRestarted:
        """Meet the new boot and ask what ended the old one."""
        try:
            self.handshake(unlike_boot=self.boot_nonce)
            fault = Fault.decode(self._description(Command.TAKE_FAULT))
        except _NewBoot:
            fault = None  # it restarts again and again
        except struct.error as error:
            raise misfit(Command.TAKE_FAULT, str(error)) from error
        report = self._explain(fault) if fault is not None and self._explain is not None else None
        return DeviceRestarted(f"the device restarted during {during}", fault, report)

    def _silent(self, received: int) -> NoAnswer:
        name = self.transport.name
        seconds = self.timing.handshake_seconds
        came = f"{received} bytes, last {self.history.last_bytes!r}" if received else "no byte"
        return NoAnswer(
            f"what answers on {name} does not speak the protocol"
            if received
            else f"nothing answers on {name}",
            value=f"sent HELLO for {seconds:g} s, received {came}",
            allowed="a HELLO reply",
            next_step="check port and baud rate, and flash a firmware rendered with --app hil",
        )


def _hello_of(reply: Message) -> Hello:
    if reply.status != Status.OK:
        raise RequestRefused(Command.HELLO.name, reply.status)
    try:
        hello = Hello.decode(reply.payload)
    except struct.error as error:
        raise misfit(Command.HELLO, str(error)) from error
    if not LEAST_PAYLOAD_BYTES <= hello.max_payload <= MOST_PAYLOAD_BYTES:
        raise misfit(Command.HELLO, f"a largest payload of {hello.max_payload} bytes")
    return hello
