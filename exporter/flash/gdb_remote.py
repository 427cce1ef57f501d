"""GDB's remote protocol: a server that has the chip, and GDB that loads the image through it.

GDB runs once for each step, as `gdb -batch` goes on after a command that failed: what is written
depends on what was read, never on an exit code. GDB's `load` erases what the server's memory map
says that the image needs; the image is a HEX file, of which each segment is one section.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from exporter import process
from exporter.board import Board, ChipId, CoreId
from exporter.board.flashers import GdbRemoteSettings
from exporter.build.image import Image, flash_regions
from exporter.build.image_files import hex_of_image
from exporter.errors import BadInput, LinkFailed
from exporter.flash.base import FlashOptions, Writer, require_chip, required_chip_id

BATCH = ("-batch", "-nx", "-ex", "set confirm off", "-ex", "set width 0")
CONNECT_SECONDS = 30.0
BYTES_PER_SECOND = 1000.0
_PORT = re.compile(r"[\w.:/\-\[\]]+")
_NO_TARGET = '"monitor" command not supported by this target'
"""What GDB says of `monitor` where `target` did not connect it."""
_READ = re.compile(r"^chip 0x([0-9a-f]{8})$", re.MULTILINE)
_SECTION = re.compile(r"^Section \S+, range 0x([0-9a-f]+) -- 0x([0-9a-f]+): (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Server:
    """What one server needs. `banner`: part of its answer to `monitor version`."""

    name: str
    banner: str
    attach: tuple[str, ...]
    """After the connection."""
    start: tuple[str, ...]
    """Resets the chip, lets it run and leaves."""


SERVERS = (
    Server(
        "OpenOCD",
        "Open On-Chip Debugger",
        ("monitor reset halt",),
        ("monitor reset run", "disconnect"),
    ),
    # Its `kill` resets the chip and detaches: Black Magic Debug, "GDB commands".
    Server("Black Magic Probe", "Black Magic", ("monitor swdp_scan", "attach 1"), ("kill",)),
    Server("QEMU", "unknown command: 'version'", (), ("monitor system_reset", "detach")),
)


def server_of(answer: str, settings: GdbRemoteSettings) -> Server:
    """The server that answered `monitor version` so; others halt when GDB connects (J-Link's)."""
    other = Server("a GDB server", "", (), (f"monitor {settings.monitor_reset}", "detach"))
    return next((server for server in SERVERS if server.banner in answer), other)


def gdb_argv(gdb: str, port: str, commands: tuple[str, ...], file: Path | None = None) -> list[str]:
    """GDB connected to `port`, then `commands`."""
    steps = (
        # A server's memory map has flash and RAM: the identification register is elsewhere.
        "set tcp auto-retry off",
        "set mem inaccessible-by-default off",
        *((f"exec-file {file}",) if file else ()),
        f"target extended-remote {port}",
        *commands,
    )
    return [gdb, *BATCH, *(word for step in steps for word in ("-ex", step))]


def read_commands(server: Server, chip_id: ChipId | CoreId) -> tuple[str, ...]:
    """Reads the register that tells the chip, and leaves."""
    if isinstance(chip_id, CoreId):
        register = f"(unsigned int) ${chip_id.register_name}"
    else:
        register = f"*(unsigned int *) 0x{chip_id.address:08x}"
    return (*server.attach, f'printf "chip 0x%08x\\n", {register}', "disconnect")


def load_commands(server: Server) -> tuple[str, ...]:
    """Erases and writes the sections of the file, and compares them."""
    return (*server.attach, "load", "compare-sections", "disconnect")


def start_commands(server: Server) -> tuple[str, ...]:
    """Starts the chip anew."""
    return (*server.attach, *server.start)


def check_compared(output: str, image: Image) -> None:
    """Raises LinkFailed unless GDB has compared every segment of the image and found it equal."""
    found = {
        (int(start, 16), int(end, 16)): verdict for start, end, verdict in _SECTION.findall(output)
    }
    for segment in image.segments:
        verdict = found.get((segment.address, segment.end), "not compared")
        if verdict != "matched.":
            raise LinkFailed(
                "the flash does not hold the image that was loaded",
                value=f"0x{segment.address:08X} to 0x{segment.end:08X}: {verdict}\n"
                f"{process.tail(output)}",
                allowed="matched",
                next_step="run the same command again; nothing but the image's pages was erased",
            )


class GdbRemoteFlasher(Writer):
    """Load and compare by GDB."""

    name = "gdb_remote"
    port_kind = "server"

    def write(self, board: Board, image: Image, options: FlashOptions) -> None:
        """See Writer. Raises MissingTool without GDB."""
        settings = next(s for s in board.flashers if isinstance(s, GdbRemoteSettings))
        chip_id = required_chip_id(board, self.name, settings.chip_id)
        flash_regions(image, board)
        run = _Gdb(settings.gdb, _checked_port(options.port))
        server = server_of(_answer(run(("monitor version", "disconnect")), run.port), settings)
        require_chip(board, chip_id, _register(run(read_commands(server, chip_id)), run.port))
        options.progress(f"{server.name} writes", 0, 0)
        with tempfile.TemporaryDirectory(prefix="nanoexport-gdb-") as folder:
            file = Path(folder) / "image.hex"
            file.write_text(hex_of_image(image), encoding="ascii")
            check_compared(run(load_commands(server), file, image.size), image)
        options.progress(f"{server.name} wrote", image.size, image.size)
        run(start_commands(server))


@dataclass(frozen=True)
class _Gdb:
    """What GDB prints when it runs commands at a server."""

    program: str
    port: str

    def __call__(self, commands: tuple[str, ...], file: Path | None = None, size: int = 0) -> str:
        completed = process.run(
            gdb_argv(self.program, self.port, commands, file),
            timeout_seconds=CONNECT_SECONDS + size / BYTES_PER_SECOND,
            check=False,
            error=LinkFailed,
        )
        return completed.output


def _checked_port(port: str | None) -> str:
    """A port that GDB's command line takes as one word."""
    if port is None or not _PORT.fullmatch(port):
        raise BadInput(
            "this is no port of a GDB server",
            value=port,
            allowed="HOST:PORT, or the serial port of a Black Magic Probe",
            next_step="name it with --port; OpenOCD listens on localhost:3333",
        )
    return port


def _answer(output: str, port: str) -> str:
    """What the server said of itself. Raises LinkFailed where there is none."""
    if _NO_TARGET in output:
        raise LinkFailed(
            f"no GDB server answers at {port}",
            value=output.splitlines()[0],
            next_step="start it, then run the same command again: OpenOCD listens on "
            "localhost:3333, J-Link's server on localhost:2331; nothing was written",
        )
    return output


def _register(output: str, port: str) -> int:
    found = _READ.search(output)
    if found is None:
        raise LinkFailed(
            f"the GDB server at {port} does not give access to the chip",
            value=process.tail(output) or None,
            next_step="check that it runs and has found the chip; nothing was written",
        )
    return int(found[1], 16)
