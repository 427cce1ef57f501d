"""Whether processes that tests started have ended."""

from __future__ import annotations

import time
from pathlib import Path


def wait_until_gone(pid: int, seconds: float = 5.0) -> bool:
    """Whether a process ends within that time. Zombies that nobody reaps count as ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except OSError:
            return True
        if state[0] in "ZX":
            return True
        time.sleep(0.02)
    return False
