"""Firmware with regions of its own for arena and weights: where the plan says, and exact."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from exporter.board import Board, load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.build.placed import check_placed
from exporter.errors import CheckFailed
from exporter.hil.controls import run_controls
from exporter.hil.controls.weights import FlippedWeightBit
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import verify_on_board
from exporter.plan.placement import use_by_region
from tests.hil.support import doctored, forget_boards, nanoexport, picture_model, saved
from tests.platform.probe import need_tool

pytestmark = pytest.mark.emulator
pytest_plugins = ["tests.hil.fixtures"]

# A slow flash and a little fast memory, as microcontrollers have it; a flash outside beside it.
MEMORIES = {
    "mps3-an547": """\
  - {name: ITCM, kind: flash, origin: 0x00000000, bytes: 65536, access_cost: 3}
  - {name: DTCM, kind: ram, origin: 0x30000000, bytes: 25600, holds: [arena, weights]}
  - {name: SRAM, kind: ram, origin: 0x31000000, bytes: 6272, access_cost: 1}
  - {name: QSPI, kind: flash, origin: 0x38000000, bytes: 8388608, access_cost: 2}
""",
    "mps2-an500": """\
  - {name: flash, kind: flash, origin: 0x00000000, bytes: 4194304, access_cost: 3}
  - {name: SRAM, kind: ram, origin: 0x20000000, bytes: 32768}
  - {name: PSRAM, kind: ram, origin: 0x60000000, bytes: 65536, access_cost: 2, holds: [weights]}
""",
    "riscv32-virt": """\
  - {name: flash, kind: flash, origin: 0x80000000, bytes: 4194304, access_cost: 3, holds: []}
  - {name: RAM, kind: ram, origin: 0x80400000, bytes: 4194304, access_cost: 4, holds: []}
  - {name: TCM, kind: ram, origin: 0x80800000, bytes: 8192, holds: [arena, weights]}
  - {name: QSPI, kind: flash, origin: 0x80C00000, bytes: 65536, access_cost: 5}
""",
}


def board_with(folder: Path, base: str) -> Board:
    """The board `base` with the memory above, under another name."""
    text = (folder / f"{base}.yaml").read_text(encoding="utf-8")
    text, count = re.subn(r"(?<=\nmemory:\n)(?: .*\n)+", MEMORIES[base], text)
    assert count == 1
    name = f"{base}-regions"
    (folder / f"{name}.yaml").write_text(text.replace(f"name: {base}", f"name: {name}", 1))
    forget_boards()
    return load_board(name)


def exact(firmware: ModelFirmware) -> bool:
    tensors = [port.tensor for port in firmware.program.inputs]
    return verify_on_board(firmware, make_vectors(tensors, 3)).bit_exact


@dataclass(frozen=True)
class Wanted:
    """What must be where, by region: the arena or not, and the layers whose weights are read."""

    arena: str
    weights: dict[str, set[str]]
    has_bin: bool


# The weights of layer 0, a convolution, are read 576 times as often as those of layer 2.
WANTED = {
    "mps3-an547": Wanted("SRAM", {"DTCM": {"0", "2"}, "QSPI": {"2"}}, has_bin=False),
    "mps2-an500": Wanted("SRAM", {"PSRAM": {"0", "2"}}, has_bin=True),
    "riscv32-virt": Wanted("TCM", {"TCM": {"0", "2"}, "QSPI": {"2"}}, has_bin=False),
}


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("picture"), picture_model(channels=8, size=24))


Build = Callable[..., ModelFirmware]


@pytest.fixture
def make(board_files: Path, own_cache: Path, picture: Path) -> Iterator[Build]:
    def made(base: str, **chosen: Any) -> ModelFirmware:
        board = board_with(board_files, base)
        settings = replace(Settings(), **chosen)
        need_tool(
            "cmake",
            "ninja",
            board.compilers["clang" if settings.toolchain == "clang" else "gcc"].program,
        )
        assert board.emulator is not None
        need_tool(board.emulator.program)
        return firmware_for(picture, board, settings)

    yield made
    forget_boards()


@pytest.mark.parametrize(
    ("base", "toolchain", "arena"),
    [
        ("mps3-an547", "gcc", "static"),
        ("mps3-an547", "clang", "caller"),
        ("mps2-an500", "gcc", "static"),
        ("riscv32-virt", "gcc", "caller"),
        ("riscv32-virt", "clang", "static"),
    ],
)
def test_arena_and_weights_are_where_the_plan_says(
    base: str, toolchain: str, arena: str, make: Build, picture: Path
) -> None:
    """`firmware_for` has looked up every array in the ELF file: here, what the plan says."""
    firmware = make(base, toolchain=toolchain, arena=arena)
    wanted, placement = WANTED[base], firmware.placement
    assert placement.arena.name == wanted.arena
    found = {
        part.region.name: {name.rpartition("_")[2] for name in part.names}
        for part in placement.weights
    }
    assert found == wanted.weights
    assert (firmware.firmware.bin is not None) == wanted.has_bin
    used = use_by_region(firmware.program, firmware.board)
    for use in used:
        least = use.arena_bytes + use.weights_bytes + use.copies_bytes
        assert least <= firmware.image.regions[use.region] <= use.bytes
    assert exact(firmware)
    inspected = nanoexport("inspect", picture, "--board", firmware.board.name, "--json").document
    assert {r["region"]: r["arena_bytes"] > 0 for r in inspected["regions"]} == {
        use.region: use.region == wanted.arena for use in used
    }


def test_a_flipped_bit_of_weights_that_are_copied_to_ram_is_caught(make: Build) -> None:
    """It is flipped where the image stores it, and noticed where it is read."""
    report = run_controls(make("mps2-an500"), count=3, controls=[FlippedWeightBit()])
    assert (report.seeded, report.rate) == (3, 1)


def test_the_build_shows_every_region(make: Build, picture: Path, tmp_path: Path) -> None:
    firmware = make("mps2-an500")
    nanoexport("render", picture, "--board", firmware.board.name, "-o", tmp_path / "project")
    run = nanoexport("build", tmp_path / "project")
    assert f"PSRAM {firmware.image.regions['PSRAM']:,} of 65,536 bytes" in run.out


def test_an_array_elsewhere_is_seen(make: Build, tmp_path: Path) -> None:
    """A linker script that leaves weights with the program; a plan that says something else."""
    firmware = make("mps2-an500")
    line = ("EXCLUDE_FILE(*model_weights.*) .rodata.*", ".rodata.*")
    lost = doctored(firmware, tmp_path, patch={"platform/linker.ld": line})
    elf, program, placement = lost.firmware.elf, firmware.program, firmware.placement
    with pytest.raises(CheckFailed, match="model_weights_0 is not in PSRAM"):
        check_placed(elf, program, placement, firmware.board)
    _, _, psram = firmware.board.memory
    with pytest.raises(CheckFailed, match="model_arena is not in PSRAM"):
        check_placed(elf, program, replace(placement, arena=psram), firmware.board)
    part = replace(placement.weights[0], source=psram)
    with pytest.raises(CheckFailed, match=r"the contents of model_\w+ is not in PSRAM"):
        check_placed(
            firmware.firmware.elf, program, replace(placement, weights=(part,)), firmware.board
        )


def test_weights_that_are_not_copied_give_other_outputs(make: Build, tmp_path: Path) -> None:
    patch = {"CMakeLists.txt": (" NANO_PLACED_SECTIONS", "")}
    assert not exact(doctored(make("mps2-an500"), tmp_path, patch=patch))
