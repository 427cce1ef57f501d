"""What this machine has, what is missing, and how to get it."""

from __future__ import annotations

from dataclasses import asdict

from exporter.board import all_boards
from exporter.build.firmware import cache_folder
from exporter.console import Output
from exporter.doctor.finding import Finding
from exporter.doctor.permissions import examine_permissions
from exporter.doctor.programs import examine_programs
from exporter.doctor.udev_rules import udev_rules

__all__ = ["Finding", "examine", "show", "show_udev_rules"]


def examine() -> list[Finding]:
    """Programs of all boards, Python packages, permissions, and the cache."""
    return [*examine_programs(), *examine_permissions(), _cache()]


def _cache() -> Finding:
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fix = "set NANOEXPORT_CACHE to a folder you may write to"
        return Finding("cache", "built firmware", False, f"{folder}: {error.strerror}", fix)
    return Finding("cache", "built firmware", True, str(folder), "")


def show(output: Output, findings: list[Finding]) -> None:
    """Print the findings; what is missing comes with its fix."""
    rows = [
        ("ok" if f.found else "missing", f.name, f.purpose, f.detail if f.found else f.fix)
        for f in findings
    ]
    output.table("", ("", "name", "for", "version, or how to get it"), rows)
    output.document({"findings": [asdict(finding) for finding in findings]})


def show_udev_rules(output: Output) -> None:
    """Print the rules, for a pipe into the file that they belong in."""
    text = udev_rules(all_boards())
    output.text(text.rstrip("\n"))
    output.document({"udev_rules": text})
