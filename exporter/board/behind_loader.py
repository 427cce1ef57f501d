"""A board with our boot loader in its first pages: where everything is, and what is left to others.

docs/boot_loader.md draws the layout.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporter.board.flashers import Stm32RomSettings
from exporter.board.model import Board
from exporter.board.parts import BootLoader, MemoryRegion, Pages
from exporter.errors import BadInput, InternalError

BEHIND_LOADER = "+loader"
"""Behind the name of a board: that board, its firmware behind the boot loader."""

LOADER_BYTES = 4096
HEADER_BYTES = 256
"""In front of the image: aligned so, a vector table may have 64 entries (DDI 0403E, B3.2.5)."""

KEPT_BYTES = 16
"""At the end of the RAM: words that a reset keeps."""

REQUEST_STAY = 0x59415453
"""Asks the loader to stay, across a reset."""

_STM32LOADER_FAMILY = "F1"
"""What stm32loader is told: pages of 1024 bytes, writes of 256."""


@dataclass(frozen=True)
class LoaderLayout:
    """Addresses of a board with the boot loader; ends are one past the last address."""

    flash_origin: int
    flash_end: int
    page_bytes: int
    ram_origin: int
    ram_end: int
    stack_bytes: int
    """All the RAM that the loader has: where the application's stack will be, of which nothing is
    kept over a reset."""
    loader_bytes: int = LOADER_BYTES
    request_stay: int = REQUEST_STAY

    @property
    def application_origin(self) -> int:
        """The first address that the loader lets a host write: the application's header."""
        return self.flash_origin + self.loader_bytes

    @property
    def image_origin(self) -> int:
        """The application's vector table, where it is linked to."""
        return self.application_origin + HEADER_BYTES

    @property
    def request_address(self) -> int:
        """The first of the words that a reset keeps."""
        return self.ram_end

    @classmethod
    def of(cls, board: Board) -> LoaderLayout:
        """The layout of a board that stands in its file, as it is without the loader."""
        flash, ram = board.region("flash"), board.region("ram")
        return cls(
            flash_origin=flash.origin,
            flash_end=flash.end,
            page_bytes=_page_bytes(board),
            ram_origin=ram.origin,
            ram_end=ram.end - KEPT_BYTES,
            stack_bytes=board.stack_bytes,
        )


def loader_of(board: Board) -> BootLoader:
    """What the board's file says of the loader. Raises BadInput where there is none for it."""
    if board.boot_loader is None:
        raise BadInput(
            "there is no boot loader of ours for this board",
            value=board.name,
            allowed="a board whose file has boot_loader",
            next_step="most boards have one of their maker's: nanoexport flash uses it",
        )
    return board.boot_loader


def behind_loader(board: Board) -> Board:
    """The same board with the loader on it, for firmware that is flashed through the loader.

    Raises BadInput where there is no loader for it.
    """
    loader, layout = loader_of(board), LoaderLayout.of(board)
    flash, ram = board.region("flash"), board.region("ram")
    image = _behind(flash, layout)
    kept = ram.model_copy(update={"bytes": ram.bytes - KEPT_BYTES})
    replaced = {flash.name: image, ram.name: kept}
    return board.model_copy(
        update={
            "name": board.name + BEHIND_LOADER,
            "description": f"{board.description}, behind our boot loader",
            "memory": tuple(replaced.get(region.name, region) for region in board.memory),
            "flashers": (_flasher(loader, layout),),
            "emulator": None,  # it starts at address 0, where the loader is
            "loader_request": layout.request_address,
        }
    )


def _behind(flash: MemoryRegion, layout: LoaderLayout) -> MemoryRegion:
    """What of the flash an image may have, its header included."""
    count = (layout.flash_end - layout.application_origin) // layout.page_bytes
    return flash.model_copy(
        update={
            "origin": layout.application_origin,
            "bytes": count * layout.page_bytes,
            "pages": (Pages(count=count, bytes=layout.page_bytes),),
        }
    )


def _flasher(loader: BootLoader, layout: LoaderLayout) -> Stm32RomSettings:
    return Stm32RomSettings(
        name="stm32_rom",
        family=_STM32LOADER_FAMILY,
        product_id=loader.product_id,
        parity="none",
        first_page=layout.loader_bytes // layout.page_bytes,
        entry="reset the board; it listens for a moment each time it starts",
    )


def _page_bytes(board: Board) -> int:
    pages: tuple[Pages, ...] = board.region("flash").pages
    if len(pages) != 1 or LOADER_BYTES % pages[0].bytes:
        raise InternalError(
            "the boot loader needs flash of equal pages, whole ones of which make its own part",
            value=board.name,
        )
    return pages[0].bytes
