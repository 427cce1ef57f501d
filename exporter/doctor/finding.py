"""One thing that was looked for on this machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing looked for. `fix` says how to get it where it is missing."""

    name: str
    purpose: str
    found: bool
    detail: str
    fix: str
