"""`nanoexport boards --connected` and `--probe`: which boards are here, and what they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exporter.board import Board
from exporter.console import Output
from exporter.hil.discovery import Connected, ask, survey
from exporter.hil.passport import passport, show_passport
from exporter.link.messages import Identity

SHOWN_DIGITS = 12


def show_connected(output: Output, boards: Sequence[Board]) -> None:
    """The ports on USB: which board each may be, and what answered where one was asked."""
    found = survey(boards)
    rows = [
        (c.port.device, f"{c.port.vid:04x}:{c.port.pid:04x}", *_row(c), c.port.serial_number)
        for c in found
    ]
    if found:
        names = ("port", "usb", "board", "runs", "unit", "serial number")
        output.table("", names, rows)
    else:
        output.text("no serial port on USB is connected")
    for connected in found:
        if connected.problem is not None:
            output.text(f"{connected.port.device}: {connected.problem}")
    others = [c.port.device for c in found if not c.boards]
    if others:
        output.text(
            f"not asked, as their ids are of no board: {', '.join(others)}; "
            f"if it is one: nanoexport boards --probe {others[0]}"
        )
    output.document({"ports": [_document(connected) for connected in found]})


def show_probed(output: Output, port: str) -> None:
    """What the firmware at one named port says of itself."""
    document = {"port": port} | passport(ask(port))
    show_passport(output.text, document)
    output.document(document)


def _row(connected: Connected) -> tuple[str, str, str]:
    identity = connected.identity
    if identity is None:
        return " or ".join(connected.boards) or "unknown", "", ""
    runs = f"{identity.model_name}, build {identity.build_id[:SHOWN_DIGITS]}"
    return identity.board, runs, identity.chip_id


def _document(connected: Connected) -> dict[str, Any]:
    port = connected.port
    return {
        "port": port.device,
        "usb": f"{port.vid:04x}:{port.pid:04x}",
        "serial_number": port.serial_number,
        "product": port.product,
        "boards": list(connected.boards),
        "asked": connected.identity is not None or connected.problem is not None,
        "runs": _runs(connected.identity) if connected.identity else None,
        "problem": connected.problem,
    }


def _runs(identity: Identity) -> dict[str, Any]:
    keys = ("board", "chip_id", "model", "model_sha256", "build_id", "dialect")
    stated = passport(identity)
    return {key: stated[key] for key in keys}
