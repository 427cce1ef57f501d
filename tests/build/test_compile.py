"""Building: both toolchains on every board without a warning, honest sizes, useful errors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import ARMAttributesSection

from exporter import flash, toolchain
from exporter.board import Board, board_names, load_board
from exporter.build import (
    Firmware,
    ImageSize,
    build,
    check_fits,
    measure_footprint,
    measure_image,
)
from exporter.errors import BadInput, CheckFailed, InternalError, MissingTool
from tests.build.sample_model import (
    ARENA,
    STATIC_BSS,
    STATIC_DATA,
    WEIGHTS,
    sample_files,
    sample_project,
)
from tests.platform.probe import build_probe, need_tool

pytestmark = pytest.mark.toolchain

ARMV6M_CORES = ("cortex-m0", "cortex-m0plus")
ARCH_OF_ARMV6M = (11, 12)
"""Tag_CPU_arch: v6-M and v6S-M."""
THUMB_1_ONLY = 1


def need_compiler(board: Board, name: toolchain.ToolchainName) -> None:
    """Skip, saying why, where the toolchain of a board is missing."""
    need_tool("cmake", "ninja", board.compilers[name].program)


def build_sample(
    folder: Path, board: Board, name: toolchain.ToolchainName = "gcc", optimize: str = "speed"
) -> Firmware:
    """The sample project of a board, built."""
    need_compiler(board, name)
    return build(sample_project(folder, board, toolchain=name, optimize=optimize))


SETTINGS: tuple[tuple[toolchain.ToolchainName, str], ...] = (
    ("gcc", "speed"),
    ("gcc", "size"),
    ("clang", "speed"),
)
WITH_ALL_SETTINGS = ("host", "mps2-an386", "mps3-an547", "riscv32-virt")
"""One of each family of kernels; the long tests build the others with all settings, too."""


@pytest.mark.parametrize(("name", "optimize"), SETTINGS)
@pytest.mark.parametrize("board_name", WITH_ALL_SETTINGS)
def test_builds_without_warning(
    tmp_path: Path, board_name: str, name: toolchain.ToolchainName, optimize: str
) -> None:
    check_build(tmp_path, load_board(board_name), name, optimize)


@pytest.mark.parametrize(
    "board_name", [name for name in board_names() if name not in WITH_ALL_SETTINGS]
)
def test_every_board_builds_as_it_does_by_default(tmp_path: Path, board_name: str) -> None:
    board = load_board(board_name)
    check_build(tmp_path, board, board.default_toolchain, "speed")


@pytest.mark.long
@pytest.mark.parametrize(("name", "optimize"), SETTINGS)
@pytest.mark.parametrize(
    "board_name", [name for name in board_names() if name not in WITH_ALL_SETTINGS]
)
def test_every_board_builds_with_every_setting(
    tmp_path: Path, board_name: str, name: toolchain.ToolchainName, optimize: str
) -> None:
    board = load_board(board_name)
    if (name, optimize) != (board.default_toolchain, "speed"):
        check_build(tmp_path, board, name, optimize)


def check_build(tmp_path: Path, board: Board, name: toolchain.ToolchainName, optimize: str) -> None:
    """-Wall -Wextra -Wconversion -Werror are on; the linkers have nothing to say either."""
    firmware = build_sample(tmp_path, board, name, optimize=optimize)
    assert "warning:" not in firmware.log
    assert firmware.elf.is_file()
    if board.freestanding:
        assert firmware.bin is not None
        assert firmware.hex is not None
        size = measure_image(firmware.elf)
        assert firmware.bin.stat().st_size == size.image_bytes
        assert size.ram_bytes >= board.stack_bytes + ARENA
    assert firmware.footprint is not None
    footprint = measure_footprint(firmware.footprint)
    assert footprint.weights_bytes == WEIGHTS
    assert footprint.static_ram_bytes == pytest.approx(STATIC_DATA + STATIC_BSS, abs=16)
    assert footprint.arena_bytes == ARENA
    assert 64 < footprint.code_bytes < 4000
    assert footprint.flash_bytes == footprint.code_bytes + WEIGHTS
    if board.platform == "cortex_m":
        check_arm_attributes(firmware.elf, board)


def check_arm_attributes(elf: Path, board: Board) -> None:
    """Of Armv6-M no object of the image, not of the compiler's library either, may have more than
    Thumb-1, or access memory unaligned.
    """
    found = arm_attributes(elf)
    is_armv6m = board.core in ARMV6M_CORES
    assert (found["TAG_CPU_ARCH"] in ARCH_OF_ARMV6M) == is_armv6m
    assert (found["TAG_THUMB_ISA_USE"] == THUMB_1_ONLY) == is_armv6m
    assert (found.get("TAG_CPU_UNALIGNED_ACCESS", 0) == 0) == is_armv6m


def arm_attributes(elf: Path) -> dict[str, int]:
    """The build attributes of the file (Addenda to the ABI for the Arm Architecture, AAELF32)."""
    with elf.open("rb") as stream:
        section = ELFFile(stream).get_section_by_name(".ARM.attributes")
        assert isinstance(section, ARMAttributesSection)
        (vendor,) = section.iter_subsections()
        (whole,) = vendor.iter_subsubsections()
        return {attribute.tag: attribute.value for attribute in whole.iter_attributes()}


def test_host_runs_with_sanitizers(tmp_path: Path) -> None:
    """A sanitized program is a program of its own: no footprint, and a crash is reported."""
    board = load_board("host")
    need_compiler(board, "gcc")
    project = sample_project(tmp_path, board)
    firmware = build(project, options=["NANO_SANITIZE=ON"])
    assert firmware.footprint is None
    with flash.start(board, firmware.elf) as running:
        assert running.alive()
    assert not running.alive()


@pytest.mark.parametrize("name", ["gcc", "clang"])
@pytest.mark.parametrize("board_name", ["mps2-an385", "mps3-an547", "riscv32-virt"])
def test_memory_functions_call_nothing(
    tmp_path: Path, board_name: str, name: toolchain.ToolchainName
) -> None:
    """A memcpy that was compiled into a call of memcpy would never return."""
    need_tool("nm")
    firmware = build_sample(tmp_path, load_board(board_name), name)
    (object_file,) = (firmware.project / "build").rglob("memory.c.*o*")
    listed = subprocess.run(
        ["nm", "--undefined-only", object_file], capture_output=True, text=True, check=True
    )
    called = {line.split()[-1] for line in listed.stdout.splitlines()}
    assert called <= {"__aeabi_unwind_cpp_pr0"}


@pytest.mark.parametrize("board_name", ["mps2-an386", "riscv32-virt"])
def test_image_does_not_depend_on_the_folder(tmp_path: Path, board_name: str) -> None:
    board = load_board(board_name)
    images = [build_sample(tmp_path / name, board) for name in ("one", "another/deeper")]
    assert len({image.elf.read_bytes() for image in images}) == 1


def test_no_path_is_rendered() -> None:
    for name in board_names():
        for path, text in sample_files(load_board(name), toolchain="clang").items():
            assert str(Path(__file__).parent.parent.parent) not in text, path
            assert sys.prefix not in text, path


def test_a_person_builds_it_with_cmake(tmp_path: Path) -> None:
    board = load_board("mps2-an386")
    need_compiler(board, "gcc")
    project = sample_project(tmp_path, board)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for command in (["-G", "Ninja", "-B", "build"], ["--build", "build"]):
        subprocess.run(
            ["cmake", *command],
            cwd=project,
            check=True,
            capture_output=True,
            env=os.environ | {"PATH": path},
        )
    assert (project / "build" / "firmware.hex").is_file()


def test_compiler_errors_are_shown(tmp_path: Path) -> None:
    board = load_board("mps2-an386")
    need_compiler(board, "gcc")
    project = sample_project(tmp_path, board)
    source = project / "model" / "model.c"
    source.write_text(source.read_text() + "\nint8_t narrow(int32_t x) { return x; }\n")
    with pytest.raises(CheckFailed, match="does not build") as caught:
        build(project)
    assert "model.c" in str(caught.value.value)
    assert "conversion" in str(caught.value.value)


@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_too_big_says_by_how_much(tmp_path: Path, name: toolchain.ToolchainName) -> None:
    board = load_board("mps3-an547")
    need_compiler(board, name)
    project = sample_project(tmp_path, board, toolchain=name, arena_bytes=board.ram_bytes)
    with pytest.raises(CheckFailed, match="bytes too much ram in DTCM") as caught:
        build(project)
    surplus = int(str(caught.value.value).split()[0])
    assert board.stack_bytes < surplus < board.stack_bytes + 4096


def test_check_fits() -> None:
    board = load_board("mps3-an547")
    check_fits(ImageSize(image_bytes=524288, ram_bytes=524288), board)
    with pytest.raises(CheckFailed, match="mps3-an547: 1 bytes too much flash"):
        check_fits(ImageSize(image_bytes=524289, ram_bytes=0), board)
    with pytest.raises(CheckFailed, match="2 bytes too much RAM"):
        check_fits(ImageSize(image_bytes=0, ram_bytes=524290), board)


@pytest.mark.parametrize("manifest", [None, "", "[]", "{}", '{"board": 3}'])
def test_a_folder_that_is_no_project(tmp_path: Path, manifest: str | None) -> None:
    if manifest is not None:
        (tmp_path / "nanoexport.json").write_text(manifest)
    with pytest.raises(BadInput, match="not a rendered project") as caught:
        build(tmp_path)
    assert "nanoexport render" in str(caught.value.next_step)


def test_a_project_for_an_unknown_board(tmp_path: Path) -> None:
    (tmp_path / "nanoexport.json").write_text(json.dumps({"board": "mps2-an999"}))
    with pytest.raises(BadInput, match="unknown board"):
        build(tmp_path)


def test_missing_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = sample_project(tmp_path / "project", load_board("mps2-an386"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool, match="arm-none-eabi-gcc") as caught:
        build(project)
    assert "gcc-arm-none-eabi" in str(caught.value.next_step)


def test_unknown_toolchain_and_optimisation() -> None:
    board = load_board("mps2-an386")
    with pytest.raises(BadInput, match="no such toolchain") as caught:
        toolchain.toolchain_for(board, "icc", "speed")
    assert caught.value.allowed == "gcc, clang"
    with pytest.raises(BadInput, match="unknown optimisation"):
        toolchain.toolchain_for(board, "gcc", "fastest")


def test_identity_names_the_version() -> None:
    board = load_board("mps2-an386")
    need_compiler(board, "gcc")
    name, version = toolchain.identity(board, "gcc").split()
    assert name == "arm-none-eabi-gcc"
    assert version.count(".") == 2


@pytest.mark.parametrize("flags", [(), ("-DNANO_TRAP_UNALIGNED=ON",)])
def test_options_reach_cmake(tmp_path: Path, flags: tuple[str, ...]) -> None:
    options = [flag.removeprefix("-D") for flag in flags]
    firmware = build_probe(load_board("mps2-an385"), tmp_path, options=options)
    commands = (firmware.project / "build" / "build.ninja").read_text()
    assert ("-DNANO_TRAP_UNALIGNED" in commands) == bool(flags)


def test_sizes_of_what_is_no_elf_file(tmp_path: Path) -> None:
    path = tmp_path / "firmware.elf"
    path.write_bytes(b"\x7fNOT")
    with pytest.raises(InternalError, match="no ELF file"):
        measure_image(path)
    shutil.copy(sys.executable, path)
    with pytest.raises(InternalError, match="no footprint"):
        measure_footprint(path)
