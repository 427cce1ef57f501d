"""A board of a user's own behind a GDB server, from its file to `verify`, with QEMU as the chip."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from exporter.board import board_folder, load_board
from tests.flash.empty_machine import empty_machine
from tests.hil.support import nanoexport
from tests.platform.probe import need_tool

pytest_plugins = ["tests.hil.fixtures"]


def board_file(folder: Path) -> Path:
    """mps2-an386 as somebody who has the real one would describe it."""
    board = yaml.safe_load((board_folder() / "mps2-an386.yaml").read_text("utf-8"))
    del board["emulator"]
    board["name"] = "my-mps2"
    board["evidence"] = "built"
    board["flashers"] = [
        {
            "name": "gdb_remote",
            "chip_id": {"address": 0xE000ED00, "mask": 0xFF00FFF0, "value": 0x4100C240},
        }
    ]
    board["link"] = {"kind": "uart_pins", "tx": "J10.1", "rx": "J10.2"}
    board["memory"][0]["pages"] = [{"count": 1024, "bytes": 4096}]
    path = folder / "my-mps2.yaml"
    path.write_text(yaml.safe_dump(board))
    return path


@pytest.mark.emulator
@pytest.mark.toolchain
def test_render_build_flash_verify(own_cache: Path, small_model: Path, tmp_path: Path) -> None:
    need_tool("gdb-multiarch")
    board = board_file(tmp_path)
    project = tmp_path / "project"
    assert nanoexport("render", small_model, "--board", board, "-o", project).code == 0
    assert nanoexport("build", project).code == 0
    with empty_machine(load_board("mps2-an386"), serve=True) as machine:
        port = f"socket://{machine.tcp}"
        before = nanoexport("verify", small_model, "--board", board, "--port", port, "--json")
        assert before.code == 4, "empty, and nanoexport has no way to write to it"
        assert "nanoexport flash" in str(before.error["next"])
        run = nanoexport("flash", project, "--port", machine.gdb, "--link-port", port, "--json")
        assert run.code == 0, run.err
        assert run.document["board"] == "my-mps2" and run.document["flasher"] == "gdb_remote"
        after = nanoexport(
            *("verify", small_model, "--board", board, "--port", port, "--vectors", "2"),
            *("--no-controls", "--json"),
        )
        assert after.code == 0 and after.document["bit_exact"] is True
