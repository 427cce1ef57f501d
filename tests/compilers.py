"""The compilers of this computer: gcc, and the clang of the Python package ziglang."""

from __future__ import annotations

import importlib.util
import sys

import pytest

FIRST_LINK_SECONDS = 300.0
"""zig builds its run-time libraries when it first links for a target, and keeps them."""


def host_compiler(name: str) -> tuple[str, ...]:
    """The command line of `gcc` or `clang`; skips the test where clang is not installed."""
    if name == "gcc":
        return ("gcc",)
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("ziglang is not installed")
    return (sys.executable, "-m", "ziglang", "cc")
