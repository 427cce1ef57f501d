"""The doctor finds what is there, and says how to get what is not."""

from __future__ import annotations

import grp
import os
import re
from pathlib import Path

import pytest

from exporter.board import all_boards
from exporter.doctor import Finding, examine, permissions, programs
from exporter.doctor.udev_rules import INSTALL, PATH, udev_rules, usb_ids
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
    monkeypatch.setattr(programs, "PYTHON_PACKAGES", (absent,))
    finding = by_name()["no-such-distribution"]
    assert not finding.found and finding.fix == "pip install no-such"


def test_a_cache_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NANOEXPORT_CACHE", str(tmp_path / "file" / "cache"))
    finding = by_name()["cache"]
    assert not finding.found and "NANOEXPORT_CACHE" in finding.fix


def test_a_program_is_no_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The flasher imports stm32loader; one that pipx put on PATH is of no use to it."""
    (tmp_path / "stm32loader").write_text("#!/bin/sh\necho 0.7.1\n")
    (tmp_path / "stm32loader").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    finding = by_name()["stm32loader"]
    assert not finding.found and "nanoexport[flash]" in finding.fix


def test_the_tools_of_all_flashers_are_looked_for() -> None:
    listed = {settings.name for board in all_boards() for settings in board.flashers}
    tools = {program for name, (program, _) in programs.FLASH_TOOLS.items() if name in listed}
    found = by_name()
    assert tools and tools <= found.keys()
    assert all(found[tool].fix.startswith(("pip install ", "install the ")) for tool in tools)


def test_a_tool_that_does_not_tell_its_version_is_there_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool = tmp_path / "openocd"
    tool.write_text("#!/bin/sh\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    finding = by_name()["openocd"]
    assert finding.found and finding.detail == str(tool)


def test_a_port_that_may_not_be_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    port = tmp_path / "ttyACM0"
    port.touch()
    assert permissions.serial_ports([port]).found
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    refused = permissions.serial_ports([port])
    group = grp.getgrgid(port.stat().st_gid).gr_name
    assert not refused.found and refused.detail == str(port)
    assert refused.fix == f"sudo usermod -aG {group} $USER, then log out and in"


@pytest.mark.parametrize(
    ("groups", "user", "member"),
    [({"dialout"}, 1000, False), ({"uucp"}, 1000, False), (set(), 1000, True), ({"uucp"}, 0, True)],
)
def test_without_a_port_the_group_counts(
    monkeypatch: pytest.MonkeyPatch, groups: set[str], user: int, member: bool
) -> None:
    monkeypatch.setattr(permissions, "_all_groups", lambda: groups)
    monkeypatch.setattr(permissions, "_groups_of_user", set)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    finding = permissions.serial_ports([])
    assert finding.found == member
    assert all(f"usermod -aG {group} " in finding.fix for group in groups)


def test_the_rules_have_the_ids_of_all_boards() -> None:
    lines = udev_rules(all_boards()).splitlines()
    rule = re.compile(
        r'ATTRS\{idVendor\}=="([0-9a-f]{4})", ATTRS\{idProduct\}=="([0-9a-f]{4})", '
        r'MODE="0660", TAG\+="uaccess", ENV\{ID_MM_DEVICE_IGNORE\}="1"'
    )
    matches = [rule.fullmatch(line) for line in lines if line.startswith("ATTRS")]
    found = [(int(match[1], 16), int(match[2], 16)) for match in matches if match]
    assert len(found) == len(matches) == len(set(found))
    assert set(found) >= {(usb.vid, usb.pid) for board in all_boards() for usb in usb_ids(board)}
    assert (0x10C4, 0xEA60) in found and (0x2E8A, 0x0003) in found
    assert Path(PATH).name < "73-seat-late.rules", "systemd applies uaccess there"
    labels = {line.partition('"')[2].rstrip('"') for line in lines if line.startswith("LABEL")}
    assert {line.rpartition('GOTO="')[2].rstrip('"') for line in lines if "GOTO" in line} == labels


def test_rules_that_are_missing_or_of_other_boards(tmp_path: Path) -> None:
    path, boards = tmp_path / "60-nanoexport.rules", all_boards()
    missing = permissions.installed_rules(path, boards)
    assert not missing.found and missing.fix == INSTALL and "No such file" in missing.detail
    run = nanoexport("doctor", "--udev-rules")
    path.write_text(run.out, encoding="utf-8")
    assert permissions.installed_rules(path, boards).found
    path.write_text(udev_rules(boards[:1]), encoding="utf-8")
    assert not permissions.installed_rules(path, boards).found


def test_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    run = nanoexport("doctor", "--json")
    assert run.code == 0
    findings = run.document["findings"]
    assert all(set(f) == {"name", "purpose", "found", "detail", "fix"} for f in findings)
    assert "gcc-arm-none-eabi" in run.err
