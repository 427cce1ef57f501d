"""A converter's process that fails in every way: `kind` of the request says how."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from exporter.foreign.processes import listened
from exporter.process import end_with_parent, without_input
from exporter.worker import Message, Progress, serve

_left: list[Path] = []


def convert(request: Message, progress: Progress) -> Message:
    how = request.fields["how"]
    if how == "crash":
        os.write(2, b"something about memory\n")
        os.abort()
    if how == "hang":
        progress("working")
        time.sleep(600)
    if how == "fork":
        os.fork()
        time.sleep(600)
    if how == "late":
        progress("working")
    if how == "litter":
        return Message("done", {"folder": tempfile.mkdtemp()})
    if how == "tidy":
        _left.append(Path(request.fields["path"]))
    if how == "fail":
        raise RuntimeError("out of ideas")
    if how == "ask":
        with listened() as printed, without_input():
            print("a question", file=sys.stdout)
            os.write(1, b"from C\n")
            read = sys.stdin.read()
        return Message("done", {"printed": printed.getvalue(), "read": read})
    return Message("done", {"modules": sorted(sys.modules), "path": sys.path})


if __name__ == "__main__":
    end_with_parent()
    serve({"convert": convert})
    for path in _left:
        time.sleep(0.2)
        path.write_text("put right")
