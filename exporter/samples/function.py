"""Samples from a Python function of the user's, `module:function`, run in a worker.

The module is imported from the current folder. The function takes no arguments and returns

- an array [N, ...] for a model of one input, or a dict of arrays by the names of the inputs, with
  labels under `y` where it has them; a tuple has one array per input, then perhaps the labels;
- or a list, a generator or anything else to iterate over, of such things: each is one sample
  without the dimension N, or a batch with it.

In a process of its own, what it prints stays out of ours, and it may import TensorFlow or crash.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from exporter.arrays import Array
from exporter.errors import BadInput
from exporter.samples.base import Kind, ModelInput, Opened, Progress
from exporter.samples.numpy_file import opened_arrays
from exporter.samples.options import SampleOptions
from exporter.worker import Message, Worker, WorkerDied, WorkerFailed, WorkerTimedOut

DEADLINE_S = 600.0
"""How long the function may take to return, or to yield the next sample."""

_FORM = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")

_log = logging.getLogger(__name__)


class Function(Kind):
    """See the module's docstring for what a function may return."""

    form = "module:function (Python)"

    def matches(self, data: str) -> bool:
        return bool(_FORM.fullmatch(data)) and not Path(data).exists()

    def open(
        self, data: str, inputs: Sequence[ModelInput], options: SampleOptions, told: Progress
    ) -> Opened:
        told(f"running {data}")
        reply = _run(data, inputs, options, told)
        *arrays, origins = reply.arrays
        found: dict[str, Array] = dict(zip(reply.fields["keys"], arrays, strict=True))
        opened = opened_arrays(data, found, inputs)
        return Opened(
            "samples",
            opened.count,
            opened.read,
            opened.labels,
            opened.class_names,
            (*opened.warnings, *reply.fields["warnings"]),
            given=reply.fields["given"],
            origins=origins,
        )


def _run(
    data: str, inputs: Sequence[ModelInput], options: SampleOptions, told: Progress
) -> Message:
    fields = {
        "name": data,
        "folder": str(Path.cwd()),
        "inputs": [asdict(i) for i in inputs],
        "samples": options.samples,
        "seed": options.seed,
    }
    with Worker("exporter.samples.function_worker") as worker:
        try:
            return worker.request(Message("run", fields), DEADLINE_S, told)
        except WorkerDied as death:
            raise _failed(data, death.how, "a function that ends by returning") from None
        except WorkerTimedOut:
            raise _failed(
                data, f"nothing for {DEADLINE_S:g} s", "a function that yields samples as they come"
            ) from None
        except WorkerFailed as failure:
            raise _failed(data, str(failure), "arrays of numbers") from None
        finally:
            if printed := worker.log_tail():
                _log.debug("%s printed:\n%s", data, printed)


def _failed(data: str, value: str, allowed: str) -> BadInput:
    return BadInput(
        f"the function {data} gave no samples",
        value=value,
        allowed=allowed,
        next_step="run it by itself in Python; -vv shows what it printed",
    )
