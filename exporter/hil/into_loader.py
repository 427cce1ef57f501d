"""The firmware that runs on a board resets into its boot loader, so that no person must do it."""

from __future__ import annotations

from exporter.board import Board
from exporter.errors import LinkFailed
from exporter.hil.discovery import QUICK
from exporter.link.device import Device, WrongIdentity, require_identity
from exporter.link.messages import ExpectedIdentity
from exporter.link.ports import is_there
from exporter.link.transport import DEFAULT_BAUD, open_port


def ask_for_loader(board: Board, port: str | None) -> bool:
    """Whether firmware of ours answers at `port`, its link, and says that it goes there.

    Raises WrongIdentity where it says that it is another board: that one is left as it is;
    MissingTool where the port is in use.
    """
    if port is None or not is_there(port):
        return False
    transport = open_port(port, board.uart.baud if board.uart else DEFAULT_BAUD)
    try:
        with Device(transport, timing=QUICK) as device:
            require_identity(device.identity, ExpectedIdentity(board=board.name))
            device.reset_to_loader()
    except WrongIdentity:
        raise
    except LinkFailed:
        return False  # empty, hung, a firmware of somebody else, or one that cannot
    return True
