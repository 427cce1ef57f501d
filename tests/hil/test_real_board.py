"""Real boards: which is meant, when it is written to, and what must be true afterwards.

The board is an emulated one behind a terminal that stays, as the port of a probe does; the flasher
stands in for a probe: it puts the image there, or fails to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import serial

from exporter import flash
from exporter.board import Board, all_boards, load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.build.image import Image
from exporter.build.image_files import read_image
from exporter.build.size import open_elf
from exporter.errors import BadInput, LinkFailed, MissingTool, NanoexportError
from exporter.flash import FlashOptions, Writer
from exporter.hil import flashing, real_board
from exporter.hil.discovery import UsbPort
from exporter.hil.locks import Lock, try_lock
from exporter.hil.pool import Place
from exporter.hil.real_board import Target, aim, carrying
from exporter.hil.session import is_real, open_device
from exporter.link.device import WrongIdentity
from exporter.link.pacing import Timing
from tests.flash.images import random_image
from tests.hil.silent_line import Line
from tests.hil.support import nanoexport, refused
from tests.powered_board import PoweredBoard

pytest_plugins = ["tests.hil.fixtures"]

PROBE: dict[str, Any] = {"vid": 0x0483, "pid": 0x374B}
ONE = UsbPort("/dev/ttyACM0", **PROBE, serial_number="0011")
TWO = UsbPort("/dev/ttyACM1", **PROBE, serial_number="0022")
ADAPTER = UsbPort("/dev/ttyUSB0", 0x0403, 0x6001, serial_number="FT")


def board(kind: str = "vcp", flashers: tuple[dict[str, Any], ...] = ({"name": "pyocd"},)) -> Board:
    """mps2-an386 as if it were a board with a probe."""
    link: dict[str, Any] = {"kind": kind, "usb": [PROBE]}
    if kind == "uart_pins":
        link = {"kind": kind, "tx": "PA2", "rx": "PA3"}
    settings = [{"target": "none"} | one if one["name"] == "pyocd" else one for one in flashers]
    changes = {"flashers": settings, "emulator": None, "link": link, "evidence": "built"}
    return Board.model_validate(load_board("mps2-an386").model_dump() | changes)


class ByProbe(Writer):
    """A flasher that finds its probe."""

    name = "pyocd"

    def write(self, board: Board, image: Image, options: FlashOptions) -> None:
        """Not called."""


class ByPort(ByProbe):
    name = "stm32_rom"
    port_kind = "serial"


class ByLink(ByPort):
    def is_on_link(self, board: Board) -> bool:
        """As the loader of an ESP chip."""
        return True


class ByServer(ByProbe):
    name = "gdb_remote"
    port_kind = "server"


# --- which board is meant -------------------------------------------------------------------------


@pytest.fixture(name="ports")
def fixture_ports(monkeypatch: pytest.MonkeyPatch) -> list[UsbPort]:
    """The ports on USB."""
    listed: list[UsbPort] = []
    monkeypatch.setattr("exporter.hil.discovery.usb_ports", lambda: listed)
    monkeypatch.setattr(real_board, "usb_ports", lambda: listed)
    return listed


@pytest.mark.parametrize(
    ("writer", "kind", "connected", "given", "expected"),
    [
        # The port of a probe and the probe are one USB device.
        (ByProbe, "vcp", [ONE], {}, ("/dev/ttyACM0", "0011", "/dev/ttyACM0")),
        (ByProbe, "vcp", [ONE, TWO], {"port": TWO.device}, (TWO.device, "0022", TWO.device)),
        (ByProbe, "vcp", [ONE, TWO], {"probe": "22"}, (TWO.device, "22", TWO.device)),
        (ByProbe, "vcp", [], {}, (None, None, None)),
        # An adapter is no probe.
        (ByProbe, "vcp", [ADAPTER], {"port": ADAPTER.device}, (ADAPTER.device, None)),
        # A boot loader that finds its own port, and is told of another one.
        (
            *(ByProbe, "uart_pins", [ADAPTER]),
            *({"port": "/dev/ttyACM9"}, ("/dev/ttyACM9", None, "/dev/ttyACM9")),
        ),
        # The chip's own port comes anew with the firmware.
        (ByProbe, "usb_cdc", [ONE], {}, ("/dev/ttyACM0", None, None)),
        # A boot loader on the port of the link, and on another one.
        (ByPort, "vcp", [ONE], {}, ("/dev/ttyACM0", "0011", "/dev/ttyACM0")),
        (
            ByPort,
            "vcp",
            [ONE, ADAPTER],
            {"port": ADAPTER.device},
            (ADAPTER.device, "0011", ONE.device),
        ),
        # A boot loader that is on the link: what has the ids is another device.
        (
            *(ByLink, "vcp", [ONE], {"port": ADAPTER.device}),
            (ADAPTER.device, None, ADAPTER.device),
        ),
        (ByPort, "uart_pins", [], {"port": ADAPTER.device}, (ADAPTER.device, None, ADAPTER.device)),
        (ByServer, "vcp", [ONE], {"port": "a:3333"}, ("a:3333", "0011", "/dev/ttyACM0")),
    ],
)
def test_the_board_that_is_meant(
    writer: type[Writer],
    kind: str,
    connected: list[UsbPort],
    given: dict[str, Any],
    expected: tuple[str | None, ...],
    ports: list[UsbPort],
) -> None:
    ports += connected
    target = aim(board(kind), writer(), FlashOptions(**given))
    found = (target.options.port, target.options.probe, target.link_port)
    assert found[: len(expected)] == expected


def test_a_port_may_be_named_by_a_link_to_it(ports: list[UsbPort], tmp_path: Path) -> None:
    ports += [replace(one, device=str(tmp_path / Path(one.device).name)) for one in (ONE, TWO)]
    (tmp_path / "by-id").symlink_to(ports[1].device)
    options = FlashOptions(port=str(tmp_path / "by-id"))
    for writer in (ByProbe(), ByPort()):
        assert aim(board(), writer, options).options.probe == "0022"


WRITERS = [
    (there, writer)
    for there in all_boards()
    for settings in there.flashers
    if isinstance(writer := flash.FLASHERS[settings.name], Writer)
]


@pytest.mark.parametrize(("there", "writer"), WRITERS, ids=lambda value: str(value.name))
def test_a_port_of_unknown_ids_gets_no_byte(
    there: Board, writer: Writer, ports: list[UsbPort], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever flashes the board: without a port that was named, none is opened."""
    opened: list[str] = []
    monkeypatch.setattr(serial.Serial, "open", lambda port: opened.append(str(port.port)))
    with Line() as line:
        stranger = UsbPort(line.path, 0x2341, 0x0042)
        ports.append(stranger)
        with suppress(BadInput):
            target = aim(there, writer, FlashOptions())
            assert stranger.device not in (target.link_port, target.options.port)
            assert not target.options.to_loader()
        monkeypatch.setitem(flash.FLASHERS, there.default_flasher.name, writer)
        monkeypatch.setattr(type(writer), "write", lambda *_: pytest.fail("written"))
        with pytest.raises(NanoexportError):
            carrying(there, Path("none.elf"), None).__enter__()
        assert not opened and line.received() == b""


