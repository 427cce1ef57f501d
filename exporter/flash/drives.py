"""Drives that boot loaders show: where they are mounted, and those that are not."""

from __future__ import annotations

import json
import os
import string
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter import process
from exporter.errors import NanoexportError

_MOUNTS = Path("/proc/self/mounts")
_FAT = ("vfat", "msdos", "fuseblk", "exfat")
_LSBLK_SECONDS = 10.0


@dataclass(frozen=True)
class Unmounted:
    """A drive that the system sees and nobody has mounted."""

    device: str
    label: str

    @property
    def mount_command(self) -> str:
        """What mounts it for the user, without root on most desktops."""
        return f"udisksctl mount -b {self.device}"


def mounted() -> list[Path]:
    """The roots of all mounted drives that may be a boot loader's."""
    if sys.platform == "darwin":
        return sorted(Path("/Volumes").iterdir())
    if os.name == "nt":
        return [Path(f"{letter}:\\") for letter in string.ascii_uppercase[3:]]
    if not sys.platform.startswith("linux"):
        return []  # --volume names it
    return list(_fat_mounts(_MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")))


def _fat_mounts(text: str) -> Iterator[Path]:
    """The mount points of FAT file systems in the text of /proc/mounts (proc(5))."""
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) > 2 and fields[2] in _FAT:
            yield Path(_unescaped(fields[1]))


def _unescaped(text: str) -> str:
    """Spaces and their kin are octal there."""
    for code in (" ", "\t", "\n", "\\"):
        text = text.replace(f"\\{ord(code):03o}", code)
    return text


def unmounted(label: str) -> list[Unmounted]:
    """Drives with that label that are not mounted. Linux only; empty where nothing lists them."""
    if not sys.platform.startswith("linux"):
        return []
    argv = ["lsblk", "--json", "--paths", "--output", "NAME,LABEL,MOUNTPOINT"]
    try:
        listed = json.loads(process.run(argv, timeout_seconds=_LSBLK_SECONDS).stdout)
    except (NanoexportError, ValueError):
        return []
    return [
        Unmounted(str(device["name"]), label)
        for device in _flat(listed.get("blockdevices", []))
        if device.get("label") == label and not device.get("mountpoint")
    ]


def _flat(devices: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for device in devices:
        yield device
        yield from _flat(device.get("children", []))
