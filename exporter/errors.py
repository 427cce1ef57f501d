"""What can go wrong, and what the user is told about it.

Every message answers four questions: *what* went wrong, which *value* was found, what is *allowed*,
and what to do *next*. Only the command line prints errors and exits; everything else raises.
"""

from __future__ import annotations

from collections.abc import Sequence


class NanoexportError(Exception):
    """Base of every error a user can meet. `exit_code` is the exit code of the command line."""

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        value: object = None,
        allowed: str | Sequence[str] | None = None,
        next_step: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.value = None if value is None else str(value)
        self.allowed = (
            allowed if allowed is None or isinstance(allowed, str) else ", ".join(allowed)
        )
        self.next_step = next_step

    def as_dict(self) -> dict[str, str | None]:
        """The error as the JSON output states it."""
        return {
            "what": self.what,
            "value": self.value,
            "allowed": self.allowed,
            "next": self.next_step,
        }

    def __str__(self) -> str:
        lines = [self.what]
        if self.value is not None:
            lines.append(f"  found:   {self.value}")
        if self.allowed is not None:
            lines.append(f"  allowed: {self.allowed}")
        if self.next_step is not None:
            lines.append(f"  next:    {self.next_step}")
        return "\n".join(lines)


class CheckFailed(NanoexportError):
    """A check ran and failed: a mismatch, a budget, a prediction, too big for the board."""

    exit_code = 1


class BadInput(NanoexportError):
    """The input or the usage is wrong: a broken file, an unsupported operator, a float model."""

    exit_code = 2


class MissingTool(NanoexportError):
    """A program, Python package or serial port that the step needs is not there."""

    exit_code = 3


class LinkFailed(NanoexportError):
    """The link or the device failed: silence, a stale image, a foreign board, a fault.

    `sent`: the last requests, oldest first; `received`: the last bytes; `log`: the device's last
    log lines. Empty where no session was open.
    """

    exit_code = 4
    sent: tuple[str, ...] = ()
    received: bytes = b""
    log: tuple[str, ...] = ()


class InternalError(NanoexportError):
    """A stage produced something its verifier rejects: a defect of nanoexport, not of the input."""

    exit_code = 1


def defect(error: Exception) -> NanoexportError:
    """An exception that nobody foresaw, told without a traceback."""
    return NanoexportError(
        "nanoexport met a defect of its own",
        value=f"{type(error).__name__}: {error}",
        next_step="run again with -vv and report what it prints",
    )
