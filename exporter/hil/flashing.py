"""`nanoexport flash`: an image onto its board, and the proof that the board took it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter import flash
from exporter.board import Board, load_board
from exporter.build.compile import Firmware
from exporter.build.image_files import read_image
from exporter.errors import BadInput
from exporter.flash import FlashOptions, NativeProcess, RunningBoard, Writer
from exporter.flash.native import NativeFlasher
from exporter.hil.passport import expected_of_project, read_passport, show_passport
from exporter.hil.real_board import Progress, aim, link_after, locked, require_image
from exporter.hil.serving import serve_port
from exporter.link.device import Device, require_identity
from exporter.link.transport import SocketTransport, Transport

Say = Callable[[str], None]
ELF_MAGIC = b"\x7fELF"
READ_BYTES = 4096
FIRST_LINE_SECONDS = 5.0
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Product:
    """What is put on a board: a built project, or a file without one."""

    board: Board
    file: Path
    firmware: Firmware | None = None

    @property
    def answers(self) -> bool:
        """Whether it is known to serve the link."""
        return self.firmware is not None and self.firmware.manifest["app"] == "hil"

    def document(self) -> dict[str, Any]:
        """What is said of one that does not say it itself."""
        if self.firmware is None:
            return {"board": self.board.name, "file": str(self.file)}
        return {"board": self.board.name, "build_id": self.firmware.manifest["build_id"]}


def product_of(path: Path, board: str | None) -> Product:
    """The project in a folder, whose board `board` must be, or a file for `board`.

    Raises BadInput: no built project, no such file, another board, none named.
    """
    if path.is_file():
        if board is None:
            raise BadInput(
                f"the file '{path}' does not say which board it is for",
                allowed="a name that 'nanoexport boards' lists",
                next_step="name the board with --board",
            )
        return Product(load_board(board), path)
    if not path.exists():
        raise BadInput(
            "there is nothing to flash",
            value=f"{path}: No such file or directory",
            allowed="the folder of a built project, or the file of an image",
            next_step="make one with: nanoexport render MODEL.tflite --board BOARD -o DIR, "
            "then: nanoexport build DIR",
        )
    firmware = Firmware.of(path)
    if board is not None and load_board(board).name != firmware.board:
        raise BadInput(
            f"the project in '{path}' is for another board",
            value=firmware.board,
            allowed=board,
            next_step="leave --board out, or render the model for that board",
        )
    return Product(load_board(firmware.board), firmware.elf, firmware)


@dataclass(frozen=True)
class Wish:
    """How the user wants it flashed."""

    options: FlashOptions
    progress: Callable[[], AbstractContextManager[Progress]]
    flasher: str | None = None
    link_port: str | None = None
    serve: int | None = None


def flash_product(
    product: Product, wish: Wish, say: Say, document: Callable[[Mapping[str, Any]], None]
) -> None:
    """Put `product` on its board and have the board say what it carries.

    With `wish.serve`, an emulated board then runs until Ctrl-C with its serial port on a TCP port.

    Raises:
        BadInput: options that do not fit the flasher, another chip. MissingTool: no emulator, tool,
        probe, drive or port. LinkFailed: the board does not take the image, or does not answer.
    """
    flasher = flash.flasher_for(product.board, wish.flasher)
    if isinstance(flasher, Writer):
        _write(product, flasher, wish, say, document)
        return
    _refuse_ports(product.board, wish)
    _require_program(product)
    _start(product, wish.serve, say, document)


# --- real boards ----------------------------------------------------------------------------------


def _write(
    product: Product,
    writer: Writer,
    wish: Wish,
    say: Say,
    document: Callable[[Mapping[str, Any]], None],
) -> None:
    if wish.serve is not None:
        raise BadInput(
            "only a board that runs on this computer is served",
            value=f"--serve {wish.serve}",
            next_step="a real board has a port of its own: leave --serve out",
        )
    image = read_image(product.file, product.board)
    target = aim(product.board, writer, wish.options, wish.link_port, linked=product.answers)

    def write() -> None:
        with wish.progress() as progress:
            target.write(image, progress)
        say(f"written            {image.size:,} bytes by {writer.name}")

    found = product.document() | {"flasher": writer.name}
    if product.answers:
        with link_after(target, write) as open_link:
            transport = open_link()
            found |= _asked(product, transport, open_link) | {"port": transport.name}
    else:
        with locked(target.link_port):
            write()
    show_passport(say, found)
    document(found)


def _asked(
    product: Product, transport: Transport, reopen: Callable[[], Transport] | None = None
) -> dict[str, Any]:
    """What the board says of the image that it runs, checked."""
    assert product.firmware is not None
    with Device(transport, reopen=reopen) as device:
        require_identity(device.identity, expected_of_project(product.firmware))
        require_image(device, product.board, product.file)
        return read_passport(device)


# --- boards that are programs ---------------------------------------------------------------------


def _refuse_ports(board: Board, wish: Wish) -> None:
    """What is for real boards only is refused where the board is started here."""
    options = wish.options
    given = {
        "--port": options.port,
        "--link-port": wish.link_port,
        "--probe": options.probe,
        "--volume": options.volume,
    }
    named = [f"{name} {value}" for name, value in given.items() if value is not None]
    if not named:
        return
    writers = flash.real_flashers(board)
    raise BadInput(
        f"the board {board.name} is started on this computer, which takes no port",
        value=", ".join(named),
        next_step=f"flash a real one with --flasher {' or '.join(writers)}"
        if writers
        else "leave it out",
    )


def _require_program(product: Product) -> None:
    """Emulators and this computer start ELF files; what else is in a file they would run, too."""
    with product.file.open("rb") as stream:
        magic = stream.read(len(ELF_MAGIC))
    if magic != ELF_MAGIC:
        raise BadInput(
            f"the board {product.board.name} is started from an ELF file",
            value=f"{product.file}: begins with {magic.hex(' ') or 'nothing'}",
            allowed="a built project, or its build/firmware.elf",
        )


def _start(
    product: Product,
    serve: int | None,
    say: Say,
    document: Callable[[Mapping[str, Any]], None],
) -> None:
    keep = serve is not None
    with _started(product, keep=keep) as running:
        passport = product.document() | {"flasher": product.board.default_flasher.name}
        if product.answers:
            passport |= _identify(running, product, keep=keep)
        elif not keep:
            passport["printed"] = _first_line(SocketTransport(running.connection))
        show_passport(say, passport)
        document(passport)
        if serve is not None:
            serve_port(say, running, serve)


@contextmanager
def _started(product: Product, *, keep: bool) -> Iterator[RunningBoard]:
    """The board with the image. With `keep` a native process outlives the clients of its port.

    By itself it ends with the first of them: hold one connection, over which all of them speak.
    """
    if not keep or product.board.default_flasher.name != NativeFlasher.name:
        with flash.start(product.board, product.file) as running:
            yield running
        return
    with NativeProcess(product.file, tcp=True) as process:
        tcp_port = int(str(process.port).rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", tcp_port)) as connection:
            process.connection = connection
            yield process


def _identify(running: RunningBoard, product: Product, *, keep: bool) -> dict[str, Any]:
    """The passport, checked. With `keep` the connection stays usable afterwards."""
    connection = running.connection.dup() if keep else running.connection
    return _asked(product, SocketTransport(connection))


def _first_line(transport: Transport) -> str:
    """What an application without the link prints when it is given a byte; empty for nothing."""
    text, deadline = b"", time.monotonic() + FIRST_LINE_SECONDS
    transport.write(b"\n")
    while b"\n" not in text and time.monotonic() < deadline:
        text += transport.read(READ_BYTES, POLL_SECONDS)
    return text.decode("ascii", "replace").strip()
