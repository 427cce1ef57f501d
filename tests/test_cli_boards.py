"""Models too big for a board, missing tools, and ports that are absent, busy, silent or wrong."""

from __future__ import annotations

import os
import pty
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
import serial
import yaml

from exporter.board import load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.flash.native import NativeProcess
from exporter.link import frames, pacing, session
from exporter.link.messages import Command, Kind, Message, Status
from exporter.process import PACKAGES
from tests.hil.support import (
    forget_boards,
    nanoexport,
    picture_model,
    refused,
    saved,
    spawned,
    speaking,
)

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")

PATIENCE_SECONDS = 0.6


# --- too big for the board -----------------------------------------------------------------------


def small_board(folder: Path, *, flash_bytes: int = 4194304, ram_bytes: int = 4194304) -> str:
    """mps2-an386 with less memory, as another board."""
    facts = yaml.safe_load((folder / "mps2-an386.yaml").read_text("utf-8"))
    flash, ram = facts["memory"]
    flash.pop("pages", None)
    flash["bytes"], ram["bytes"], facts["name"] = flash_bytes, ram_bytes, "small"
    (folder / "small.yaml").write_text(yaml.safe_dump(facts), encoding="utf-8")
    forget_boards()
    board = load_board("small")
    assert (board.flash_bytes, board.ram_bytes) == (flash_bytes, ram_bytes)
    return "small"


@pytest.fixture
def large_model(tmp_path: Path) -> Path:
    """8 x 24 x 24 bytes after its first layer; 13,824 bytes of weights in its last."""
    return saved(tmp_path, picture_model(channels=8, size=24), "large.tflite")


@pytest.mark.parametrize("command", ["inspect", "verify", "bench", "deploy"])
def test_a_model_larger_than_the_ram(command: str, board_files: Path, large_model: Path) -> None:
    stack = load_board("mps2-an386").stack_bytes
    name = small_board(board_files, ram_bytes=stack + 2048)
    arena = nanoexport("inspect", large_model, "--board", "mps2-an386", "--json").document
    run = nanoexport(command, large_model, "--board", name, "--json")
    over = arena["arena_bytes"] - 2048
    assert over > 0
    refused(run, 1, f"{over} bytes too much RAM", "layer 0 CONV_2D 'features'", "2048 bytes")


@pytest.mark.parametrize("command", ["inspect", "verify", "bench", "deploy"])
def test_a_model_larger_than_the_flash(command: str, board_files: Path, large_model: Path) -> None:
    name = small_board(board_files, flash_bytes=8192)
    plan = nanoexport("inspect", large_model, "--board", "mps2-an386", "--json").document
    run = nanoexport(command, large_model, "--board", name, "--json")
    over = plan["weights_bytes"] - 8192
    assert over > 0
    refused(run, 1, f"{over} bytes too much flash", "layer 2 FULLY_CONNECTED 'scores'")


