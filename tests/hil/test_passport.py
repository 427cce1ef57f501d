"""Who a running unit is: every field of its passport, and every way to be another one."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.build.compile import Firmware, build
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.build.identity import NO_BUILD_ID, elf_build_id
from exporter.errors import CheckFailed, LinkFailed
from exporter.flash.native import NativeProcess
from exporter.hil.passport import check_passport, expected_of_project, read_passport
from exporter.hil.session import expected_identity, open_device
from exporter.link import Device, ExpectedIdentity, frames, pacing, session
from exporter.link.messages import Command, Kind, Message, Status
from tests.hil.support import Run, doctored, nanoexport, refused, speaking
from tests.link.build import STUB, compile_c
from tests.link.devices import StubTransport

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = pytest.mark.usefixtures("own_cache")

INVOKE = "void model_invoke(void)\n{\n"
HARMLESS = f'{INVOKE}    __asm__ volatile("nop");\n'


@pytest.fixture
def firmware(own_cache: Path, small_model: Path) -> ModelFirmware:
    """The small model for `host`."""
    return firmware_for(small_model, load_board("host"), Settings())


@pytest.fixture(scope="session")
def stub_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The device of tests/link, linked without a build id."""
    output = tmp_path_factory.mktemp("stub") / "stub.so"
    return compile_c(output, STUB, "-shared", "-fPIC", "-Wl,--build-id=none")


@pytest.fixture
def stub(stub_library: Path) -> StubTransport:
    """That device, freshly booted."""
    return StubTransport(ctypes.CDLL(str(stub_library)))


@contextmanager
def running(firmware: ModelFirmware) -> Iterator[str]:
    """The port of a native process with this firmware."""
    with NativeProcess(firmware.firmware.elf, tcp=True) as process:
        assert process.port is not None
        yield process.port


def test_the_passport_of_a_unit(firmware: ModelFirmware) -> None:
    """Every hash is what its own source says: the manifest, and the bytes of the ELF file."""
    with running(firmware) as port:
        run = nanoexport("identify", "--port", port, "--json")
    assert run.code == 0, run.err
    document, manifest = run.document, firmware.firmware.manifest
    for key in ("board", "model", "model_sha256", "build_id", "dialect", "templates_sha256"):
        assert document[key] == manifest[key]
    assert document["toolchain"] == manifest["compiler"] and document["chip_id"] is None
    image = firmware.firmware.elf.read_bytes()
    (note,) = {part[:20].hex() for part in image.split(b"\3\0\0\0GNU\0")[1:]}
    assert document["elf_build_id"] == note == elf_build_id(firmware.firmware.elf) != NO_BUILD_ID
    assert document["arena_bytes"] == manifest["arena_bytes"] and document["guards_intact"] is True
    assert int(document["boot_nonce"], 16) and document["differs"] == []
    assert all(f"{key} " in run.err for key in ("chip_id", "elf_build_id", "toolchain"))


def test_the_unit_that_was_meant(firmware: ModelFirmware, small_model: Path) -> None:
    options = ("--firmware", firmware.firmware.project, "--model", small_model, "--board", "host")
    with running(firmware) as port:
        run = nanoexport("identify", "--port", port, *options, "--json")
    assert run.code == 0 and run.err.count("as expected") == 7, run.err


def test_a_unit_with_something_else(
    firmware: ModelFirmware, small_model: Path, other_model: Path
) -> None:
    """All that differs is said, with both values."""
    other = firmware_for(other_model, load_board("host"), Settings(optimize="size"))

    def asked(option: str, value: object) -> Run:
        with running(firmware) as port:  # which ends with its first client
            return nanoexport("identify", "--port", port, option, value, "--json")

    run = asked("--firmware", other.firmware.project)
    error = refused(run, 1, "another one", firmware.build_id[:16], other.build_id[:16])
    assert run.document["differs"] == ["model_sha256", "build_id", "elf_build_id"]
    assert str(error["value"]).count(",") == str(error["allowed"]).count(",") == 2
    assert run.err.count("DIFFERENT") == 3
    refused(asked("--model", other_model), 1, "model_sha256", other.program.model_sha256[:16])
    refused(asked("--board", "mps2-an386"), 1, "board host", "board mps2-an386")


def test_an_image_that_was_built_from_edited_files(firmware: ModelFirmware, tmp_path: Path) -> None:
    """Its build id is that of what was rendered; the linker's hash tells it apart."""
    edited = doctored(firmware, tmp_path, patch={"model/model.c": (INVOKE, HARMLESS)})
    assert edited.build_id == firmware.build_id
    with (
        running(edited) as port,
        pytest.raises(LinkFailed, match="not the one that was built") as caught,
        open_device(firmware, port=port),
    ):
        pass
    for elf in (edited.firmware.elf, firmware.firmware.elf):
        assert elf_build_id(elf) in str(caught.value)


