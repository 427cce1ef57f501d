"""Runs a foreign converter on one model: whatever it does, the answer comes or an error does."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import exporter
from exporter.errors import BadInput, MissingTool
from exporter.worker import Message, Worker, WorkerDied, WorkerFailed, WorkerTimedOut

DEADLINE_S = 240.0
"""Between two messages of the converter. Less than the host allows to the process that waits."""

_LOG_LINES = 3


@dataclass(frozen=True)
class Converter:
    """`name` as messages call it; `module` is run by `python`, an interpreter, or by ours."""

    name: str
    module: str
    environment: Mapping[str, str]
    python: str | None = None


def foreign(converter: Converter, request: Message, path: Path, next_step: str) -> Message:
    """The converter's answer to one request about the model at `path`.

    Raises BadInput where it fails, crashes or does not answer, with `next_step`; MissingTool where
    its interpreter does not run; and what its own handler raises.
    """
    with tempfile.TemporaryDirectory(prefix="nanoexport-") as folder:
        try:
            with _worker(converter, Path(folder)) as worker:
                return worker.request(request, DEADLINE_S)
        except WorkerDied as death:
            how, value = "crashed", "; ".join([death.how, *death.log.splitlines()[-_LOG_LINES:]])
        except WorkerTimedOut:
            how, value = "did not answer", f"nothing for {DEADLINE_S:g} s"
        except WorkerFailed as failure:
            how, value = "failed", str(failure)
    raise BadInput(
        f"{converter.name} {how} on the model '{path}'",
        value=value,
        allowed=f"a model that {converter.name} converts",
        next_step=next_step,
    )


def _worker(converter: Converter, folder: Path) -> Worker:
    """The converter's process. A foreign interpreter sees this package and nothing else of ours."""
    if converter.python is None:
        return Worker(converter.module, **converter.environment)
    (folder / "exporter").symlink_to(Path(exporter.__file__).resolve().parent)
    environment = {**converter.environment, "PYTHONPATH": str(folder)}
    try:
        return Worker(converter.module, python=converter.python, **environment)
    except OSError as error:
        raise MissingTool(
            f"the interpreter for {converter.name} does not run",
            value=f"{converter.python}: {error.strerror}",
            allowed=f"the path of a Python {sys.version_info.major}.11 or later",
        ) from None
