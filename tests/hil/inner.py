"""Pytest inside pytest, in a folder of its own: the fixture `inner`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

DEADLINE_SECONDS = 240.0


def run(inner: pytest.Pytester, *arguments: object, controls: bool = False) -> pytest.RunResult:
    """Pytest in a process of its own."""
    words = map(str, (*plugin_arguments(controls=controls), "-ra", *arguments))
    return inner.runpytest_subprocess(*words, timeout=DEADLINE_SECONDS)


def started(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    """Pytest in the background, in `folder`, with all that it prints in `stdout`."""
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *plugin_arguments(), *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def plugin_arguments(*, controls: bool = False) -> tuple[str, ...]:
    """Where pytest does not find the plugin by its entry point, it is named.

    Negative controls are left out but where a test is about them.
    """
    found = any(point.value == "exporter.hil.plugin" for point in entry_points(group="pytest11"))
    named = () if found else ("-p", "exporter.hil.plugin")
    return ("-p", "no:cacheprovider", *named, *(() if controls else ("--nano-no-controls",)))


def report(folder: Path, name: str = "run.json") -> Any:
    """The document of --nano-json."""
    return json.loads((folder / name).read_text(encoding="utf-8"))


def outcomes(document: Any) -> dict[str, str]:
    """Outcome by test, without the file's name."""
    return {test["id"].partition("::")[2]: test["outcome"] for test in document["tests"]}


def wait_for(condition: Callable[[], object], what: str, seconds: float = 120) -> None:
    """Until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about in {seconds:g} s"
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    """Process ids of the direct children."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]