@pytest.mark.parametrize("link_port", [None, "/dev/ttyACM0", "/dev/ttyUSB0"])
def test_nobody_else_has_the_port_that_is_written_through(link_port: str | None) -> None:
    tried: list[Lock | None] = []

    class Locked(ByPort):
        def write(self, board: Board, image: Image, options: FlashOptions) -> None:
            tried.append(try_lock("/dev/ttyUSB0"))

    options = FlashOptions(port="/dev/ttyUSB0")
    target = Target(board("usb_cdc"), Locked(), options, link_port)
    with real_board.locked(link_port):
        target.write(random_image(0, 4))
    assert tried == [None]


def test_an_interruption_is_told_with_the_next_step() -> None:
    class Interrupted(ByProbe):
        def write(self, board: Board, image: Image, options: FlashOptions) -> None:
            raise KeyboardInterrupt

    said: list[str] = []
    target = Target(board(), Interrupted(), FlashOptions(say=said.append))
    with pytest.raises(KeyboardInterrupt):
        target.write(random_image(0, 4))
    (text,) = said
    assert "incomplete image" in text and "same command again" in text


@pytest.mark.parametrize(
    ("writer", "there", "expected"),
    [
        ("esp_rom", "esp32-c3-devkitm-1", True),
        ("stm32_rom", "microbit-v1+loader", True),
        ("stm32_rom", "nucleo-f446re", False),
        ("nrf_dfu", "nrf52840-dk", False),
    ],
)
def test_which_loaders_are_on_the_link(writer: str, there: str, expected: bool) -> None:
    found = flash.FLASHERS[writer]
    assert isinstance(found, Writer) and found.is_on_link(load_board(there)) is expected


