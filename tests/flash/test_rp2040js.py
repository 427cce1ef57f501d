"""The flasher rp2040js: its command, what is missing, and the end of the emulator with its line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.errors import BadInput, LinkFailed, MissingTool
from exporter.flash import FlashOptions, rp2040js, start
from exporter.flash.rp2040js import Rp2040jsFlasher, bridge_argv, find_modules

BRIDGE = Path(rp2040js.__file__).parent / "rp2040js_bridge"


def test_command() -> None:
    assert bridge_argv(Path("modules"), serial_descriptor=7, control_descriptor=9) == [
        "node",
        str(BRIDGE / "bridge.mjs"),
        "modules",
        "7",
        "9",
    ]


def test_the_version_is_the_one_that_is_installed() -> None:
    package = (BRIDGE / "package.json").read_text(encoding="utf-8")
    assert f'"rp2040js": "{rp2040js.VERSION}"' in package


def test_a_missing_emulator_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rp2040js, "module_folders", lambda: iter([tmp_path]))
    with pytest.raises(MissingTool, match="not installed") as missing:
        find_modules()
    assert "npm install --global --prefix" in str(missing.value)
    (tmp_path / "rp2040js").mkdir()
    (tmp_path / "rp2040js" / "package.json").write_text("{}")
    assert find_modules() == tmp_path


def test_an_image_beside_the_flash_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "firmware.hex"
    image.write_text(":020000040000FA\n:0400000001020304F2\n:00000001FF\n")
    with pytest.raises(BadInput, match="outside of the board's flash"):
        Rp2040jsFlasher().start(load_board("raspberry-pi-pico"), image, FlashOptions())


@pytest.mark.emulator
def test_what_is_no_image_ends_the_emulator_with_its_reason(tmp_path: Path) -> None:
    try:
        find_modules()
    except MissingTool as error:
        pytest.skip(f"{error.what}: {error.next_step}")
    image = tmp_path / "firmware.bin"
    image.write_bytes(bytes(4096))
    began = time.monotonic()
    with pytest.raises(LinkFailed, match="ended at once with exit code 1") as failure:
        start(load_board("raspberry-pi-pico"), image)
    assert "second stage of the image has a wrong CRC" in str(failure.value)
    assert time.monotonic() - began < 30