@pytest.mark.toolchain
@pytest.mark.parametrize("memory", ["flash", "ram"])
def test_a_firmware_larger_than_the_board(
    memory: str,
    board_files: Path,
    small_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The model alone would fit; with platform and link it does not. Nothing stays in the cache."""
    monkeypatch.setenv("NANOEXPORT_CACHE", str(tmp_path / "cache"))
    sizes = {"flash_bytes": 2048} if memory == "flash" else {"ram_bytes": 17408}
    name = small_board(board_files, **sizes)
    run = nanoexport("verify", small_model, "--board", name, "--json")
    refused(run, 1, "bytes too much", memory)
    assert not [path for path in (tmp_path / "cache").glob("firmware/*") if path.is_dir()]


# --- missing tools -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("board", "tool"),
    [
        ("host", "gcc"),
        ("mps2-an386", "arm-none-eabi-gcc"),
        ("riscv32-virt", "riscv64-unknown-elf-gcc"),
    ],
)
def test_a_missing_compiler(board: str, tool: str, small_model: Path, tmp_path: Path) -> None:
    run = spawned(
        "verify", small_model, "--board", board, "--json",
        environment={"PATH": str(tmp_path), "NANOEXPORT_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    refused(run, 3, f"{tool} is not installed", PACKAGES[tool], "make setup")


@pytest.mark.emulator
def test_a_missing_emulator(
    small_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The firmware is built; then everything of PATH is gone but the compiler."""
    assert nanoexport("bench", small_model, "--board", "mps2-an386", "--json").code == 0
    compiler = shutil.which("arm-none-eabi-gcc")
    assert compiler is not None
    (tmp_path / "arm-none-eabi-gcc").symlink_to(compiler)
    monkeypatch.setenv("PATH", str(tmp_path))
    run = nanoexport("verify", small_model, "--board", "mps2-an386", "--json")
    refused(run, 3, "qemu-system-arm is not installed", "Debian package qemu-system-arm")


def test_a_cache_that_cannot_be_written(
    small_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NANOEXPORT_CACHE", str(tmp_path / "file" / "cache"))
    run = nanoexport("verify", small_model, "--board", "host", "--json")
    refused(run, 2, "cache", "NANOEXPORT_CACHE")


# --- ports ---------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake gives up after `PATIENCE_SECONDS`, not after half a minute."""
    timing = partial(pacing.Timing, handshake_seconds=PATIENCE_SECONDS)
    monkeypatch.setattr(session, "Timing", timing)


@pytest.fixture
def firmware(own_cache: Path, small_model: Path) -> ModelFirmware:
    """The small model for `host`."""
    return firmware_for(small_model, load_board("host"), Settings())


@pytest.mark.parametrize("command", ["verify", "bench"])
@pytest.mark.parametrize("port", ["/dev/ttyNOPE", "socket://127.0.0.1:1"])
def test_an_absent_port(command: str, port: str, small_model: Path) -> None:
    run = nanoexport(command, small_model, "--board", "host", "--port", port, "--json")
    refused(run, 3, port)


@pytest.mark.parametrize(
    "port", ["ftp://somewhere", "socket://", "socket://host", "", "rfc2217://"]
)
def test_a_port_that_is_none(port: str, small_model: Path) -> None:
    run = nanoexport("verify", small_model, "--board", "host", "--port", port, "--json")
    refused(run, 2, "no port", "socket://host:port")


@pytest.mark.skipif(sys.platform != "linux", reason="pseudo terminals")
def test_a_busy_port(small_model: Path, firmware: ModelFirmware) -> None:
    with NativeProcess(firmware.firmware.elf, tcp=False) as process:
        assert process.port is not None
        with serial.Serial(process.port, exclusive=True):
            run = spawned(
                "verify", small_model, "--board", "host", "--port", process.port, "--json"
            )
    refused(run, 3, process.port, "in use", str(os.getpid()))


@pytest.mark.usefixtures("impatient")
def test_a_silent_port(small_model: Path, firmware: ModelFirmware) -> None:
    master, slave = pty.openpty()
    try:
        start = time.monotonic()
        run = nanoexport(
            "verify", small_model, "--board", "host", "--port", os.ttyname(slave), "--json"
        )
        assert time.monotonic() - start < 20
    finally:
        os.close(master)
        os.close(slave)
    refused(run, 4, "nothing answers", "baud")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "answer", [b"login: ", bytes(range(256)), b"\0" * 40], ids=["text", "garbage", "zeros"]
)
def test_a_program_that_speaks_something_else(
    answer: bytes, small_model: Path, firmware: ModelFirmware
) -> None:
    with speaking(answer) as port:
        run = nanoexport("verify", small_model, "--board", "host", "--port", port, "--json")
    refused(run, 4, "does not speak the protocol", port.removeprefix("socket://"))


@pytest.mark.usefixtures("impatient")
def test_another_version_of_the_protocol(small_model: Path, firmware: ModelFirmware) -> None:
    reply = Message(Kind.REPLY, Command.HELLO, Status.BAD_VERSION, 0, 99, b"", version=1)
    with speaking(frames.encode(reply.encode())) as port:
        run = nanoexport("verify", small_model, "--board", "host", "--port", port, "--json")
    refused(run, 4, "another version of the link protocol", "version 1", "version 2")


def test_a_port_that_closes_at_once(small_model: Path, firmware: ModelFirmware) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def hang_up() -> None:
        listener.accept()[0].close()

    with closing(listener):
        threading.Thread(target=hang_up, daemon=True).start()
        port = f"socket://127.0.0.1:{listener.getsockname()[1]}"
        run = nanoexport("verify", small_model, "--board", "host", "--port", port, "--json")
    refused(run, 4, "broke")


# --- a board that carries something else ---------------------------------------------------------


@contextmanager
def running(firmware: ModelFirmware) -> Iterator[str]:
    """The port of a native process with this firmware."""
    with NativeProcess(firmware.firmware.elf, tcp=True) as process:
        assert process.port is not None
        yield process.port


@pytest.mark.parametrize("command", [["verify", "--no-controls"], ["bench"]])
def test_a_board_with_the_right_firmware(
    command: list[str], small_model: Path, firmware: ModelFirmware
) -> None:
    with running(firmware) as port:
        run = nanoexport(*command, small_model, "--board", "host", "--port", port, "--json")
    assert run.code == 0


@pytest.mark.parametrize("command", ["verify", "bench"])
def test_a_board_with_another_model(
    command: str, other_model: Path, firmware: ModelFirmware
) -> None:
    with running(firmware) as port:
        run = nanoexport(command, other_model, "--board", "host", "--port", port, "--json")
    refused(run, 4, "another model", firmware.program.model_sha256, "flash")


def test_a_board_with_another_build(small_model: Path, firmware: ModelFirmware) -> None:
    with running(firmware) as port:
        run = nanoexport(
            "verify", small_model, "--board", "host", "--optimize", "size", "--port", port, "--json"
        )
    refused(run, 4, "another build", firmware.build_id)


def test_a_board_with_another_dialect(small_model: Path, firmware: ModelFirmware) -> None:
    with running(firmware) as port:
        run = nanoexport(
            "verify", small_model, "--board", "host", "--dialect", "litert", "--port", port,
            "--json",
        )  # fmt: skip
    refused(run, 4, "another dialect", "tflite", "litert")


@pytest.mark.toolchain
def test_the_firmware_of_another_board(small_model: Path, firmware: ModelFirmware) -> None:
    with running(firmware) as port:
        run = nanoexport("verify", small_model, "--board", "mps2-an386", "--port", port, "--json")
    refused(run, 4, "another board", "host", "mps2-an386")
