"""The ESP boot loader: esptool's exact arguments, and what esptool then does to a chip."""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from exporter import process
from exporter.board import Board
from exporter.build import esp_image
from exporter.build.image import Image, Segment
from exporter.errors import BadInput, LinkFailed, MissingTool
from exporter.flash import FlashOptions
from exporter.flash.esp_rom import EspRomFlasher, Plan, esptool_argv, plan_of
from tests.flash.esp_rom_model import (
    ERASE_REGION,
    FLASH_BEGIN,
    FLASH_DATA,
    FLASH_DEFL_BEGIN,
    FLASH_DEFL_DATA,
    SPI_FLASH_MD5,
    EspRom,
    judge,
    slip,
)
from tests.flash.images import flash_board, random_image

SETTINGS = {
    "name": "esp_rom",
    "chip": "esp32c3",
    "image": "bin",
    "offset": 0,
    "least_revision": "0.3",
}
ORIGIN = 0x42000000
FLASH = {"origin": ORIGIN, "bytes": 4 << 20, "pages": [{"count": 1024, "bytes": 4096}]}
SMALL = {"origin": ORIGIN, "bytes": 0x10000, "pages": [{"count": 16, "bytes": 4096}]}
IMAGE = random_image(ORIGIN, 0x5100)
END = 0x6000
"""Of its last sector."""


def board(flash: dict[str, Any] = FLASH, **settings: Any) -> Board:
    return flash_board(SETTINGS | settings, flash)


def write(chip: EspRom, image: Image = IMAGE, **options: Any) -> None:
    EspRomFlasher().write(board(), image, FlashOptions(port=chip.fresh_port(), **options))


def require_written(chip: EspRom) -> None:
    """The image, erased bytes to the end of its last sector, and what was before from there on."""
    data = IMAGE.filled()
    assert chip.flash[: len(data)] == data
    assert chip.flash[len(data) : END] == b"\xff" * (END - len(data))
    assert chip.flash[END:] == b"\xa5" * (len(chip.flash) - END)
    assert judge(chip.packets, 0, END) == []


# --- arguments -----------------------------------------------------------------------------------

BEGIN = "esptool --chip esp32c3 --port /dev/ttyUSB0 --baud 460800 --before default-reset"
KEEP = "--flash-mode keep --flash-freq keep --flash-size keep"


def argvs(plan: Plan, folder: Path) -> list[str]:
    settings = board().flashers[0]
    assert settings.name == "esp_rom"
    steps = [step for _, step, _ in plan.steps(folder)]
    lines = [
        " ".join(esptool_argv(settings, "/dev/ttyUSB0", step, last=step is steps[-1]))
        for step in steps
    ]
    return [line.replace(str(folder), "DIR") for line in lines]


def test_the_arguments_of_each_step(tmp_path: Path) -> None:
    assert argvs(Plan(0x1000, bytes(0x2001)), tmp_path) == [
        f"{BEGIN} --after no-reset erase-region 0x1000 0x1000",
        f"{BEGIN} --after no-reset write-flash {KEEP} 0x2000 DIR/rest.bin",
        f"{BEGIN} --after no-reset write-flash {KEEP} 0x1000 DIR/first.bin",
        f"{BEGIN} --after hard-reset verify-flash {KEEP} 0x1000 DIR/firmware.bin",
    ]
    sizes = [(tmp_path / name).stat().st_size for name in ("rest.bin", "first.bin", "firmware.bin")]
    assert sizes == [0x1001, 0x1000, 0x2001]


def test_an_image_of_one_sector_has_no_rest(tmp_path: Path) -> None:
    assert argvs(Plan(0, bytes(0x1000)), tmp_path) == [
        f"{BEGIN} --after no-reset erase-region 0x0 0x1000",
        f"{BEGIN} --after no-reset write-flash {KEEP} 0x0 DIR/first.bin",
        f"{BEGIN} --after hard-reset verify-flash {KEEP} 0x0 DIR/firmware.bin",
    ]


