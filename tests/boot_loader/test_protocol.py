"""The loader's side of AN3155, and which application it calls valid: its C on this computer."""

from __future__ import annotations

import random
import struct

import pytest

from exporter.board import load_board
from exporter.build.loader_header import header_of
from exporter.errors import BadInput
from tests.boot_loader.host import (
    ACK,
    BOARD,
    LAYOUT,
    NACK,
    HostLoader,
    address,
    checked,
    command,
    erase,
    go,
    read,
    write,
)

BLOCK_BYTES = 256
ORIGIN, IMAGE = LAYOUT.application_origin, LAYOUT.image_origin
FIRST_PAGE = ORIGIN // LAYOUT.page_bytes
LAST_PAGE = LAYOUT.flash_end // LAYOUT.page_bytes - 1
DONE_ERASING = ACK * 2


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> HostLoader:
    """Compiled once."""
    return HostLoader(tmp_path_factory.mktemp("host"))


@pytest.fixture
def loader(library: HostLoader) -> HostLoader:
    """A loader in front of erased flash."""
    library.flash = b"\xff" * len(library.flash)
    return library


def application(size: int = 3000, seed: int = 0) -> bytes:
    """A header and an image that could be started: a stack in RAM, a start in itself, noise."""
    vectors = struct.pack("<II", LAYOUT.ram_end, IMAGE + 0x101)
    image = vectors + random.Random(seed).randbytes(size - len(vectors))
    return header_of(image) + image


def blocks(data: bytes) -> list[tuple[int, bytes]]:
    """As stm32loader writes a file."""
    starts = range(0, len(data), BLOCK_BYTES)
    return [(ORIGIN + start, data[start : start + BLOCK_BYTES]) for start in starts]


def flash(loader: HostLoader, data: bytes) -> None:
    """Erase everything and write a file, upwards."""
    assert loader.serve(erase()) == DONE_ERASING
    for at, block in blocks(data):
        assert loader.serve(write(at, block)) == ACK * 3


def test_the_call_is_answered_again_and_again(loader: HostLoader) -> None:
    assert loader.serve(b"\x7f\x7f") == ACK * 2


def test_get_lists_what_is_served(loader: HostLoader) -> None:
    served = bytes([0x00, 0x01, 0x02, 0x11, 0x21, 0x31, 0x44])
    assert loader.serve(command(0x00)) == ACK + bytes([7, 0x31]) + served + ACK
    assert loader.serve(command(0x01)) == ACK + b"\x31\x00\x00" + ACK
    assert BOARD.boot_loader is not None
    product_id = BOARD.boot_loader.product_id.to_bytes(2, "big")
    assert loader.serve(command(0x02)) == ACK + b"\x01" + product_id + ACK


@pytest.mark.parametrize("code", sorted(set(range(256)) - {0, 1, 2, 0x11, 0x21, 0x31, 0x44, 0x7F}))
def test_everything_else_is_refused(loader: HostLoader, code: int) -> None:
    """Protection above all: 0x63, 0x73, 0x82, 0x92; and Erase 0x43, for want of numbers."""
    before = loader.flash
    assert loader.serve(command(code)) == NACK
    assert loader.flash == before


def test_a_command_without_its_complement_is_refused(loader: HostLoader) -> None:
    assert loader.serve(b"\x00\xfe") == NACK


@pytest.mark.parametrize(
    "stream",
    [
        *(write(ORIGIN, bytes(8))[:cut] for cut in range(1, 16)),
        *(erase(4, 5)[:cut] for cut in range(1, 8)),
    ],
)
def test_a_command_that_stops_half_way_is_forgotten(loader: HostLoader, stream: bytes) -> None:
    before = loader.flash
    assert NACK not in loader.serve(stream) and loader.flash == before
    assert loader.serve(b"\x7f") == ACK


def test_a_file_reads_back_as_it_was_written(loader: HostLoader) -> None:
    """Its magic included: stm32loader verifies by comparing."""
    data = application()
    flash(loader, data)
    for at, block in blocks(data):
        assert loader.serve(read(at, len(block))) == ACK * 3 + block


