"""`python -m tests.hil.stalling_evaluation N ARGUMENTS`: nanoexport whose boards stop at sample N.

The run is then in the middle for as long as a test wants it to be, on any machine.
"""

from __future__ import annotations

import sys
import time
from typing import Any
from unittest import mock

from exporter.cli import main
from exporter.hil.evaluation import devices
from exporter.hil.evaluation import run as running
from exporter.hil.verify import run_on_device


def stalling(stalled: int) -> Any:
    """`run_on_device`, which does not end from sample `stalled` on."""

    def run(device: Any, inputs: Any, index: int, *more: Any) -> Any:
        if index >= stalled:
            time.sleep(600)
        return run_on_device(device, inputs, index, *more)

    return run


if __name__ == "__main__":
    with (
        mock.patch.object(devices, "run_on_device", stalling(int(sys.argv[1]))),
        mock.patch.object(running, "JOIN_SECONDS", 0.1),
    ):
        main(sys.argv[2:])
