"""Whatever the loader hears, it writes to the application's flash and nowhere else."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.boot_loader.fuzz import streams
from tests.boot_loader.host import LAYOUT, sanitized

STREAMS = 3000


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`host.c` under the sanitizers."""
    return sanitized(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 40))]
)
def test_random_bytes_change_nothing_but_the_application(program: Path, seed: int) -> None:
    """`host.c` ends the program at the first erase or write elsewhere, and at a bad start."""
    done = subprocess.run(
        [program], input=streams(seed, STREAMS), capture_output=True, timeout=300, check=False
    )
    told = done.stderr.decode()
    assert done.returncode == 0, told
    assert done.stdout[: LAYOUT.application_origin] == b"\xa5" * LAYOUT.application_origin
    counts = re.search(r"(\d+) writes, (\d+) erases, (\d+) starts", told)
    assert counts is not None
    assert all(int(count) > 100 for count in counts.groups())  # the streams do get so far