@pytest.mark.parametrize(
    ("writer", "kind", "connected", "told"),
    [
        (ByProbe, "vcp", [ONE, TWO], "several connected boards"),
        (ByProbe, "uart_pins", [ADAPTER], "which adapter"),
        (ByPort, "uart_pins", [ADAPTER], "needs to know the port"),
        (ByServer, "vcp", [ONE], "needs to know the port"),
    ],
)
def test_a_board_that_is_not_clear(
    writer: type[Writer], kind: str, connected: list[UsbPort], told: str, ports: list[UsbPort]
) -> None:
    ports += connected
    with pytest.raises(BadInput, match=told):
        aim(board(kind), writer(), FlashOptions())


def test_nothing_to_flash(tmp_path: Path) -> None:
    run = nanoexport("flash", tmp_path / "firmware.hex", "--board", "nucleo-f446re", "--json")
    refused(run, 2, "there is nothing to flash", "firmware.hex", "nanoexport render")


def test_without_a_link_none_is_asked_for(ports: list[UsbPort]) -> None:
    assert aim(board("uart_pins"), ByProbe(), FlashOptions(), linked=False).link_port is None


@pytest.mark.parametrize(
    ("there", "port", "expected"),
    [
        (load_board("mps2-an386"), None, False),
        (load_board("mps2-an386"), "socket://127.0.0.1:5555", False),  # on computers only
        (load_board("microbit-v1"), None, False),
        (load_board("microbit-v1"), "emulator", False),
        (load_board("microbit-v1"), "/dev/ttyACM0", True),
        (load_board("microbit-v2"), None, True),
        (load_board("host"), "/dev/pts/1", False),
    ],
    ids=lambda value: value.name if isinstance(value, Board) else None,
)
def test_what_is_a_chip(there: Board, port: str | None, expected: bool) -> None:
    assert is_real(there, port) is expected


def test_a_real_board_without_a_port_is_one_place() -> None:
    assert Place.named("microbit-v2").key is not None
    assert Place.named("microbit-v1").key is None, "any number of emulators"


