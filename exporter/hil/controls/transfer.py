"""A byte that is lost on the way: noticed, repaired, and without effect on the results."""

from __future__ import annotations

from exporter.hil.controls.base import Bench, Control, Outcome, Rng
from exporter.hil.controls.relay import Tamper
from exporter.link.device import Device
from exporter.link.messages import Command, Message

COMMANDS = (Command.POISON, Command.WRITE, Command.INVOKE, Command.READ)
"""What an inference consists of."""


class DroppedByte(Control):
    """One byte of a request, or of a reply, is lost.

    Caught: whoever received the rest counted a damaged frame, the request was sent again, and the
    outputs are exact.
    """

    proves = "the CRC notices a lost byte, and repetition repairs it without a second inference"

    def __init__(self, of_request: bool) -> None:
        self.name = f"dropped byte of a {'request' if of_request else 'reply'}"
        self._of_request = of_request

    def run(self, bench: Bench, rng: Rng) -> Outcome:
        """See Control."""
        command = COMMANDS[int(rng.integers(len(COMMANDS)))]
        nth = int(rng.integers(bench.requests[command]))
        drop = Drop(self._of_request, command, nth, float(rng.random()))
        with bench.tampered(drop) as device:
            before = self._damaged(device), device.repeated_requests
            result = bench.verify(device, [0])
            damaged = self._damaged(device) - before[0]
            repeated = device.repeated_requests - before[1]
        noticed = f"{damaged} damaged frames, {repeated} repeated requests"
        if not drop.changed:
            return Outcome("missed", drop.place, "the fault never took place")
        if not result.bit_exact:
            return Outcome("missed", drop.place, f"the outputs are wrong; {noticed}")
        return Outcome("caught" if damaged and repeated else "missed", drop.place, noticed)

    def _damaged(self, device: Device) -> int:
        """Damaged frames so far, counted where the dropped byte was missing."""
        return device.memory().bad_frames if self._of_request else device.link_counts.damaged_frames


class Drop(Tamper):
    """Drops one byte of one frame: that of the `nth` request with `command`, or of its reply.

    `fraction`, from 0 to 1, says which byte between the delimiters.
    """

    def __init__(self, of_request: bool, command: Command, nth: int, fraction: float) -> None:
        super().__init__()
        self._of_request, self._command = of_request, command
        self._nth, self._fraction = nth, fraction
        self._sequences: list[int] = []
        self.place = f"{command.name} {nth}"

    def request(self, message: Message, frame: bytes) -> bytes:
        """See Tamper."""
        return self._dropped(message, frame) if self._of_request else frame

    def reply(self, message: Message, frame: bytes, read: tuple[int, int] | None) -> bytes:
        """See Tamper."""
        return frame if self._of_request else self._dropped(message, frame)

    def _dropped(self, message: Message, frame: bytes) -> bytes:
        """A frame counts once, however often it is sent; its repetitions pass."""
        if message.command != self._command or message.sequence in self._sequences:
            return frame
        self._sequences.append(message.sequence)
        if len(self._sequences) != self._nth + 1:
            return frame
        index = 1 + int(self._fraction * (len(frame) - 2))
        self.place = f"byte {index} of {len(frame)} of {self._command.name} {self._nth}"
        return frame[:index] + frame[index + 1 :]
