"""OpenOCD: one run that stops before it writes where the chip is another one.

Each command is one argument; OpenOCD 0.12 ends with exit code 1 at the first that fails. The chip
is recognised before it is reset: what runs on another board runs on.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from exporter import process
from exporter.board import Board, ChipId
from exporter.board.flashers import OpenocdSettings
from exporter.build.image import Image, flash_regions
from exporter.build.image_files import hex_of_image
from exporter.errors import LinkFailed
from exporter.flash.base import (
    FlashOptions,
    Writer,
    probe_argument,
    require_chip,
    required_chip_id,
)

IMAGE = "image.hex"
"""In the folder where OpenOCD runs."""
CONNECT_SECONDS = 60.0
BYTES_PER_SECOND = 1000.0
NO_SERVERS = ("gdb_port disabled", "tcl_port disabled", "telnet_port disabled")
"""Several boards of one computer are flashed at once."""
_OTHER_CHIP = re.compile(r"^another chip: (0x[0-9a-f]{8})$", re.MULTILINE)
_VERIFIED = re.compile(r"^verified (\d+) bytes", re.MULTILINE)


def openocd_argv(
    board: Board, settings: OpenocdSettings, chip_id: ChipId, probe: str | None
) -> list[str]:
    """The command that writes `IMAGE`. `erase` erases the sectors that have a part of it."""
    commands = (
        *NO_SERVERS,
        "init",
        _check_chip(chip_id),
        "reset init",
        f"flash write_image erase {IMAGE}",
        f"verify_image {IMAGE}",
        "reset run",
        "shutdown",
    )
    # The serial number first: some scripts of boards connect by themselves.
    chosen = ("-c", f"adapter serial {probe}") if probe else ()
    scripts = (word for script in settings.config for word in ("-f", script))
    return ["openocd", *chosen, *scripts, *(word for c in commands for word in ("-c", c))]


def _check_chip(chip_id: ChipId) -> str:
    """Tcl that ends OpenOCD at another chip."""
    return (
        f"set found [lindex [read_memory 0x{chip_id.address:08x} 32 1] 0]; "
        f"if {{($found & 0x{chip_id.mask:08x}) != 0x{chip_id.value:08x}}} "
        '{error "another chip: [format 0x%08x $found]"}'
    )


class OpenocdFlasher(Writer):
    """Write and verify by OpenOCD."""

    name = "openocd"

    def write(self, board: Board, image: Image, options: FlashOptions) -> None:
        """See Writer. Raises MissingTool without OpenOCD."""
        settings = next(s for s in board.flashers if isinstance(s, OpenocdSettings))
        chip_id = required_chip_id(board, self.name, settings.chip_id)
        flash_regions(image, board)
        argv = openocd_argv(board, settings, chip_id, probe_argument(options))
        options.progress("OpenOCD writes", 0, 0)
        with tempfile.TemporaryDirectory(prefix="nanoexport-openocd-") as folder:
            (Path(folder) / IMAGE).write_text(hex_of_image(image), encoding="ascii")
            completed = process.run(
                argv,
                timeout_seconds=CONNECT_SECONDS + image.size / BYTES_PER_SECOND,
                cwd=Path(folder),
                check=False,
                error=LinkFailed,
            )
        _require_written(completed, board, chip_id, image)
        options.progress("OpenOCD wrote", image.size, image.size)


def _require_written(
    completed: process.Completed, board: Board, chip_id: ChipId, image: Image
) -> None:
    """Raises BadInput for another chip, LinkFailed unless all of the image was verified."""
    other = _OTHER_CHIP.search(completed.output)
    if other:
        require_chip(board, chip_id, int(other[1], 16))
    verified = sum(int(count) for count in _VERIFIED.findall(completed.output))
    if completed.returncode == 0 and verified == image.size:
        return
    raise LinkFailed(
        f"OpenOCD did not put the image on {board.name}",
        value=process.tail(completed.output) or None,
        allowed=f"verified {image.size} bytes",
        next_step="check the cable and that no other program has the probe, then run the same "
        "command again; a protected flash is left as it is",
    )