def test_the_valid_flag_is_written_last(loader: HostLoader) -> None:
    data = application()
    *most, (at, last) = blocks(data)
    loader.serve(erase())
    for start, block in most:
        loader.serve(write(start, block))
        assert not loader.valid and loader.flash[ORIGIN : ORIGIN + 4] == b"\xff" * 4
    loader.serve(write(at, last))
    assert loader.valid and loader.last_write == ORIGIN


@pytest.mark.parametrize("seed", range(4))
def test_blocks_may_come_in_any_order_with_the_header_or_the_end_last(
    loader: HostLoader, seed: int
) -> None:
    data = application(seed=seed)
    header, *middle, end = blocks(data)
    random.Random(seed).shuffle(middle)
    order = [end, *middle, header] if seed % 2 else [header, *middle, end]
    loader.serve(erase())
    for at, block in order:
        assert not loader.valid
        loader.serve(write(at, block))
    assert loader.valid and loader.last_write == ORIGIN


@pytest.mark.parametrize("where", [4, 8, 256, 260, 300, 3000, 3255])
def test_a_broken_image_is_refused(loader: HostLoader, where: int) -> None:
    """One bit of header, vectors, code or end."""
    data = bytearray(application())
    data[where] ^= 0x10
    flash(loader, bytes(data))
    assert not loader.valid
    assert loader.serve(go(ORIGIN)) == ACK + NACK and not loader.started
    flash(loader, application())
    assert loader.serve(go(ORIGIN)) == ACK * 2 and loader.started


@pytest.mark.parametrize("image_bytes", [0, 4, 7, 3002, 1 << 18, 0xFFFFFFFC, 0xFFFFFFFF])
def test_a_length_that_cannot_be_is_refused(loader: HostLoader, image_bytes: int) -> None:
    data = bytearray(application())
    data[4:8] = image_bytes.to_bytes(4, "little")
    flash(loader, bytes(data))
    assert not loader.valid


@pytest.mark.parametrize(
    ("stack", "start"),
    [
        (LAYOUT.ram_origin, IMAGE + 1),
        (LAYOUT.ram_end + 4, IMAGE + 1),
        (LAYOUT.ram_end - 2, IMAGE + 1),
        (LAYOUT.ram_end, IMAGE + 0x100),
        (LAYOUT.ram_end, IMAGE - 1),
        (LAYOUT.ram_end, IMAGE + 0x2001),
    ],
    ids=["stack below", "stack above", "stack unaligned", "not Thumb", "start below", "above"],
)
def test_a_whole_image_that_cannot_start_is_refused(
    loader: HostLoader, stack: int, start: int
) -> None:
    image = struct.pack("<II", stack, start) + bytes(1000)
    flash(loader, header_of(image) + image)
    assert not loader.valid


@pytest.mark.parametrize(
    ("at", "size"),
    [
        (0, 4),
        (ORIGIN - 4, 4),
        (ORIGIN - 4, 8),
        (LAYOUT.flash_end, 4),
        (LAYOUT.flash_end - 4, 8),
        (0xFFFFFFFC, 4),
        (0xFFFFFFFC, 256),
        (0xFFFFFF00, 256),
        (0x20000000, 4),
        (ORIGIN + 1, 4),
        (ORIGIN + 2, 4),
        (ORIGIN, 3),
        (ORIGIN, 5),
    ],
)
def test_a_write_that_is_not_the_applications_is_refused(
    loader: HostLoader, at: int, size: int
) -> None:
    before = loader.flash
    assert NACK in loader.serve(write(at, bytes(size))) and loader.flash == before


