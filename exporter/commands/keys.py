"""One key ends what runs, as Ctrl-C does."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator

if sys.platform != "win32":
    import termios
    import tty

_POLL_SECONDS = 0.1


@contextlib.contextmanager
def key_interrupts(key: str) -> Iterator[None]:
    """While the context lasts, pressing `key` in the terminal raises KeyboardInterrupt.

    Keys are not echoed meanwhile; the terminal is restored at the end. Without a terminal on
    standard input, and on Windows, nothing is done.
    """
    if sys.platform == "win32" or not sys.stdin.isatty():
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    stop = threading.Event()
    reader = threading.Thread(target=_read_keys, args=(descriptor, key, stop), daemon=True)
    try:
        tty.setcbreak(descriptor)
        reader.start()
        yield
    finally:
        stop.set()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _read_keys(descriptor: int, key: str, stop: threading.Event) -> None:
    main = threading.main_thread()
    while not stop.is_set():
        if not select.select([descriptor], [], [], _POLL_SECONDS)[0]:
            continue
        try:
            pressed = os.read(descriptor, 64)
        except OSError:
            return  # the terminal has gone
        if not pressed:
            return
        if key.encode() in pressed.lower() and main.ident is not None:
            # To the main thread itself: only so does it leave whatever call it waits in.
            signal.pthread_kill(main.ident, signal.SIGINT)
            return
