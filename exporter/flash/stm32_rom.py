"""The boot loader in ROM of an STM32 over UART, by stm32loader; ours speaks the same protocol.

Application note AN3155 is the protocol. The block that the chip starts from is written last: what
an interruption leaves has no program, so that nothing half written ever runs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from exporter.board import Board
from exporter.board.flashers import Stm32RomSettings
from exporter.build.image import Image, Page, Segment, flash_regions, pages_of
from exporter.errors import BadInput, InternalError, LinkFailed
from exporter.flash.base import FlashOptions, Writer, require_port
from exporter.worker import Message, Worker, WorkerDied, WorkerFailed, WorkerTimedOut

WORKER = "exporter.foreign.stm32loader_worker"
BAUD = 115200
"""AN2606 promises it for the UART of every loader; each finds the rate from the first byte."""

BLOCK_BYTES = 256
"""The most that one Write or Read Memory command takes: AN3155, sections 3.4 and 3.6."""

_FLASH_WORD_BYTES = 32
"""What an STM32H7 programs at once (RM0433, section 4.3.9); other families take a part of it."""

_GROUP_PAGES = 32
_GROUP_BYTES = 128 << 10
"""Erased by one command. A page takes 40 ms at most, and the slowest sector, 128 KB of an STM32F4
or H7, 4 s (their data sheets, flash memory characteristics)."""

ANSWER_SECONDS = 10.0
"""More than any command takes."""
_ALREADY_THERE_SECONDS = 1.0
_REQUEST_SECONDS = 60.0


@dataclass(frozen=True)
class Plan:
    """What is erased and written, in this order: all of it inside the pages of the image."""

    erased: tuple[tuple[int, ...], ...]
    """Numbers of pages as the loader counts them, for each command; the first page goes first."""
    written: tuple[Segment, ...]
    """At most a block each; the block that the chip starts from is the last."""
    start: int


def plan_of(board: Board, settings: Stm32RomSettings, image: Image) -> Plan:
    """Raises BadInput where the image leaves the flash, or is for more than the loader writes."""
    regions = flash_regions(image, board)
    if len(regions) > 1 or regions[0] != board.region("flash"):
        raise BadInput(
            f"the boot loader of {board.name} writes to {board.region('flash').name} only",
            value=", ".join(region.name for region in regions),
            allowed=board.region("flash").name,
            next_step="build without the other flash, or flash with a debug probe",
        )
    pages = pages_of(image, regions[0])
    blocks = [block for page in pages for block in _blocks(image, page)]
    return Plan(
        tuple(tuple(page.number + settings.first_page for page in run) for run in _groups(pages)),
        (*blocks[1:], blocks[0]),
        image.address,
    )


def _groups(pages: tuple[Page, ...]) -> Iterator[list[Page]]:
    group: list[Page] = []
    for page in pages:
        if len(group) == _GROUP_PAGES or sum(p.bytes for p in [*group, page]) > _GROUP_BYTES:
            yield group
            group = []
        group.append(page)
        if page.bytes > _GROUP_BYTES:
            raise InternalError("a page takes longer to erase than a command may", value=page)
    yield group


def _blocks(image: Image, page: Page) -> Iterator[Segment]:
    """What to write to a page, in whole words of the flash: it is erased around the image."""
    for start in range(page.address, page.end, BLOCK_BYTES):
        parts = image.within(start, min(start + BLOCK_BYTES, page.end))
        if parts:
            low = parts[0].address // _FLASH_WORD_BYTES * _FLASH_WORD_BYTES
            filled = Image(parts).filled(origin=low)
            missing = -len(filled) % _FLASH_WORD_BYTES
            yield Segment(low, filled + b"\xff" * missing)


class Stm32RomFlasher(Writer):
    """See the module."""

    name = "stm32_rom"
    port_kind = "serial"

    def is_on_link(self, board: Board) -> bool:
        """Our loader is on the UART of the link; that of ST may be on another one."""
        return board.loader_request is not None

    def write(self, board: Board, image: Image, options: FlashOptions) -> None:
        """See Writer."""
        settings = next(s for s in board.flashers if isinstance(s, Stm32RomSettings))
        plan = plan_of(board, settings, image)
        port = require_port(options, board)
        with Worker(WORKER) as worker:
            loader = _Loader(worker)
            _enter(loader, port, settings, options)
            _require_chip(loader, board, settings)
            _require_pages(loader, board, settings)
            _erase(loader, plan, options)
            _write(loader, plan, options)
            _verify(loader, plan, options)
            _start(loader, plan, options)


class _Loader:
    """The worker's side of the line."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def ask(self, kind: str, data: bytes | None = None, **fields: Any) -> Message:
        """The answer. Raises LinkFailed, MissingTool; see the worker."""
        arrays = () if data is None else (np.frombuffer(data, np.uint8),)
        try:
            return self._worker.request(Message(kind, fields, arrays), _REQUEST_SECONDS)
        except (WorkerDied, WorkerFailed, WorkerTimedOut) as error:
            why = f"nothing for {_REQUEST_SECONDS:g} s"
            raise LinkFailed(
                f"stm32loader failed at {kind}",
                value=why if isinstance(error, WorkerTimedOut) else error,
                next_step="reset the board into its boot loader and flash it again",
            ) from error


