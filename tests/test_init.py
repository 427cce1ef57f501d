"""`nanoexport init`: the project that it starts works, on a computer and in CI."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.board import board_folder, load_board
from exporter.flash.rp2040js import PACKAGE, VERSION
from exporter.process import PACKAGES
from tests.hil.support import REPOSITORY, forget_boards, nanoexport, refused

pytest_plugins = ["tests.hil.fixtures"]

FILES = {
    "README.md",
    "test_model.py",
    "conftest.py",
    "budget.yaml",
    ".gitignore",
    ".github/workflows/boards.yml",
    ".gitlab-ci.yml",
}
EXAMPLE = {"digits.tflite", "digits.npz"}
TESTS_SECONDS = 300.0


@pytest.fixture(autouse=True)
def no_other_boards() -> Iterator[None]:
    """What one test adds the next does not know."""
    yield
    forget_boards()


def started(folder: Path, *options: object) -> Any:
    """The document of a project that was started in `folder`."""
    run = nanoexport("init", folder, *options, "--json")
    assert run.code == 0, run.err
    return run.document


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def run_pytest(folder: Path, cache: Path, *arguments: str) -> str:
    """pytest in the project, as its user runs it: what it prints, once all is well."""
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "NANOEXPORT_CACHE": str(cache),
        "NANOEXPORT_LOCKS": str(folder / "locks"),
    }
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:labgrid",
        *arguments,
    ]
    done = subprocess.run(
        argv,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TESTS_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_runs_its_tests(tmp_path: Path, firmware_cache: Path) -> None:
    document = started(tmp_path / "project")
    assert files_in(tmp_path / "project") == FILES | EXAMPLE
    assert document["board"] == document["emulated_board"] == "mps2-an386"
    told = run_pytest(
        tmp_path / "project", firmware_cache, "--nano-board", "host", "--nano-no-controls"
    )
    assert "3 passed" in told


@pytest.mark.long
@pytest.mark.toolchain
@pytest.mark.emulator
@pytest.mark.parametrize("board", ["mps2-an386", "hifive1-rev-b"])
def test_the_example_on_an_emulated_board(tmp_path: Path, firmware_cache: Path, board: str) -> None:
    started(tmp_path / "project", "--board", board)
    for argv in commands_of(tmp_path / "project", "gitlab"):
        if argv[0] == "pytest":
            told = run_pytest(tmp_path / "project", firmware_cache, *argv[1:])
            assert "3 passed" in told and "controls, " in told


def test_a_model_for_a_real_board(tmp_path: Path, small_model: Path) -> None:
    folder = tmp_path / "project"
    document = started(folder, "--model", small_model, "--board", "esp32-c3-devkitm-1")
    assert files_in(folder) == FILES | {"small.tflite"}
    assert (folder / "small.tflite").read_bytes() == small_model.read_bytes()
    assert document["emulated_board"] == "riscv32-virt"
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert "--board esp32-c3-devkitm-1 -o firmware" in readme
    assert "pytest --nano-board esp32-c3-devkitm-1=/dev/ttyACM0" in readme
    assert "There is no emulator of esp32-c3-devkitm-1" in readme
    assert "digits" not in readme + (folder / "test_model.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("board", "command"),
    [
        ("microbit-v1", "nanoexport flash firmware --flasher daplink"),
        ("raspberry-pi-pico", "nanoexport flash firmware --flasher uf2 --link-port /dev/ttyUSB0"),
        ("hifive1-rev-b", "nanoexport flash firmware --flasher gdb_remote --port localhost:3333"),
        ("nucleo-f446re", "nanoexport flash firmware"),
        ("mps2-an386", None),
    ],
)
def test_the_readme_flashes_the_real_board(
    tmp_path: Path, small_model: Path, board: str, command: str | None
) -> None:
    """`flash` of a board that is emulated by default would start the emulator."""
    started(tmp_path / "project", "--model", small_model, "--board", board)
    lines = (tmp_path / "project/README.md").read_text(encoding="utf-8").splitlines()
    flashing = [line.strip() for line in lines if "nanoexport flash" in line]
    assert flashing == ([command] if command else [])


def test_ci_installs_the_emulator_of_the_pico(tmp_path: Path, small_model: Path) -> None:
    folder = tmp_path / "project"
    document = started(folder, "--model", small_model, "--board", "raspberry-pi-pico")
    assert document["emulated_board"] == "raspberry-pi-pico"
    for kind in ("github", "gitlab"):
        commands = commands_of(folder, kind)
        (debian,) = (argv for argv in commands if "--yes" in argv)
        assert debian[-3:] == ["gcc-arm-none-eabi", "nodejs", "npm"]
        (npm,) = (argv for argv in commands if argv[0] == "npm")
        assert npm[-1] == f"{PACKAGE}@{VERSION}"


def test_a_board_of_ones_own_comes_along(tmp_path: Path, small_model: Path) -> None:
    text = (board_folder() / "mps2-an386.yaml").read_text(encoding="utf-8")
    own = tmp_path / "mine.yaml"
    own.write_text(text.replace("name: mps2-an386", "name: mine"), encoding="utf-8")
    folder = tmp_path / "project"
    started(folder, "--model", small_model, "--board", own)
    assert (folder / "mine.yaml").read_bytes() == own.read_bytes()
    for kind in ("github", "gitlab"):
        (tests,) = (argv for argv in commands_of(folder, kind) if argv[0] == "pytest")
        assert tests[tests.index("--nano-board") + 1] == "mine.yaml"


def commands_of(folder: Path, kind: str) -> list[list[str]]:
    """What the CI of a project runs, command by command."""
    if kind == "github":
        workflow = yaml.safe_load((folder / ".github/workflows/boards.yml").read_text("utf-8"))
        (job,) = workflow["jobs"].values()
        lines = [step["run"] for step in job["steps"] if "run" in step]
        assert all({"run", "uses"} & step.keys() for step in job["steps"])
    else:
        pipeline = yaml.safe_load((folder / ".gitlab-ci.yml").read_text("utf-8"))
        (job,) = (value for key, value in pipeline.items() if key != "variables")
        lines = [*job["before_script"], *job["script"]]
    return [shlex.split(part) for line in lines for part in line.split("&&")]


@pytest.mark.parametrize("kind", ["github", "gitlab"])
@pytest.mark.parametrize("board", ["mps2-an386", "riscv32-virt", "host"])
def test_ci_runs_what_there_is(tmp_path: Path, firmware_cache: Path, kind: str, board: str) -> None:
    """Packages that exist, and options that pytest takes."""
    folder = tmp_path / "project"
    started(folder, "--board", board)
    commands = commands_of(folder, kind)
    named = [argv[argv.index("install") + 2 :] for argv in commands if "--yes" in argv]
    debian = {name.removeprefix("Debian package ") for name in PACKAGES.values()}
    compiler = load_board(board).compilers["gcc"].program
    assert PACKAGES[compiler].removeprefix("Debian package ") in named[0]
    assert set(named[0]) <= debian
    assert ["pip", "install", "$NANOEXPORT", "pytest", "pytest-xdist"] in commands
    (tests,) = (argv for argv in commands if argv[0] == "pytest")
    if (kind, board) == ("github", "mps2-an386"):
        told = run_pytest(folder, firmware_cache, *tests[1:], "--collect-only", "-q")
        assert f"test_it_reads_digits[{board}" in told


def test_the_workflow_uploads_what_the_tests_write(tmp_path: Path) -> None:
    started(tmp_path / "project")
    workflow = yaml.safe_load(
        (tmp_path / "project/.github/workflows/boards.yml").read_text(encoding="utf-8")
    )
    (job,) = workflow["jobs"].values()
    assert workflow[True] == ["push", "pull_request"]  # YAML 1.1 takes the key `on` for a boolean
    assert job["steps"][-1]["with"]["path"].split() == ["run.json", "junit.xml", "nano-bundles"]
    ignored = (tmp_path / "project/.gitignore").read_text(encoding="utf-8")
    assert all(f"/{name}" in ignored for name in ("run.json", "junit.xml", "nano-bundles"))


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    started(tmp_path)
    before = {path: (tmp_path / path).read_bytes() for path in files_in(tmp_path)}
    refused(nanoexport("init", tmp_path, "--json"), 2, "is not empty", ".github", "empty one")
    assert {path: (tmp_path / path).read_bytes() for path in files_in(tmp_path)} == before
    refused(nanoexport("init", tmp_path / "README.md", "--json"), 2, "is a file")


@pytest.mark.parametrize("options", [("--board", "zx81"), ("--model", "README.md")])
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, options: tuple[str, str]
) -> None:
    refused(nanoexport("init", tmp_path / "project", *options, "--json"), 2)
    assert not (tmp_path / "project").exists()
