"""The compilers of this computer: gcc, and the clang of the Python package ziglang."""

from __future__ import annotations

import sys

HOST_COMPILERS: dict[str, tuple[str, ...]] = {
    "gcc": ("gcc",),
    "clang": (sys.executable, "-m", "ziglang", "cc"),
}

FIRST_LINK_SECONDS = 300.0
"""zig builds its run-time libraries when it first links for a target, and keeps them."""
