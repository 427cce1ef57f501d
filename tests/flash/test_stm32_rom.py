"""The STM32 boot loader: its frames as AN3155 spells them, and a flash with the image in it."""

from __future__ import annotations

import importlib
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import reduce
from operator import xor
from pathlib import Path
from typing import Any

import pytest
import serial

from exporter.board import Board
from exporter.build.image import Image, Segment
from exporter.errors import BadInput, InternalError, LinkFailed, MissingTool
from exporter.flash import FlashOptions
from exporter.flash import stm32_rom as flasher
from exporter.flash.stm32_rom import Stm32RomFlasher, plan_of
from exporter.worker import Message, Worker
from tests.flash.an3155 import ERASE, EXTENDED_ERASE, WRITE, Stm32Rom, judge
from tests.flash.images import flash_board, random_image
from tests.rfc2217_server import PtySerial, Rfc2217Server

SETTINGS = {
    "name": "stm32_rom",
    "family": "F4",
    "product_id": 0x433,
    "entry": "hold BOOT0 high and press reset",
}
PAGES = [{"count": 4, "bytes": 0x800}, {"count": 1, "bytes": 0x2000}, {"count": 1, "bytes": 0x4000}]
ORIGIN = 0x08000000


def board(**settings: Any) -> Board:
    """An STM32F4 with sectors of an eighth of their size."""
    return flash_board(SETTINGS | settings, {"origin": ORIGIN, "bytes": 0x8000, "pages": PAGES})


@contextmanager
def powered(of: Board, **options: Any) -> Iterator[Stm32Rom]:
    with Stm32Rom(of, product_id=options.pop("product_id", 0x433), **options) as chip:
        yield chip


def write(of: Board, chip: Stm32Rom, image: Image, **options: Any) -> None:
    asked: Callable[[], bool] = options.pop("to_loader", lambda: False)
    port = chip.fresh_port()

    def to_loader() -> bool:
        chip.fresh_port()  # which is opened once more afterwards
        return asked()

    Stm32RomFlasher().write(of, image, FlashOptions(port=port, to_loader=to_loader, **options))


def require_written(chip: Stm32Rom, image: Image) -> None:
    """The image is there, erased bytes around it in its pages, and what was before elsewhere."""
    expected = bytearray(b"\xa5" * len(chip.flash))
    for page in chip.pages.values():
        if image.within(page.address, page.end):
            start = page.address - ORIGIN
            expected[start : start + page.bytes] = b"\xff" * page.bytes
    for segment in image.segments:
        expected[segment.address - ORIGIN : segment.end - ORIGIN] = segment.data
    assert chip.flash == expected and not chip.option_bytes_changed


def with_checksum(hexadecimal: str) -> bytes:
    """AN3155, section 3: the XOR of all bytes before it."""
    data = bytes.fromhex(hexadecimal)
    return data + bytes([reduce(xor, data)])


# --- what is sent --------------------------------------------------------------------------------


def test_the_frames_are_those_of_the_document() -> None:
    image = random_image(ORIGIN, 300)
    first, second = image.filled()[:256], image.filled()[256:] + b"\xff" * 20
    at_first, at_second = with_checksum("08000000"), with_checksum("08000100")
    with powered(board()) as chip:
        write(board(), chip, image)
        sent = [frame.sent for frame in chip.frames]
    assert sent == [
        b"",  # power on
        bytes([0x7F]),  # section 1: the loader finds the baud rate
        bytes([0x00, 0xFF]),  # 3.1 Get
        bytes([0x02, 0xFD]),  # 3.3 Get ID
        bytes([0x11, 0xEE]),  # 3.4 Read Memory: does the chip let us?
        at_first,
        bytes([0x03, 0xFC]),  # four bytes
        bytes([0x44, 0xBB]),  # 3.8 Extended Erase
        with_checksum("0000 0000"),  # one page, which is page 0
        bytes([0x31, 0xCE]),  # 3.6 Write Memory: the last block first
        at_second,
        with_checksum(f"3F {second.hex()}"),  # 64 bytes: whole words of any family's flash
        bytes([0x31, 0xCE]),  # the vectors last
        at_first,
        with_checksum(f"FF {first.hex()}"),  # 256 bytes
        bytes([0x11, 0xEE]),  # 3.4 Read Memory
        at_second,
        bytes([0x3F, 0xC0]),
        bytes([0x11, 0xEE]),
        at_first,
        bytes([0xFF, 0x00]),
        bytes([0x21, 0xDE]),  # 3.5 Go
        at_first,
    ]
    assert b"".join(sent) == bytes(chip.received)
    assert chip.started_at == ORIGIN
    require_written(chip, image)