@pytest.mark.parametrize(
    ("flash", "settings", "image", "what"),
    [
        (SMALL, {}, random_image(ORIGIN, 0x10001), "1 bytes behind the end of flash"),
        (SMALL, {"offset": 0x8000}, random_image(ORIGIN, 0x8001), "1 bytes behind the end"),
        (SMALL, {}, random_image(ORIGIN - 1, 2), "1 bytes outside"),
        (SMALL, {"offset": 0x800}, random_image(ORIGIN, 2), "not those that esptool erases"),
        (
            SMALL | {"pages": [{"count": 1, "bytes": 0x10000}]},
            {},
            random_image(ORIGIN, 2),
            "not those that esptool erases",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    flash: dict[str, Any], settings: dict[str, Any], image: Image, what: str
) -> None:
    with pytest.raises(BadInput, match=what):
        EspRomFlasher().write(board(flash, **settings), image, FlashOptions())


def test_without_esptool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with EspRom() as chip, pytest.raises(MissingTool, match="esptool") as caught:
        write(chip)
    assert "Python package esptool" in str(caught.value.next_step)


# --- what esptool does ---------------------------------------------------------------------------


def words(data: bytes, count: int) -> tuple[int, ...]:
    return struct.unpack_from(f"<{count}I", data)


@dataclass
class Flashed:
    """A chip with the image, esptool's command lines, and the progress."""

    chip: EspRom
    ran: list[str]
    seen: list[tuple[str, int, int]]


@pytest.fixture(scope="module")
def flashed() -> Flashed:
    seen: list[tuple[str, int, int]] = []
    with EspRom() as chip, pytest.MonkeyPatch.context() as patch:
        ran: list[str] = []
        spawn = process.spawn

        def recorded(argv: Sequence[str], **options: Any) -> process.Child:
            ran.append(" ".join(argv))
            return spawn(argv, **options)

        patch.setattr(process, "spawn", recorded)
        write(chip, progress=lambda *step: seen.append(step))
    return Flashed(chip, ran, seen)


def test_esptool_flashes_the_chip(flashed: Flashed) -> None:
    require_written(flashed.chip)
    begin = BEGIN.replace("/dev/ttyUSB0", flashed.chip.path)
    assert [re.sub(r" \S+/(?=\w+\.bin)", " DIR/", line) for line in flashed.ran] == [
        f"{begin} --after hard-reset get-security-info",
        f"{begin} --after no-reset erase-region 0x0 0x1000",
        f"{begin} --after no-reset write-flash {KEEP} 0x1000 DIR/rest.bin",
        f"{begin} --after no-reset write-flash {KEEP} 0x0 DIR/first.bin",
        f"{begin} --after hard-reset verify-flash {KEEP} 0x0 DIR/firmware.bin",
    ]
    for stage in ("erase", "write", "verify"):
        steps = [(done, total) for name, done, total in flashed.seen if name == stage]
        assert steps[0][0] == 0 and steps[-1][0] == steps[-1][1]


def test_the_packets_are_those_of_the_document(flashed: Flashed) -> None:
    """https://docs.espressif.com/projects/esptool/en/latest/esp32c3/advanced-topics/serial-protocol.html"""
    chip = flashed.chip
    # Initial synchronisation: 36 bytes, 0x07 0x07 0x12 0x20 and 32 times 0x55.
    sync = slip(bytes.fromhex("00 08 2400 00000000 07071220") + b"\x55" * 32)
    assert bytes(chip.received).startswith(sync)
    flash_commands = (ERASE_REGION, FLASH_BEGIN, FLASH_DEFL_BEGIN, SPI_FLASH_MD5)
    seen = [
        (packet.command, words(packet.data, min(len(packet.data) // 4, 5)))
        for packet in chip.packets
        if packet.command in flash_commands and any(packet.data)
    ]
    begins = [(c, w) for c, w in seen if c in (FLASH_BEGIN, FLASH_DEFL_BEGIN) and w[0]]
    # Random bytes cannot be compressed: FLASH_BEGIN, with the size to erase, packets, bytes of a
    # packet, offset, 0 (not encrypted).
    assert begins == [
        (FLASH_BEGIN, (0x4100, 2, 0x4000, 0x1000, 0)),
        (FLASH_BEGIN, (0x1000, 1, 0x4000, 0, 0)),
    ]
    assert (ERASE_REGION, (0, 0x1000)) in seen
    md5s = [w[:2] for c, w in seen if c == SPI_FLASH_MD5]
    # After each write, and of all of it at last, in whole words.
    assert md5s == [(0x1000, 0x4100), (0, 0x1000), (0, 0x5100)]
    blocks = [packet for packet in chip.packets if packet.command == FLASH_DATA]
    assert [words(block.data, 4) for block in blocks] == [
        (0x4000, 0, 0, 0),
        (0x4000, 1, 0, 0),
        (0x4000, 0, 0, 0),
    ]
    assert blocks[2].data[16 : 16 + 0x1000] == IMAGE.filled()[:0x1000]


def test_what_can_be_compressed_is() -> None:
    image = Image.of([Segment(ORIGIN, b"weights " * 0x200)])
    with EspRom() as chip:
        write(chip, image)
    commands = {packet.command for packet in chip.packets}
    assert {FLASH_DEFL_BEGIN, FLASH_DEFL_DATA} <= commands and FLASH_DATA not in commands
    assert chip.flash[:0x1000] == image.filled() and judge(chip.packets, 0, 0x1000) == []


@pytest.mark.parametrize(
    ("chip", "error", "what"),
    [
        ({"chip_id": 9}, BadInput, "This chip is ESP32-S3"),
        ({"chip_id": 77}, BadInput, "chip id 77"),  # esptool does not know it, and goes on
        ({"security_flags": 1}, LinkFailed, "Secure Boot on"),
        ({"crypt_count": 1}, LinkFailed, "Flash Encryption on"),
        ({"revision": (0, 2)}, BadInput, r"revision v0\.2"),  # starts no image of direct boot
    ],
)
def test_a_chip_that_is_left_alone(chip: dict[str, Any], error: type[Exception], what: str) -> None:
    with EspRom(**chip) as model, pytest.raises(error, match=what):
        write(model)
    assert model.flash == b"\xa5" * (4 << 20)
    assert judge(model.packets, 0, 0) == []


def test_flash_that_does_not_keep_a_bit_is_noticed() -> None:
    place = next(i for i, byte in enumerate(IMAGE.filled()) if i > 0x1000 and byte & 1)
    with (
        EspRom(weak=(place,)) as chip,
        pytest.raises(LinkFailed, match=r"esptool failed at write-flash \(exit code") as caught,
    ):
        write(chip)
    assert "MD5 of file does not match" in str(caught.value.value)


def test_after_a_power_cut_the_same_command_repairs(
    flashed: Flashed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = tmp_path / "esptool.cfg"  # as it is, esptool waits 20 s for the chip to come back
    hasty.write_text("[esptool]\ntimeout = 1\nwrite_block_attempts = 1\n")
    monkeypatch.setenv("ESPTOOL_CFGFILE", str(hasty))
    block = slip(IMAGE.filled()[0x1100:0x1200])[1:-1]
    start = bytes(flashed.chip.received).find(block)
    assert start > 0
    with EspRom(cut_at_byte=start + 0x1000) as chip:
        with pytest.raises(LinkFailed, match="esptool failed at write-flash"):
            write(chip)
        assert chip.flash[:0x1000] == b"\xff" * 0x1000, "it would start"
        chip.power_on()
        monkeypatch.undo()
        write(chip)
    require_written(chip)


# --- the judge notices bad flashers --------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "why"),
    [
        pytest.param(["erase-flash"], "command 0xD0", marks=pytest.mark.long),
        (["erase-region", "0x6000", "0x1000"], "erases 0x6000 to 0x7000"),
        pytest.param(
            ["write-flash", "0x5000", "FILE"], "erases 0x5000 to 0x7000", marks=pytest.mark.long
        ),
        (["write-mem", "0x60008800", "1"], "writes the eFuse register 0x60008800"),
        pytest.param(["write-flash-status", "0"], "flash command 0x01", marks=pytest.mark.long),
    ],
)
def test_the_judge_notices(tmp_path: Path, step: Sequence[str], why: str) -> None:
    (tmp_path / "file.bin").write_bytes(random_image(0, 0x2000).filled())
    step = [str(tmp_path / "file.bin") if word == "FILE" else word for word in step]
    with EspRom() as chip:
        argv = ["esptool", "--chip", "esp32c3", "--port", chip.path, "--baud", "460800", *step]
        process.run(argv, timeout_seconds=60)
    assert why in judge(chip.packets, 0, 0x6000)


# --- images of the chip's own format -------------------------------------------------------------


def test_esptool_accepts_the_images_that_we_write(tmp_path: Path) -> None:
    image = Image.of(
        [Segment(0x40380000, b"code" * 30), Segment(0x3FC80000, b"data!!")], entry=0x40380010
    )
    esp = board(image="esp")
    settings = esp.flashers[0]
    assert settings.name == "esp_rom"
    data = plan_of(esp, settings, image).data
    padded = [Segment(0x3FC80000, b"data!!\0\0"), Segment(0x40380000, b"code" * 30)]
    assert esp_image.read(data) == Image(tuple(padded), 0x40380010)
    path = tmp_path / "firmware.bin"
    path.write_bytes(data)
    told = process.run(["esptool", "image-info", str(path)], timeout_seconds=60).stdout
    for line in (
        r"Flash size: +4MB", r"Flash freq: +40m", r"Flash mode: +DIO", r"Entry point: +0x40380010",
        r"Chip ID: +5 \(ESP32-C3\)", r"Checksum: +0x\w+ \(valid\)", r"hash: +\w+ \(valid\)",
    ):  # fmt: skip
        assert re.search(line, told), f"{line} in {told}"
    with pytest.raises(BadInput, match="where it starts"):
        plan_of(esp, settings, Image(image.segments))
