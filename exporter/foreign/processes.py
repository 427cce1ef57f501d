"""What the workers of this package have in common: what they hear, and what they tell."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@contextlib.contextmanager
def listened() -> Iterator[io.StringIO]:
    """What Python code prints meanwhile."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        yield printed


def complaint(error: BaseException, printed: str) -> str:
    """An exception in one line; a bare exit says no more than what was printed before it."""
    lines = [line.strip() for line in _COLOURS.sub("", printed).splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower()] or lines
    own = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, SystemExit) or not own:
        return "; ".join(telling[:2])[:400] or type(error).__name__
    return f"{type(error).__name__}: {own[0][:300]}"