def test_a_chip_without_extended_erase() -> None:
    of = board(family="F1", product_id=0x420)
    with powered(of, product_id=0x420, extended=False) as chip:
        write(of, chip, random_image(ORIGIN + 0x800, 0x900))
        sent = [frame.sent for frame in chip.frames]
    assert sent[sent.index(bytes([0x43, 0xBC])) + 1] == with_checksum("01 01 02")  # section 3.7
    require_written(chip, random_image(ORIGIN + 0x800, 0x900))


def test_only_the_pages_of_the_image_are_touched() -> None:
    pieces = [(0x10, 5), (0x7FF, 2), (0x1FFE, 1), (0x2100, 0x1700), (0x7FFB, 5)]
    parts = [random_image(ORIGIN + at, size, seed=at).segments[0] for at, size in pieces]
    image = Image.of(parts)
    seen: list[tuple[str, int, int]] = []
    with powered(board(first_page=8), first_page=8) as chip:
        write(board(first_page=8), chip, image, progress=lambda *step: seen.append(step))
    require_written(chip, image)
    assert judge(chip.frames, board(), image, first_page=8) == []
    assert sorted({stage for stage, _, _ in seen}) == ["erase", "verify", "write"]
    for stage in ("erase", "write", "verify"):
        steps = [(done, total) for name, done, total in seen if name == stage]
        assert steps == sorted(steps) and steps[-1][0] == steps[-1][1] > 0
    assert chip.started_at == ORIGIN + 0x10


def test_pages_are_erased_in_groups_that_take_seconds_at_most() -> None:
    runs = [{"count": 40, "bytes": 0x800}, {"count": 2, "bytes": 0x20000}]
    of = flash_board(SETTINGS, {"origin": ORIGIN, "bytes": 0x54000, "pages": runs})
    settings = of.flashers[0]
    assert settings.name == "stm32_rom"
    plan = plan_of(of, settings, random_image(ORIGIN, 0x54000))
    assert plan.erased == (tuple(range(32)), tuple(range(32, 40)), (40,), (41,))
    assert sum(len(block.data) for block in plan.written) == 0x54000


def test_an_image_that_leaves_the_flash_is_refused_before_the_port_is_opened() -> None:
    for address in (ORIGIN + 0x7FFF, ORIGIN - 1, 0x1FFFC000, 0x20000000):
        with pytest.raises(BadInput, match=r"bytes (behind|outside)"):
            Stm32RomFlasher().write(board(), random_image(address, 2), FlashOptions())
    outside = {"name": "QSPI", "origin": 0x90000000, "bytes": 0x1000}
    inside = {"origin": ORIGIN, "bytes": 0x8000, "pages": PAGES}
    two = Image.of([Segment(ORIGIN, b"a"), Segment(0x90000000, b"b")])
    with pytest.raises(BadInput, match="writes to flash only"):
        Stm32RomFlasher().write(flash_board(SETTINGS, inside, outside), two, FlashOptions())


def test_no_page_is_not_every_page() -> None:
    """stm32loader takes an empty list for the whole chip."""
    line = {"baud": flasher.BAUD, "parity": "even", "family": "F4", "answer_seconds": 5.0}
    with powered(board()) as chip, Worker(flasher.WORKER) as worker:
        for request in (
            Message("open", {"port": chip.path} | line),
            Message("answers", {"seconds": 5.0}),
            Message("identify"),
        ):
            worker.request(request, 60)
        with pytest.raises(InternalError, match="no page to erase"):
            worker.request(Message("erase", {"pages": []}), 60)
        assert chip.frames[-1].sent == bytes([0x02, 0xFD]), "Get ID was the last"


# --- the line ------------------------------------------------------------------------------------