@pytest.mark.parametrize(
    "board", ["host", pytest.param("riscv32-virt", marks=pytest.mark.toolchain)]
)
def test_the_same_build_in_another_folder_is_the_same_image(
    board: str, small_model: Path, tmp_path: Path
) -> None:
    """Else a unit flashed from one folder would be a stranger to the next."""
    firmware = firmware_for(small_model, load_board(board), Settings()).firmware
    folder = tmp_path / "some" / "where" / "else"
    shutil.copytree(firmware.project, folder, ignore=shutil.ignore_patterns("build"))
    assert elf_build_id(build(folder).elf) == elf_build_id(firmware.elf)


def test_an_image_without_a_build_id(stub_library: Path) -> None:
    assert elf_build_id(stub_library) == NO_BUILD_ID


def test_one_chip_of_several(stub: StubTransport) -> None:
    """The stub's chip has a number, 07c5."""
    identity = Device(stub).identity
    check_passport(identity, ExpectedIdentity(chip_id="07c5"))
    with pytest.raises(CheckFailed) as caught:
        check_passport(identity, ExpectedIdentity(chip_id="07c6"))
    assert "chip_id 07c5" in str(caught.value) and "chip_id 07c6" in str(caught.value)


def test_a_chip_that_has_no_number(firmware: ModelFirmware) -> None:
    assert expected_identity(firmware, chip_id="07c5").chip_id == "07c5"
    with (
        pytest.raises(LinkFailed, match="another unit") as caught,
        open_device(firmware, chip_id="07c5"),
    ):
        pass
    assert "chip_id none" in str(caught.value) and "chip_id 07c5" in str(caught.value)


def test_a_fault_stays_with_the_unit(stub: StubTransport) -> None:
    device = Device(stub)
    read_passport(device)
    assert device.take_fault() is not None


# --- what cannot be asked ------------------------------------------------------------------------


def test_no_port() -> None:
    refused(nanoexport("identify", "--json"), 2, "--port", "--serve")
    refused(nanoexport("identify", "--port", "emulator", "--json"), 2, "--port")
    refused(nanoexport("identify", "--port", "/dev/ttyNOPE", "--json"), 3, "/dev/ttyNOPE")


def test_what_it_should_be_is_no_project(tmp_path: Path) -> None:
    port = ("--port", "/dev/ttyNOPE", "--json")
    refused(nanoexport("identify", "--firmware", tmp_path, *port), 2, "nanoexport render")
    refused(nanoexport("identify", "--model", tmp_path / "none.tflite", *port), 2, "none.tflite")
    refused(nanoexport("identify", "--board", "mps2-an368", *port), 2, "mps2-an386")


def test_names_that_disagree(firmware: ModelFirmware, other_model: Path) -> None:
    options = ("--port", "/dev/ttyNOPE", "--firmware", firmware.firmware.project, "--json")
    run = nanoexport("identify", *options, "--board", "mps2-an386")
    refused(run, 2, "another board", "host", "mps2-an386")
    refused(nanoexport("identify", *options, "--model", other_model), 2, "another model")


def test_a_project_that_cannot_answer(firmware: ModelFirmware, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(firmware.firmware.project, folder)
    manifest = folder / "nanoexport.json"
    manifest.write_text(manifest.read_text().replace('"app": "hil"', '"app": "standalone"'))
    run = nanoexport("identify", "--port", "/dev/ttyNOPE", "--firmware", folder, "--json")
    refused(run, 2, "standalone", "--app hil")
    manifest.write_text(
        manifest.read_text().replace('"standalone"', '"hil"').replace("compiler", "c")
    )
    run = nanoexport("identify", "--port", "/dev/ttyNOPE", "--firmware", folder, "--json")
    refused(run, 2, "does not state its compiler", "anew")
    assert expected_of_project(Firmware.of(firmware.firmware.project)).board == "host"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake gives up soon, not after half a minute."""
    monkeypatch.setattr(session, "Timing", partial(pacing.Timing, handshake_seconds=0.6))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"output: 1 2 3\r\n", ("does not speak the protocol", "--app hil")),
        (b"", ("nothing answers",)),
        (
            frames.encode(
                Message(Kind.REPLY, Command.HELLO, Status.BAD_VERSION, 0, 9, version=77).encode()
            ),
            ("another version of the link protocol", "version 77"),
        ),
    ],
    ids=["text", "silence", "version"],
)
def test_a_device_that_cannot_say(answer: bytes, words: tuple[str, ...]) -> None:
    with speaking(answer) as port:
        run = nanoexport("identify", "--port", port, "--json")
    refused(run, 4, *words)


# --- an emulated board ---------------------------------------------------------------------------


@pytest.mark.emulator
def test_the_passport_of_an_emulated_board(small_model: Path) -> None:
    firmware = firmware_for(small_model, load_board("mps2-an386"), Settings())
    with open_device(firmware) as device:
        document = read_passport(device)
        check_passport(device.identity, expected_identity(firmware))
    assert document["image_crc32"] == f"{firmware.image.image_crc32:08x}"
    assert document["image_bytes"] == firmware.image.image_bytes
    assert document["toolchain"].startswith("arm-none-eabi-gcc ")
