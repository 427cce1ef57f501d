"""What can be wrong with a port before a byte is sent: its name, its absence, who holds it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from serial.tools import list_ports

from exporter.errors import BadInput, MissingTool, NanoexportError

_SCHEMES = ("", "socket", "rfc2217")
_FORMS = (
    "a device path (/dev/ttyACM0, COM3), socket://host:port, rfc2217://host:port, "
    "or where a board is used, labgrid://place"
)


def check_url(port: str) -> SplitResult:
    """The parts of a port's name; `scheme` is "" for a device. Raises BadInput."""
    try:
        parts = urlsplit(port) if "://" in port else SplitResult("", "", port, "", "")
        complete = not parts.scheme or bool(parts.hostname and parts.port)
    except ValueError:
        parts, complete = SplitResult("", "", port, "", ""), False
    if not port or "\0" in port or parts.scheme not in _SCHEMES or not complete:
        raise BadInput("this is no port", value=port, allowed=_FORMS, next_step=_list_step())
    return parts


def is_there(port: str) -> bool:
    """Whether it can be tried to open `port`: only what is on the network, or not on POSIX, is not
    known before.
    """
    return os.name != "posix" or bool(check_url(port).scheme) or Path(port).exists()


def check_path(port: str) -> None:
    """Raises MissingTool where the device is absent or another process holds it."""
    path = Path(port)
    if os.name != "posix":
        return  # the operating system refuses a second open by itself
    if not path.exists():
        raise MissingTool(
            f"the port {port} is not there",
            allowed=_present_ports() or None,
            next_step="connect the board, or name another port",
        )
    holders = port_holders(path)
    if holders:
        raise _busy(port, holders)


def open_error(port: str, error: Exception) -> NanoexportError:
    """What the failure to open a port means to its user."""
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EBUSY, errno.EAGAIN):
        return _busy(port, port_holders(Path(port), also_this=True))
    if number in (errno.EACCES, errno.EPERM):
        return MissingTool(
            f"no permission to open {port}",
            value=error,
            next_step='run "sudo usermod -aG dialout $USER", then log out and in',
        )
    return MissingTool(
        f"the port {port} cannot be opened",
        value=error,
        next_step="check the name and that the other end is running",
    )


def port_holders(path: Path, *, also_this: bool = False) -> list[str]:
    """Processes that hold `path` open, as "pid 123 (picocom)"; [] where /proc does not tell."""
    target = os.path.realpath(path)
    holders = []
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()) and not also_this:
            continue
        try:
            held = any(os.path.realpath(link) == target for link in (process / "fd").iterdir())
            command = (process / "comm").read_text().strip()
        except OSError:
            continue  # it ended meanwhile, or is another user's
        if held:
            holders.append(f"pid {process.name} ({command})")
    return holders


def _busy(port: str, holders: list[str]) -> MissingTool:
    return MissingTool(
        f"the port {port} is in use",
        value=f"held by {', '.join(holders)}" if holders else "the holder cannot be seen",
        next_step="close the program that holds it (a serial monitor, another run), then try again",
    )


def _present_ports() -> list[str]:
    return sorted(port.device for port in list_ports.comports())


def _list_step() -> str:
    present = _present_ports()
    return f"ports on this machine: {', '.join(present)}" if present else "connect the board"
