"""A stand-in for the oracle's worker that misbehaves on request, by the first byte of the model."""

from __future__ import annotations

import os
import signal
import sys
import time

from exporter.worker import Message, Progress, serve

CRASH_ON_LOAD, CRASH_ON_RUN, HANG_ON_RUN, RAISE_ON_RUN, EXIT_ON_RUN, GARBAGE = range(6)
_mode = [0]


def load(request: Message, progress: Progress) -> Message:
    _mode[0] = int(request.arrays[0][0])
    if _mode[0] == CRASH_ON_LOAD:
        os.kill(os.getpid(), signal.SIGSEGV)
    tensor = {"index": 0, "name": "x", "shape": [2], "dtype": "int8", "scale": 1, "zero_point": 0}
    return Message("done", {"inputs": [tensor], "outputs": [tensor]})


def run(request: Message, progress: Progress) -> Message:
    if _mode[0] == CRASH_ON_RUN:
        print("assertion failed: depth != 0", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGABRT)
    if _mode[0] == HANG_ON_RUN:
        time.sleep(600)
    if _mode[0] == RAISE_ON_RUN:
        raise RuntimeError("Node number 3 (CONV_2D) failed to invoke.")
    if _mode[0] == EXIT_ON_RUN:
        os._exit(7)
    os.write(1, b"INFO: printed by a C++ library\n")  # must not end up among the replies
    return Message("done", {}, request.arrays)


if __name__ == "__main__":
    serve({"load": load, "run": run})
