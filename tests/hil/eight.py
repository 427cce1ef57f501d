"""Emulated devices in parallel, of which some are killed, and a worker of pytest-xdist with them.

    python -m tests.hil.eight

runs forty tests on eight mps2-an386, kills two emulators and then a worker, each in the middle of a
test, and prints what became of every test. Which ones are killed is drawn from a seed; that a test
is in the middle is certain, since tests wait there while the file `hold` exists.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.hil.inner import children, report, started, wait_for
from tests.hil.support import REPOSITORY, picture_model, saved
from tests.processes import wait_until_gone

BOARD = "mps2-an386"
SECONDS = 560.0
VECTORS = 3
WORKER_SHARE = 0.2
"""Of the kills of a storm, those of a worker."""

TESTS = """
import os, time
from pathlib import Path
import pytest

HERE = Path(__file__).parent

@pytest.mark.parametrize("number", range({tests}))
def test_device(nano_verify, number):
    nano_verify({vectors})
    middle = HERE / "middle" / f"{{os.getpid()}}.{{number}}"
    middle.touch()
    while (HERE / "hold").exists():
        time.sleep(0.05)
    middle.unlink()
    nano_verify({vectors})
"""
CONFTEST = """
from pathlib import Path
from exporter.build import firmware

original = firmware._build_into

def counted(project, home):
    with (Path(__file__).parent / "builds").open("a") as log:
        log.write(f"{home}\\n")
    original(project, home)

firmware._build_into = counted
"""


@dataclass(frozen=True)
class Drive:
    """What was done and what came of it. `document`: of --nano-json."""

    killed_emulators: tuple[int, ...]
    killed_worker: int
    emulators_of_worker: tuple[int, ...]
    document: Any
    builds: int
    exit_code: int
    output: str

    def check(self, tests: int) -> None:
        """Raises AssertionError: a test lost, one passed unrun, a process that survived."""
        outcomes, listed = Counter(self.document["outcomes"]), self.document["tests"]
        assert self.document["collected"] == len(listed) == tests, self.output
        assert set(outcomes) <= {"passed", "error"} and outcomes.total() == tests, outcomes
        for test in listed:
            if test["outcome"] == "passed":
                assert test["identified"] and test["inferences"] == 2 * VECTORS, test
        errors = [test for test in listed if test["outcome"] == "error"]
        assert len(errors) == 1 and "crashed" in errors[0]["message"], errors
        assert self.exit_code == 1
        repeated = [test for test in listed if "repeated" in test]
        assert len(repeated) == len(self.killed_emulators), repeated
        assert all(test["repeated"].startswith("ran again on") for test in repeated), repeated
        lost = {entry["place"] for entry in self.document["broken_places"]}
        assert len(lost) == len(self.killed_emulators)
        assert not any(test["place"] in lost for test in repeated)
        assert self.emulators_of_worker, "the worker had no emulator"
        assert all(wait_until_gone(pid) for pid in self.emulators_of_worker)
        assert self.builds == 1, "workers built the firmware more than once"


def drive(
    folder: Path, *, workers: int, tests: int, emulators: int, seed: int, board: str = BOARD
) -> Drive:
    """Run `tests` on as many devices as workers; kill so many emulators, then one worker."""
    chance = random.Random(seed)
    (folder / "hold").touch()
    with _run(folder, workers, workers, tests, board) as process:
        try:
            _wait_for_tests(folder, workers)
            victims = chance.sample(sorted(_emulators(_workers_in_a_test(folder))), emulators)
            _kill(victims)
            _let_go(folder)
            (folder / "hold").touch()
            _wait_for_tests(folder, 1)
            worker = chance.choice(_workers_in_a_test(folder))
            orphans = _emulators([worker])
            _kill([worker])
            (folder / "hold").unlink()
            output, _ = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    builds = (folder / "builds").read_text().splitlines()
    return Drive(
        tuple(victims), worker, tuple(orphans), report(folder), len(builds),
        process.returncode, output,
    )  # fmt: skip


def storm(folder: Path, *, workers: int, tests: int, seed: int, board: str) -> Any:
    """Kill boards and workers at any moment of their lives; the document of --nano-json."""
    chance = random.Random(seed)
    with _run(folder, workers, tests, tests, board) as process:
        try:
            wait_for(lambda: _emulators(children(process.pid)), "a board", SECONDS)
            while process.poll() is None:
                time.sleep(chance.uniform(0.2, 1.0))
                # Not a worker that still starts: that ends pytest-xdist itself, with exit code 3.
                at_work = [pid for pid in children(process.pid) if _emulators([pid])]
                victims = at_work if chance.random() < WORKER_SHARE else _emulators(at_work)
                with contextlib.suppress(ProcessLookupError):
                    _kill([chance.choice(sorted(victims))] if victims else [])
            output, _ = process.communicate()
        finally:
            process.kill()
    return report(folder) | {"output": output}


def _run(folder: Path, workers: int, places: int, tests: int, board: str) -> subprocess.Popen[str]:
    """The tests in parallel, in the background."""
    model = saved(folder, picture_model(), "small.tflite")
    (folder / "test_devices.py").write_text(TESTS.format(tests=tests, vectors=VECTORS))
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pool.yaml").write_text(f"places: [{{board: {board}, count: {places}}}]\n")
    (folder / "middle").mkdir()
    options = ("--nano-pool", "pool.yaml", "--nano-model", model, "--nano-json", "run.json")
    return started(folder, "-n", workers, "--rootdir", folder, *options)


def _workers_in_a_test(folder: Path) -> list[int]:
    """Process ids of the workers whose test waits in its middle."""
    return sorted({int(path.name.partition(".")[0]) for path in (folder / "middle").iterdir()})


def _wait_for_tests(folder: Path, count: int) -> None:
    wait_for(lambda: len(_workers_in_a_test(folder)) >= count, f"{count} tests", SECONDS)


def _let_go(folder: Path) -> None:
    """All that wait go on to their end."""
    waiting = list((folder / "middle").iterdir())
    (folder / "hold").unlink()
    wait_for(lambda: not any(path.exists() for path in waiting), "the tests to go on", SECONDS)


def _emulators(workers: list[int]) -> list[int]:
    """Process ids of what runs the boards of these workers."""
    pids = [child for worker in workers for child in children(worker)]
    return [
        pid for pid in pids if "qemu-system" in _command(pid) or "firmware.elf" in _command(pid)
    ]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def _kill(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def show(result: Drive) -> None:
    """What became of every test."""
    table = Table("test", "outcome", "worker", "place", "note")
    for test in result.document["tests"]:
        note = test.get("repeated") or (test["message"] or "")
        table.add_row(
            escape(test["id"].partition("::")[2]), test["outcome"], test["worker"],
            test.get("place"), escape(note.partition(":")[0]),
        )  # fmt: skip
    console = Console(width=140)
    console.print(table)
    console.print(f"killed emulators {result.killed_emulators}, worker {result.killed_worker}")
    console.print(f"outcomes {result.document['outcomes']}, builds {result.builds}")
    console.print(f"{result.document['seconds']:.0f} s, exit code {result.exit_code}")


def main() -> None:
    os.environ["PYTHONPATH"] = str(REPOSITORY)
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {"NANOEXPORT_CACHE": f"{folder}/cache", "NANOEXPORT_LOCKS": f"{folder}/locks"}
        result = drive(folder, workers=8, tests=40, emulators=2, seed=seed)
    show(result)
    result.check(40)


if __name__ == "__main__":
    try:
        main()
    except subprocess.TimeoutExpired:
        sys.exit("the run did not end")
