"""Whether this user may open boards: serial ports, and udev's rules for what is plugged in."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from serial.tools import list_ports

from exporter.board import Board, all_boards
from exporter.doctor.finding import Finding
from exporter.doctor.udev_rules import INSTALL, PATH, udev_rules

if sys.platform != "win32":
    import grp

SERIAL_GROUPS = ("dialout", "uucp")
"""Who owns serial ports: on Debian and its kin, on Arch and its kin."""


def examine_permissions() -> Iterator[Finding]:
    """Nothing is asked of a system other than Linux: there, whoever is logged in may open ports."""
    if sys.platform.startswith("linux"):
        yield serial_ports([Path(port.device) for port in list_ports.comports()])
        yield installed_rules(Path(PATH), all_boards())


def serial_ports(ports: Sequence[Path]) -> Finding:
    """Whether the ports that are there may be opened; where there is none, whether one could be."""
    purpose = "boards on USB or a serial adapter"
    closed = [port for port in ports if not os.access(port, os.R_OK | os.W_OK)]
    if ports:
        detail = ", ".join(str(port) for port in closed or ports)
        group = _group_of(closed[0]) if closed else None
        return Finding("serial ports", purpose, not closed, detail, _join(group))
    group = next((name for name in SERIAL_GROUPS if name in _all_groups()), None)
    member = os.geteuid() == 0 or group in _groups_of_user()
    detail = "none is connected" + (f", group {group}" if group else "")
    return Finding("serial ports", purpose, member or group is None, detail, _join(group))


def _join(group: str | None) -> str:
    """Right for a service as well, where udev's rules serve whoever sits at the computer."""
    return f"sudo usermod -aG {group or SERIAL_GROUPS[0]} $USER, then log out and in"


def _group_of(port: Path) -> str | None:
    try:
        return grp.getgrgid(port.stat().st_gid).gr_name
    except (OSError, KeyError):
        return None


def _all_groups() -> set[str]:
    return {entry.gr_name for entry in grp.getgrall()}


def _groups_of_user() -> set[str]:
    """Those that count now: a new membership does so from the next log-in on."""
    numbers = set(os.getgroups())
    return {entry.gr_name for entry in grp.getgrall() if entry.gr_gid in numbers}


def installed_rules(path: Path, boards: Sequence[Board]) -> Finding:
    """Whether udev has the rules for these boards, as they are now."""
    purpose = "debug probes and ports without a group"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        return Finding("udev rules", purpose, False, f"{path}: {error.strerror}", INSTALL)
    current = text == udev_rules(boards)
    detail = str(path) if current else f"{path} is of other boards than these"
    return Finding("udev rules", purpose, current, detail, INSTALL)
