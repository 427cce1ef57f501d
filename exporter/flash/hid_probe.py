"""One command to a CMSIS-DAP probe on HID, by Linux's hidraw: erase pages, not the chip.

DAPLink's drive erases all of the chip before it writes, unless its vendor command `SelectEraseMode`
(0x8D, since version 0255) has chosen pages: DAPLink, source/daplink/cmsis-dap/DAP_vendor.c. Its
file PAGE_ON.ACT changes what DETAILS.TXT says, and not what is erased: drag-n-drop/vfs_user.c.
"""

from __future__ import annotations

import os
import select
from pathlib import Path

from exporter.errors import LinkFailed, MissingTool

SYSTEM = Path("/sys/class/hidraw")
DEVICES = Path("/dev")
REPORT_BYTES = 64
SELECT_ERASE_MODE = 0x8D
PAGES = 1
DAP_OK = 0
_ANSWER_SECONDS = 5.0


def erase_pages_only(unique_id: str) -> None:
    """The probe with that serial number erases pages from now on, until it is plugged in anew.

    Raises MissingTool where it cannot be reached, LinkFailed where it does not know the command.
    """
    device = _device(unique_id)
    try:
        handle = os.open(device, os.O_RDWR)
    except OSError as error:
        raise MissingTool(
            f"the probe at {device} cannot be told to erase pages only",
            value=error.strerror,
            next_step="install the udev rules that 'nanoexport doctor' names, or use another "
            "flasher of the board with --flasher",
        ) from error
    try:
        request = bytes([SELECT_ERASE_MODE, PAGES]).ljust(REPORT_BYTES, b"\0")
        os.write(handle, b"\0" + request)  # hidraw: the number of the report first
        if not select.select([handle], [], [], _ANSWER_SECONDS)[0]:
            raise _refused("silence")
        answer = os.read(handle, REPORT_BYTES)
    except OSError as error:
        raise _refused(error.strerror or "gone") from error
    finally:
        os.close(handle)
    if answer[:2] != bytes([SELECT_ERASE_MODE, DAP_OK]):
        raise _refused(answer[:2].hex(" "))


def _device(unique_id: str) -> Path:
    for entry in sorted(SYSTEM.glob("hidraw*")):
        try:
            description = (entry / "device" / "uevent").read_text(encoding="utf-8").splitlines()
        except OSError:
            continue  # unplugged meanwhile
        if f"HID_UNIQ={unique_id}" in description:
            return DEVICES / entry.name
    raise MissingTool(
        "the probe cannot be told to erase pages only, and would erase the whole chip",
        value=f"no hidraw device with the serial number {unique_id}",
        next_step="use another flasher of the board with --flasher",
    )


def _refused(found: str) -> LinkFailed:
    return LinkFailed(
        "the probe does not erase pages only, but would erase the whole chip: nothing was written",
        value=f"answer {found}",
        allowed=f"{SELECT_ERASE_MODE:02x} {DAP_OK:02x}: DAPLink 0255 or later",
        next_step="update the probe's firmware, or use another flasher with --flasher",
    )
