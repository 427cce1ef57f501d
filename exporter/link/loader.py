"""The way out of the link: into the device's boot loader, which speaks a protocol of its own."""

from __future__ import annotations

from exporter.link.messages import Command, Kind
from exporter.link.session import Session


def reset_to_loader(session: Session) -> None:
    """Ask once, and wait for the reply; repetitions would be the first bytes that a loader hears.

    Raises LinkFailed where no reply comes, RequestRefused from a firmware that does not know it.
    """
    command = Command.RESET_TO_LOADER
    with session.telling(command.name):
        seconds = session.pause(command, session.max_payload)
        until = session.now() + seconds
        sequence, _ = session.post(command, b"")
        while (message := session.next_message(until)) is not None:
            answers = (message.kind, message.sequence) == (Kind.REPLY, sequence)
            if answers and session.concerns_us(message):
                session.accept(command, message)
                return
            if session.now() >= until:
                break  # a babbling peer always has a frame more
        raise session.unanswered(command, seconds)
