"""What the driver of the boards' watchdog counts: the time that was asked for, or nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.render.platform import render_platform
from tests.compilers import FIRST_LINK_SECONDS, host_compiler
from tests.platform.probe import write_project

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The driver of mps2-an386, 25 MHz, as a native program."""
    files = render_platform(
        load_board("mps2-an386"),
        app={"main.c": (HERE / "watchdog.c").read_text(encoding="utf-8")},
        toolchain="gcc",
        optimize="speed",
        model_sources=[],
    )
    project = write_project(tmp_path_factory.mktemp("watchdog"), files)
    output = project / "watchdog"
    includes = [f"-I{project / folder}" for folder in ("platform", "runtime")]
    sources = [str(project / "app" / "main.c"), str(project / "platform" / "cmsdk_watchdog.c")]
    argv = [*host_compiler("gcc"), "-std=c99", "-O1", *includes, "-o", str(output), *sources]
    subprocess.run(argv, check=True, timeout=FIRST_LINK_SECONDS)
    return output


@pytest.mark.parametrize(
    ("milliseconds", "count", "control"),
    [(1, 25_001, 1), (171_798, 4_294_950_001, 1), (171_799, 0, 0), (0xFFFFFFFF, 0, 0)],
    ids=["shortest", "longest", "longer", "longest that can be asked for"],
)
def test_a_run_is_never_ended_before_its_time(
    program: Path, milliseconds: int, count: int, control: int
) -> None:
    """2^32 counts at 25 MHz are 171.8 s: a longer time cannot be watched."""
    done = subprocess.run([program, str(milliseconds)], capture_output=True, check=True, timeout=60)
    assert [int(word) for word in done.stdout.split()] == [count, control]