def _enter(loader: _Loader, port: str, settings: Stm32RomSettings, options: FlashOptions) -> None:
    """The loader answers already, or the firmware goes there, or a person sees to it.

    The loader comes first: another byte than its own, and it would take that for the baud rate.
    """
    if _answers(loader, port, settings, _ALREADY_THERE_SECONDS):
        return
    loader.ask("close")
    if not options.to_loader():
        options.say(f"the boot loader does not answer yet: {settings.entry}")
    if not _answers(loader, port, settings, options.wait_seconds):
        raise LinkFailed(
            f"no boot loader answered within {options.wait_seconds:g} s",
            value=f"silence at {BAUD} baud, parity {settings.parity}",
            next_step=settings.entry,
        )


def _answers(loader: _Loader, port: str, settings: Stm32RomSettings, seconds: float) -> bool:
    """Whether it does in that time, on the port, which is opened for it."""
    line: dict[str, Any] = {"port": port, "baud": BAUD, "parity": settings.parity}
    loader.ask("open", **line, family=settings.family, answer_seconds=ANSWER_SECONDS)
    return bool(loader.ask("answers", seconds=seconds).fields["answers"])


def _require_chip(loader: _Loader, board: Board, settings: Stm32RomSettings) -> None:
    """Raises BadInput for another chip, LinkFailed for one that protects its flash."""
    identity = loader.ask("identify").fields
    if identity["product_id"] != settings.product_id:
        raise BadInput(
            f"this is no {board.name}: its chip is another one; nothing was written",
            value=f"product id 0x{identity['product_id']:03X}",
            allowed=f"0x{settings.product_id:03X}",
            next_step="name the board that it is, or the right port",
        )
    if not loader.ask("readable", address=board.region("flash").origin).fields["readable"]:
        raise LinkFailed(
            "the chip protects its flash from being read, and so from us: it is left as it is",
            value="read protection (RDP) is on",
            allowed="a chip without read protection",
            next_step="taking the protection off erases the whole chip: decide that yourself, "
            "with STM32CubeProgrammer",
        )


def _require_pages(loader: _Loader, board: Board, settings: Stm32RomSettings) -> None:
    """Raises BadInput where an option of the chip gives its pages other sizes."""
    for word in settings.requires:
        reply = loader.ask("read", address=word.address, bytes=4)
        found = int.from_bytes(reply.arrays[0].tobytes(), "little")
        if found & word.mask != word.value:
            raise BadInput(
                f"an option of this chip makes its pages others than {board.name}'s: nothing was "
                "erased",
                value=f"0x{found:08X} at 0x{word.address:08X}",
                allowed=f"0x{word.value:08X} in the bits 0x{word.mask:08X}",
                next_step="set the option back yourself, with STM32CubeProgrammer",
            )


def _erase(loader: _Loader, plan: Plan, options: FlashOptions) -> None:
    done, total = 0, sum(len(pages) for pages in plan.erased)
    for pages in plan.erased:
        options.progress("erase", done, total)
        loader.ask("erase", pages=list(pages))
        done += len(pages)
    options.progress("erase", done, total)


def _write(loader: _Loader, plan: Plan, options: FlashOptions) -> None:
    for block, done, total in _counted(plan.written):
        loader.ask("write", block.data, address=block.address)
        options.progress("write", done, total)


def _verify(loader: _Loader, plan: Plan, options: FlashOptions) -> None:
    """Raises LinkFailed at the first byte that is not what was written."""
    for block, done, total in _counted(plan.written):
        reply = loader.ask("read", address=block.address, bytes=len(block.data))
        found = reply.arrays[0].tobytes()
        options.progress("verify", done, total)
        if found != block.data:
            offset = next(i for i, byte in enumerate(block.data) if found[i] != byte)
            raise LinkFailed(
                f"the flash does not hold what was written to 0x{block.address + offset:08X}",
                value=f"0x{found[offset]:02X}",
                allowed=f"0x{block.data[offset]:02X}",
                next_step="flash it again; if it stays so, the flash is worn or the supply weak",
            )


def _start(loader: _Loader, plan: Plan, options: FlashOptions) -> None:
    """Some loaders do not confirm it (AN2606: STM32H743, V9.0); the image is there all the same."""
    try:
        loader.ask("go", address=plan.start)
    except LinkFailed:
        options.say("the boot loader did not confirm that it starts the image: reset the board")


def _counted(blocks: tuple[Segment, ...]) -> Iterator[tuple[Segment, int, int]]:
    """Each block, with the bytes up to and with it, and of all."""
    sizes = [len(block.data) for block in blocks]
    for block, done in zip(blocks, itertools.accumulate(sizes), strict=True):
        yield block, done, sum(sizes)
