"""The wheel: installed elsewhere, without the checkout and without a network, it does its job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from exporter import __version__
from exporter.board import board_folder, board_names
from exporter.cycles import SOURCES
from exporter.render.environment import template_folder
from tests.random_models import random_model

ROOT = Path(__file__).resolve().parents[1]
DEADLINE_SECONDS = 120


def run(argv: list[str], cwd: Path) -> str:
    """Standard output of a program that has no network to ask and no checkout on its path."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    # cmake and ninja are dependencies, too, and borrowed like the others.
    environment["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), environment["PATH"]])
    completed = subprocess.run(
        argv,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the wheel. It borrows the dependencies of the running one."""

    folder: Path
    wheel: Path

    def nanoexport(self, *arguments: str) -> str:
        """Standard output of the installed command, run in the installation's folder."""
        return run([str(self.folder / "venv/bin/nanoexport"), *arguments], self.folder)

    def python(self, *arguments: str) -> str:
        return run([str(self.folder / "venv/bin/python"), *arguments], self.folder)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    folder = tmp_path_factory.mktemp("installation")
    pip = [sys.executable, "-m", "pip", "--quiet"]
    isolated = ["--no-deps", "--no-build-isolation"]
    run([*pip, "wheel", *isolated, "--wheel-dir", str(folder), str(ROOT)], folder)
    (wheel,) = folder.glob("nanoexport-*.whl")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv/bin/python"
    run([*pip, "--python", str(python), "install", "--no-deps", str(wheel)], folder)
    site = run([str(python), "-c", "import site; print(site.getsitepackages()[0])"], folder)
    # A folder named in a .pth file is searched, but its own .pth files, such as the one of an
    # editable checkout, are not.
    borrowed = Path(site.strip()) / "borrowed.pth"
    borrowed.write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return Installation(folder, wheel)


def test_the_wheel_holds_boards_templates_and_types(installation: Installation) -> None:
    files = set(zipfile.ZipFile(installation.wheel).namelist())
    data = {
        f"exporter/{folder.name}/{path.relative_to(folder)}"
        for folder in (board_folder(), template_folder())
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert len(data) > 20
    assert data | {"exporter/py.typed", "exporter/hil/baseline.json"} <= files
    assert {f"exporter/cycles/{path.name}" for path in SOURCES.glob("*.[ch]")} <= files
    assert {name.split("/")[0] for name in files} == {
        "exporter",
        f"nanoexport-{__version__}.dist-info",
    }


def test_the_command_runs_from_the_installation(installation: Installation) -> None:
    where = installation.python("-c", "import exporter; print(exporter.__file__)")
    assert Path(where).is_relative_to(installation.folder)
    assert __version__ in installation.nanoexport("--version")


def test_it_knows_its_boards(installation: Installation) -> None:
    boards = json.loads(installation.nanoexport("boards", "--json"))["boards"]
    assert [board["name"] for board in boards] == list(board_names())


def test_it_renders_and_builds_firmware(installation: Installation) -> None:
    model = installation.folder / "small.tflite"
    model.write_bytes(random_model("FULLY_CONNECTED", 1))
    render = ["render", str(model), "--board", "host", "-o", "firmware", "--app", "standalone"]
    installation.nanoexport(*render)
    assert (installation.folder / "firmware/model/model.h").is_file()
    installation.nanoexport("build", "firmware")


def test_pytest_finds_the_plugin(installation: Installation) -> None:
    assert "--nano-board" in installation.python("-m", "pytest", "--help")
