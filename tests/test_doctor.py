"""The doctor finds what is there, and says how to get what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter import doctor
from exporter.board import all_boards
from exporter.doctor import Finding, examine
from exporter.process import PACKAGES
from tests.hil.support import nanoexport

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")


def by_name() -> dict[str, Finding]:
    """The findings on this machine."""
    return {finding.name: finding for finding in examine()}


def test_every_program_of_every_board_is_looked_for() -> None:
    found = by_name()
    for board in all_boards():
        programs = [compiler.program for compiler in board.compilers.values()]
        programs += [board.emulator.program] if board.emulator else []
        assert set(programs) <= found.keys()
    assert {"cmake", "ninja", "tflite-runtime", "tensorflow", "cache"} <= found.keys()


def test_what_is_there_is_shown_with_its_version() -> None:
    for name in ("cmake", "ninja"):
        finding = by_name()[name]
        assert finding.found and any(character.isdigit() for character in finding.detail)


def test_what_is_missing_comes_with_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = by_name()
    for name in ("arm-none-eabi-gcc", "qemu-system-arm", "gcc"):
        assert not found[name].found
        assert PACKAGES[name] in found[name].fix


def test_a_missing_python_package(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = ("no_such_module", "no-such-distribution", "nothing", "pip install no-such")
    monkeypatch.setattr(doctor, "PYTHON_PACKAGES", (absent,))
    finding = by_name()["no-such-distribution"]
    assert not finding.found and finding.fix == "pip install no-such"


def test_a_cache_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NANOEXPORT_CACHE", str(tmp_path / "file" / "cache"))
    finding = by_name()["cache"]
    assert not finding.found and "NANOEXPORT_CACHE" in finding.fix


def test_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    run = nanoexport("doctor", "--json")
    assert run.code == 0
    findings = run.document["findings"]
    assert all(set(f) == {"name", "purpose", "found", "detail", "fix"} for f in findings)
    assert "gcc-arm-none-eabi" in run.err