@pytest.mark.parametrize(
    "pages",
    [
        (0,),
        (FIRST_PAGE - 1,),
        (FIRST_PAGE, 0),
        (LAST_PAGE, LAST_PAGE + 1),
        (0xFFFF,),
        tuple(range(300)),
    ],
)
def test_an_erase_with_one_page_that_is_not_the_applications_erases_none(
    loader: HostLoader, pages: tuple[int, ...]
) -> None:
    flash(loader, application())
    before = loader.flash
    assert loader.serve(erase(*pages)) == ACK + NACK
    assert loader.flash == before and loader.valid


@pytest.mark.parametrize("count", [0xFFF0, 0xFFFD, 0xFFFE])
def test_bank_erases_are_refused(loader: HostLoader, count: int) -> None:
    flash(loader, application())
    before = loader.flash
    reply = loader.serve(command(0x44) + checked(count.to_bytes(2, "big")))
    assert reply == ACK + NACK and loader.flash == before


def test_a_global_erase_spares_the_loader(loader: HostLoader) -> None:
    loader.flash = bytes(len(loader.flash))
    assert loader.serve(erase()) == DONE_ERASING
    assert loader.flash == bytes(ORIGIN) + b"\xff" * (LAYOUT.flash_end - ORIGIN)


def test_a_write_without_an_erase_is_refused(loader: HostLoader) -> None:
    flash(loader, application(seed=1))
    assert loader.serve(write(IMAGE, bytes(range(8)))) == ACK * 2 + NACK
    assert not loader.valid


@pytest.mark.parametrize("page", [FIRST_PAGE, FIRST_PAGE + 1])
def test_an_application_that_lost_a_page_is_not_started(loader: HostLoader, page: int) -> None:
    flash(loader, application())
    loader.serve(erase(page))
    assert not loader.valid
    loader.serve(go(ORIGIN))
    assert not loader.started


@pytest.mark.parametrize("spoilt", range(5))
def test_a_wrong_checksum_changes_nothing(loader: HostLoader, spoilt: int) -> None:
    streams = [write(ORIGIN, bytes(8)), erase(FIRST_PAGE), erase(), read(0, 4), go(ORIGIN)]
    flash(loader, application())
    before = loader.flash
    stream = bytearray(streams[spoilt])
    stream[-1] ^= 1
    assert loader.serve(bytes(stream)).endswith(NACK) and loader.flash == before


@pytest.mark.parametrize("at", [LAYOUT.flash_end, 0x20000000, 0xFFFFFFFF, 0x1FFFF7E0])
def test_only_the_flash_can_be_read(loader: HostLoader, at: int) -> None:
    assert loader.serve(read(at, 4))[:2] == ACK + NACK


def test_a_read_does_not_leave_the_flash(loader: HostLoader) -> None:
    assert loader.serve(read(LAYOUT.flash_end - 4, 4)) == ACK * 3 + b"\xff" * 4
    assert loader.serve(read(LAYOUT.flash_end - 4, 5)) == ACK * 2 + NACK


@pytest.mark.parametrize("at", [0, ORIGIN + 4, IMAGE + 1, IMAGE + 0x101, 0x20000000])
def test_go_leads_to_the_application_and_nowhere_else(loader: HostLoader, at: int) -> None:
    flash(loader, application())
    assert loader.serve(command(0x21) + address(at)) == ACK + NACK and not loader.started


@pytest.mark.parametrize(
    ("stream", "called"),
    [
        (b"\x7f", True),
        (b"", False),
        (b"\x00", False),
        (b"\x7f\x00", False),
        (b"\x00\x7f", False),
        (b"\x7f\x7f", False),
        (b"\x00\x04\x02\x01\x7f\x03\x00", False),
    ],
)
def test_a_call_stands_alone(loader: HostLoader, stream: bytes, called: bool) -> None:
    """Frames of the link have this byte, too, and hosts say HELLO while a board starts."""
    assert loader.called(stream) == (called, ACK if called else b"")


def test_a_board_without_the_loader_says_so() -> None:
    with pytest.raises(BadInput, match="no boot loader of ours") as caught:
        load_board("mps2-an385+loader")
    assert caught.value.value == "mps2-an385"