def test_a_link_is_not_spoken_to_as_a_server(
    ports: list[UsbPort], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of a board behind a GDB server a port is only ever asked who it is."""
    there = board(flashers=({"name": "gdb_remote"},))
    monkeypatch.setattr(real_board, "QUICK", Timing(handshake_seconds=0.2))
    elf = tmp_path / "firmware.elf"
    with Line() as line, pytest.raises(LinkFailed, match="does not carry") as refusal:
        carrying(there, elf, line.path).__enter__()
    assert "--flasher gdb_remote --port HOST:PORT --link-port" in str(refusal.value.next_step)


@pytest.mark.parametrize("name", ["nucleo-f401re", "nrf52840-dk", "esp32-c3-devkitm-1"])
def test_a_board_that_is_not_connected(ports: list[UsbPort], tmp_path: Path, name: str) -> None:
    """It is said before a tool is looked for that might complain of something else."""
    ports.append(ADAPTER)
    there = load_board(name)
    with pytest.raises(MissingTool, match=f"no {there.name} is connected") as refusal:
        carrying(there, tmp_path / "firmware.elf", None).__enter__()
    assert "boards --connected" in str(refusal.value.next_step)


# --- what is written, and when --------------------------------------------------------------------


@dataclass
class Probe(Writer):
    """Puts images onto `powered`; `elfs` are the files that it knows them by."""

    powered: PoweredBoard
    elfs: list[Path]
    broken: Path | None = None
    """What it leaves in place of the image."""
    written: list[FlashOptions] = field(default_factory=list)
    name = "pyocd"

    def write(self, board: Board, image: Image, options: FlashOptions) -> None:
        """See Writer."""
        self.written.append(options)
        known = {read_image(elf, board): elf for elf in self.elfs}
        self.powered.replace(self.broken or known[image])


@dataclass(frozen=True)
class Bench:
    """A board with a probe, and two firmwares for it."""

    probe: Probe
    firmware: ModelFirmware
    other: ModelFirmware

    @property
    def port(self) -> str:
        return self.probe.powered.path


@pytest.fixture(name="bench")
def fixture_bench(
    own_cache: Path,
    small_model: Path,
    other_model: Path,
    ports: list[UsbPort],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bench]:
    """It carries the other firmware."""
    there = board()
    firmware, other = (
        firmware_for(model, there, Settings()) for model in (small_model, other_model)
    )
    with ExitStack() as stack:
        powered = stack.enter_context(PoweredBoard(load_board("mps2-an386"), other.firmware.elf))
        probe = Probe(powered, [firmware.firmware.elf, other.firmware.elf])
        monkeypatch.setitem(flash.FLASHERS, "pyocd", probe)
        ports.append(UsbPort(powered.path, **PROBE, serial_number="0011"))
        yield Bench(probe, firmware, other)


@pytest.mark.emulator
@pytest.mark.toolchain
def test_a_board_is_written_once(bench: Bench, tmp_path: Path) -> None:
    """It carries another build, then this one, then this one with a bit of its flash turned."""
    for _ in range(2):
        with open_device(bench.firmware) as device:
            assert device.identity.build_id == bench.firmware.build_id
            assert device.guarded, "it is a real one"
        assert [(o.port, o.probe) for o in bench.probe.written] == [(bench.port, "0011")]
    with open_device(bench.firmware, port=bench.port):
        assert len(bench.probe.written) == 1
    bench.probe.powered.replace(worn(bench.firmware.firmware.elf, tmp_path))
    with open_device(bench.firmware):
        assert len(bench.probe.written) == 2
    bench.probe.powered.replace(bench.other.firmware.elf)
    bench.probe.broken = worn(bench.firmware.firmware.elf, tmp_path)
    with pytest.raises(LinkFailed, match="does not hold the image"):
        open_device(bench.firmware).__enter__()


@pytest.mark.emulator
@pytest.mark.toolchain
def test_the_chips_own_port_is_asked_before_it_is_written_through(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.probe, "port_kind", "serial")
    there, elf = board("usb_cdc"), bench.firmware.firmware.elf
    with pytest.raises(WrongIdentity, match="another unit"):
        carrying(there, elf, None, "07c5").__enter__()
    bench.probe.powered.replace(elf)
    with carrying(there, elf, None):
        assert not bench.probe.written


@pytest.mark.emulator
@pytest.mark.toolchain
def test_another_unit_is_left_as_it_is(bench: Bench) -> None:
    for chip_id in ("07c5", "0042001e"):
        with pytest.raises(WrongIdentity, match="another unit"):
            open_device(bench.firmware, chip_id=chip_id).__enter__()
    bench.probe.powered.switch(on=False)
    with pytest.raises(LinkFailed, match="which unit"):
        open_device(bench.firmware, chip_id="07c5").__enter__()
    assert not bench.probe.written


@pytest.mark.emulator
@pytest.mark.toolchain
def test_a_flasher_that_leaves_another_image_is_noticed(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it claims: the stale image by its build, one turned bit by the CRC-32."""
    monkeypatch.setattr(flashing, "load_board", lambda name: board())
    project = bench.firmware.firmware.project
    bench.probe.broken = bench.other.firmware.elf
    stale = flashed(project)
    assert stale.code == 4 and "another model" in str(stale.error["what"])
    bench.probe.broken = worn(bench.firmware.firmware.elf, tmp_path)
    turned = flashed(project)
    assert turned.code == 4 and "does not hold the image" in str(turned.error["what"])
    bench.probe.broken = None
    right = flashed(project)
    assert right.code == 0 and right.document["build_id"] == bench.firmware.build_id
    assert right.document["port"] == bench.port and right.document["flasher"] == "pyocd"


def flashed(project: Path) -> Any:
    return nanoexport("flash", project, "--json")


def worn(elf: Path, folder: Path) -> Path:
    """The same image, but for one bit of its weights, which end before the note of the build id."""
    copy = folder / "worn.elf"
    data = bytearray(elf.read_bytes())
    with open_elf(elf) as file:
        note = file.get_section_by_name(".note.gnu.build-id")
        assert note is not None
        data[note["sh_offset"] - 1] ^= 0x10
    copy.write_bytes(data)
    return copy