class ParityChecked(Rfc2217Server):
    """A chip that hears nothing but noise unless the parity is this one."""

    parity = serial.PARITY_EVEN

    def _heard(self, port: PtySerial, data: bytes) -> bytes:
        return data if port.parity == self.parity else bytes(byte ^ 0x33 for byte in data)


@pytest.mark.parametrize(("parity", "sign"), [("even", "E"), ("none", "N")])
def test_parity_is_what_the_board_says(parity: str, sign: str) -> None:
    image = random_image(ORIGIN, 40)
    with powered(board(parity=parity)) as chip, ParityChecked(chip.path) as server:
        server.parity = sign
        Stm32RomFlasher().write(board(parity=parity), image, FlashOptions(port=server.url))
    require_written(chip, image)


def test_a_port_must_be_named_and_free(tmp_path: Path) -> None:
    image = random_image(ORIGIN, 40)
    with pytest.raises(BadInput, match="which one"):
        Stm32RomFlasher().write(board(), image, FlashOptions())
    with pytest.raises(MissingTool, match="is not there"):
        Stm32RomFlasher().write(board(), image, FlashOptions(port=str(tmp_path / "ttyACM0")))
    hold = "import sys; port = open(sys.argv[1]); print(flush=True); sys.stdin.read()"
    with (
        powered(board()) as chip,
        subprocess.Popen(
            [sys.executable, "-c", hold, chip.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as holder,
    ):
        assert holder.stdout is not None and holder.stdout.readline()
        with pytest.raises(MissingTool, match="in use") as caught:
            write(board(), chip, image)
        assert f"pid {holder.pid}" in str(caught.value.value)
        holder.kill()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"socket://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(MissingTool, match="cannot be opened"):
        Stm32RomFlasher().write(board(), image, FlashOptions(port=url))


def test_without_stm32loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stm32loader.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with powered(board()) as chip, pytest.raises(MissingTool, match="stm32loader") as caught:
        write(board(), chip, random_image(ORIGIN, 40))
    assert caught.value.next_step == 'pip install "nanoexport[flash]"'
    assert chip.received == b""


# --- into the loader -----------------------------------------------------------------------------


def enter(chip: Stm32Rom) -> bool:
    chip.in_loader = True
    return True


def test_a_person_is_told_what_to_press() -> None:
    said: list[str] = []
    with powered(board(), in_loader=False) as chip:

        def press(text: str) -> None:
            said.append(text)
            enter(chip)

        write(board(), chip, random_image(ORIGIN, 40), say=press)
    assert said == ["the boot loader does not answer yet: hold BOOT0 high and press reset"]
    require_written(chip, random_image(ORIGIN, 40))


def test_firmware_that_resets_into_the_loader_needs_no_person() -> None:
    said: list[str] = []
    with powered(board(), in_loader=False) as chip:
        image = random_image(ORIGIN, 40)
        write(board(), chip, image, say=said.append, to_loader=lambda: enter(chip))
    assert said == []
    require_written(chip, image)


def test_a_loader_that_does_not_confirm_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """AN2606, STM32H74xxx bootloader versions, V9.0: "First ACK not received on Go command"."""
    monkeypatch.setattr(flasher, "ANSWER_SECONDS", 0.3)
    said: list[str] = []
    with powered(board(), confirms_go=False) as chip:
        write(board(), chip, random_image(ORIGIN, 40), say=said.append)
    assert said == ["the boot loader did not confirm that it starts the image: reset the board"]
    require_written(chip, random_image(ORIGIN, 40))


def test_silence_ends_with_what_to_do() -> None:
    with (
        powered(board(), in_loader=False) as chip,
        pytest.raises(LinkFailed, match=r"no boot loader answered within 0\.3 s") as caught,
    ):
        write(board(), chip, random_image(ORIGIN, 40), wait_seconds=0.3)
    assert caught.value.next_step == SETTINGS["entry"]
    assert set(chip.received) == {0x7F}


# --- chips that are left alone --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "what"),
    [
        ({"product_id": 0x413}, BadInput, "product id 0x413"),
        ({"protected": True}, LinkFailed, r"read protection \(RDP\) is on"),
    ],
)
def test_a_chip_that_is_left_alone(
    options: dict[str, Any], error: type[Exception], what: str
) -> None:
    image = random_image(ORIGIN, 40)
    with powered(board(), **options) as chip, pytest.raises(error, match=what):
        write(board(), chip, image)
    commands = {frame.sent[0] for frame in chip.frames if frame.sent}
    assert commands & {WRITE, ERASE, EXTENDED_ERASE} == set()
    assert judge(chip.frames, board(), image) == []
    assert chip.flash == b"\xa5" * 0x8000 and not chip.option_bytes_changed


DUAL_BANK = {"address": 0x1FF00000, "mask": 1 << 22, "value": 1 << 22}


@pytest.mark.parametrize("option", [0xFFEFF8AA, 0xFFAFF8AA])
def test_an_option_that_changes_the_pages(option: int) -> None:
    of = board(requires=[DUAL_BANK])
    with powered(of, words={0x1FF00000: option}) as chip:
        if option & 1 << 22:
            write(of, chip, random_image(ORIGIN, 40))
            require_written(chip, random_image(ORIGIN, 40))
        else:
            with pytest.raises(BadInput, match="nothing was erased") as caught:
                write(of, chip, random_image(ORIGIN, 40))
            assert caught.value.value == "0xFFAFF8AA at 0x1FF00000"
            assert chip.flash == b"\xa5" * 0x8000
    assert judge(chip.frames, of, random_image(ORIGIN, 40)) == []


# --- interruptions -------------------------------------------------------------------------------

IMAGE = random_image(ORIGIN, 0x1100)
BYTES_BEFORE_ERASE = 1 + 2 + 2 + 2 + 5 + 2
ERASE_FRAMES = 2 + 2 + 2 * 3 + 1
BLOCK_FRAMES = 2 + 5 + 258
BLOCKS = 0x1100 // 256
CUTS = {
    "before anything": 1,
    "in the erase": BYTES_BEFORE_ERASE + 6,
    "after the erase": BYTES_BEFORE_ERASE + ERASE_FRAMES,
    "in the first page": BYTES_BEFORE_ERASE + ERASE_FRAMES + 2 * BLOCK_FRAMES + 100,
    "in the last page": BYTES_BEFORE_ERASE + ERASE_FRAMES + (BLOCKS - 2) * BLOCK_FRAMES + 9,
    "before the vectors": BYTES_BEFORE_ERASE + ERASE_FRAMES + (BLOCKS - 1) * BLOCK_FRAMES,
    "in the vectors": BYTES_BEFORE_ERASE + ERASE_FRAMES + BLOCKS * BLOCK_FRAMES - 3,
    "while it is compared": BYTES_BEFORE_ERASE + ERASE_FRAMES + BLOCKS * BLOCK_FRAMES + 20,
}


BY_DEFAULT = ("in the erase", "in the first page", "in the last page", "before the vectors")


@pytest.mark.parametrize(
    "cut",
    [c if c in BY_DEFAULT else pytest.param(c, marks=pytest.mark.long) for c in CUTS],
)
def test_after_a_power_cut_the_same_command_repairs(
    cut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flasher, "ANSWER_SECONDS", 1.5)
    with powered(board(), cut_at_byte=CUTS[cut]) as chip:
        with pytest.raises(LinkFailed, match=r"stopped answering|no boot loader") as caught:
            write(board(), chip, IMAGE, wait_seconds=0.3)
        assert caught.value.next_step and "boot" in caught.value.next_step.lower()
        complete = chip.flash[:0x1100] == IMAGE.filled()
        untouched = chip.flash == b"\xa5" * 0x8000
        assert complete or untouched or chip.flash[:8] != IMAGE.filled()[:8], "it would run"
        assert complete == (cut == "while it is compared")
        chip.power_on()
        monkeypatch.undo()
        write(board(), chip, IMAGE)
    require_written(chip, IMAGE)
    assert judge(chip.frames, board(), IMAGE) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_after_any_power_cut_the_same_command_repairs(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flasher, "ANSWER_SECONDS", 1.5)
    cut = random.Random(seed).randrange(1, CUTS["while it is compared"])
    with powered(board(), cut_at_byte=cut) as chip:
        with pytest.raises(LinkFailed):
            write(board(), chip, IMAGE, wait_seconds=0.3)
        complete = chip.flash[:0x1100] == IMAGE.filled()
        assert complete or chip.flash[:8] != IMAGE.filled()[:8], "it would run"
        chip.power_on()
        monkeypatch.undo()
        write(board(), chip, IMAGE)
    require_written(chip, IMAGE)


def test_after_the_cable_was_pulled_the_same_command_repairs() -> None:
    with powered(board(), cut_at_byte=CUTS["in the first page"]) as chip:
        chip.unplugs = True
        with pytest.raises(
            LinkFailed, match=r"the connection broke when .* was to write"
        ) as caught:
            write(board(), chip, IMAGE)
    assert "check the cable" in str(caught.value.next_step)
    assert chip.flash[:8] == b"\xff" * 8
    with powered(board()) as again:
        again.flash[:] = chip.flash
        write(board(), again, IMAGE)
    require_written(again, IMAGE)


FLIPS = {
    "page": (BYTES_BEFORE_ERASE + 5, "erase the pages 0 to 2"),
    "command": (BYTES_BEFORE_ERASE + ERASE_FRAMES, "write 256 bytes to 0x08000100"),
    "address": (BYTES_BEFORE_ERASE + ERASE_FRAMES + 4, "write 256 bytes to 0x08000100"),
    "data": (BYTES_BEFORE_ERASE + ERASE_FRAMES + 99, "write 256 bytes to 0x08000100"),
    "read": (BYTES_BEFORE_ERASE + ERASE_FRAMES + BLOCKS * BLOCK_FRAMES + 3, "read 256 bytes"),
}


@pytest.mark.parametrize(
    "flip",
    [f if f in ("page", "data") else pytest.param(f, marks=pytest.mark.long) for f in FLIPS],
)
def test_a_byte_that_arrives_wrong_writes_nothing_wrong(flip: str) -> None:
    position, what = FLIPS[flip]
    with powered(board(), flipped=(position,)) as chip:
        with pytest.raises(LinkFailed, match=f"refuses to {what}"):
            write(board(), chip, IMAGE)
        write(board(), chip, IMAGE)  # the loader is synchronised already: it says NACK to 0x7F
    require_written(chip, IMAGE)
    assert judge(chip.frames, board(), IMAGE) == []


def test_flash_that_does_not_keep_a_bit_is_noticed() -> None:
    image = Image.of([Segment(ORIGIN, b"\x01" * 600)])
    with (
        powered(board(), weak=[ORIGIN + 300]) as chip,
        pytest.raises(LinkFailed, match="written to 0x0800012C") as caught,
    ):
        write(board(), chip, image)
    assert (caught.value.value, caught.value.allowed) == ("0x00", "0x01")
    assert chip.started_at is None


# --- the judge notices bad flashers --------------------------------------------------------------

Loader = importlib.import_module("stm32loader.bootloader").Stm32Bootloader


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (lambda loader: loader.erase_memory(), "global erase 0xFFFF"),
        (lambda loader: loader.erase_memory([0, 5]), "erase of page 5"),
        (lambda loader: loader.write_memory(ORIGIN + 0x4000, b"abcd"), "write to 0x08004000"),
        (lambda loader: loader.write_memory(ORIGIN + 0x17FC, bytes(8)), "write to 0x080017FC"),
        (lambda loader: loader.command(0x63, "write protect"), "protection 0x63"),
        (lambda loader: loader.command(0x73, "write unprotect"), "protection 0x73"),
        (lambda loader: loader.command(0x82, "readout protect"), "protection 0x82"),
        (lambda loader: loader.command(0x92, "readout unprotect"), "protection 0x92"),
    ],
)
def test_the_judge_notices(bad: Callable[[Any], None], why: str) -> None:
    with powered(board()) as chip, serial.Serial(chip.path, 115200, timeout=5) as port:
        loader = Loader(port, device_family="F4", verbosity=0)
        loader.write(0x7F)
        assert port.read() == b"\x79"
        loader.get()
        bad(loader)
    assert why in judge(chip.frames, board(), IMAGE)


def test_the_judge_is_told_what_pages_are_allowed() -> None:
    with powered(board()) as chip:
        write(board(), chip, IMAGE)
    assert judge(chip.frames, board(), IMAGE) == []
    assert judge(chip.frames, board(), replace(IMAGE, segments=(Segment(ORIGIN, b"a"),))) != []
