"""Errors of a conversation that say the same wherever they are met."""

from __future__ import annotations

from exporter.errors import LinkFailed
from exporter.link.messages import PROTOCOL_VERSION, Command

_RENEW = "render, build and flash the firmware anew with this nanoexport"


class NoReply(LinkFailed):
    """The device was there, and a request got no reply within its deadline."""

    def __init__(self, command: Command, port: str, seconds: float, history: str) -> None:
        super().__init__(
            f"no reply to {command.name} from {port} within {seconds:g} s",
            value=history,
            allowed="a reply with the same sequence number",
            next_step="reset the board; if it answers then, the model ran too long or hung",
        )


def misfit(command: Command, why: str) -> LinkFailed:
    """The error for a reply that the protocol does not allow."""
    return LinkFailed(
        f"the reply to {command.name} does not fit the protocol", value=why, next_step=_RENEW
    )


def not_restarted(port: str, seconds: float) -> LinkFailed:
    """The error for a device that was to start anew and still is in the same boot."""
    return LinkFailed(
        f"the device on {port} did not restart",
        value=f"the same boot answers after {seconds:g} s",
        next_step="reset the board by hand; if that helps, mend platform_reset of its platform",
    )


def other_version(version: int) -> LinkFailed:
    """The error for a device of another version of the protocol."""
    return LinkFailed(
        "the device speaks another version of the link protocol",
        value=f"version {version}",
        allowed=f"version {PROTOCOL_VERSION}",
        next_step=_RENEW,
    )
