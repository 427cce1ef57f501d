"""Locks that all runs of a machine share: who has a port has it alone.

flock on a file for each port: the system drops it when its process ends, however it ends, and root
is refused like anybody else; a forked child has none of its parent's. Inside the file is the
holder's name, for whoever is refused. Lock files are never removed: a file removed under a lock
would let two processes hold it.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

from exporter.errors import BadInput, MissingTool
from exporter.link.ports import check_url

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SHOWN_CHARACTERS = 100


class Lock:
    """An exclusive lock of this process on `key`, from `try_lock`."""

    def __init__(self, key: str, descriptor: int) -> None:
        self.key = key
        self.in_use = False
        """Whether the port behind the key is open."""
        self._descriptor: int | None = descriptor
        _held[key] = self

    def release(self) -> None:
        """Let others have it. Harmless when done before."""
        if self._descriptor is None:
            return
        os.ftruncate(self._descriptor, 0)
        if sys.platform != "win32":  # closing alone leaves it to a child that was being forked
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._close()

    def _close(self) -> None:
        """Without a word to whoever shares the descriptor: it may be the parent's, too."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if _held.get(self.key) is self:
            del _held[self.key]


_held: dict[str, Lock] = {}
"""The locks of this process by key."""


def _forget() -> None:
    """In a forked child: what it inherited is its parent's."""
    for lock in [*_held.values()]:
        lock._close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

_command: list[str] = []
"""What this process does, where its arguments do not tell."""


def name_this_process(command: str) -> None:
    """What others read who want what this process holds; by default its command."""
    _command[:] = [command]


def lock_folder() -> Path:
    """NANOEXPORT_LOCKS, or a folder of this user in /tmp.

    Neither TMPDIR nor XDG_RUNTIME_DIR counts: a shell, cron and a service of one user have them
    set differently, and would not see each other's locks. For several users name a common folder.
    """
    chosen = os.environ.get("NANOEXPORT_LOCKS")
    user = os.getuid() if sys.platform != "win32" else 0
    base = Path("/tmp") if os.name == "posix" else Path(tempfile.gettempdir())
    folder = Path(chosen) if chosen else base / f"nanoexport-locks-{user}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o777 if chosen else 0o700)
        if not chosen and folder.stat().st_uid != user:
            raise PermissionError(1, "it belongs to another user")
    except OSError as error:
        raise _unusable(folder, error) from error
    return folder


def port_key(port: str) -> str:
    """One name for one port: links are followed, and a TCP port is the same in every protocol.

    Raises BadInput for what can be no port.
    """
    if port.startswith("labgrid://"):  # who has a place has all its serial ports
        return port.partition("?")[0].rstrip("/")
    parts = check_url(port)
    if not parts.scheme:
        return os.path.realpath(port)
    host = parts.hostname or ""
    return f"tcp {'localhost' if host in _LOOPBACK else host} {parts.netloc.rpartition(':')[2]}"


def try_lock(key: str) -> Lock | None:
    """The lock on `key`; None while any process, this one included, has it.

    Raises BadInput where the folder of locks cannot be written to.
    """
    path = _path(key)
    try:
        descriptor = _open(path)
    except OSError as error:
        raise _unusable(path.parent, error) from error
    try:
        if sys.platform != "win32":  # there, the system refuses a second open of a port by itself
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:  # a file system without locks
        os.close(descriptor)
        raise _unusable(path.parent, error) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, _this_process().encode(), 0)
    return Lock(key, descriptor)


def holder(key: str) -> str:
    """Who has the lock on `key`: process id and command."""
    try:
        return _path(key).read_text(encoding="utf-8", errors="replace") or "a process"
    except OSError:
        return "a process"


@contextmanager
def port_lock(port: str) -> Iterator[None]:
    """Whoever opens `port` holds its lock: the pool's of this process, or one for the block.

    Raises MissingTool, with the holder's name, where another has the port.
    """
    key = port_key(port)
    lent = _held.get(key)
    lock = lent if lent is not None and not lent.in_use else try_lock(key)
    if lock is None:
        raise MissingTool(
            f"the port {port} is in use",
            value=f"held by {holder(key)}",
            next_step="wait until that run has ended, or end it",
        )
    lock.in_use = True
    try:
        yield
    finally:
        lock.in_use = False
        if lock is not lent:
            lock.release()


def _path(key: str) -> Path:
    """Readable, and different for different keys."""
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", key).strip("-")[-60:]
    return lock_folder() / f"{readable}-{hashlib.sha256(key.encode()).hexdigest()[:8]}.lock"


def _open(path: Path) -> int:
    """A lock file that every user of its folder may lock, whatever the umask of the first was."""
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
    try:
        # Without O_CREAT: Linux refuses that for another user's file in a folder like /tmp.
        return os.open(path, flags)
    except FileNotFoundError:
        descriptor = os.open(path, flags | os.O_CREAT, 0o666)
        with suppress(OSError):  # another user was faster
            path.chmod(0o666)
        return descriptor


def _this_process() -> str:
    program, *arguments = sys.argv or [sys.executable]
    path = Path(program)
    name = path.parent.name if path.name == "__main__.py" else path.name  # python -m NAME
    command = "".join(_command) or " ".join([name, *arguments])
    return f"pid {os.getpid()} ({command[:_SHOWN_CHARACTERS]})"


def _unusable(folder: Path, error: OSError) -> BadInput:
    return BadInput(
        f"cannot use the folder of locks '{folder}'",
        value=error.strerror or str(error),
        next_step="set NANOEXPORT_LOCKS to a folder that all runs on this machine may write to",
    )
