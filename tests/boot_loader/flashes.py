"""Many flashes of an emulated board through our boot loader by stm32loader, some of them cut short.

    python -m tests.boot_loader.flashes --board microbit-v1 --seed 1 --report flashes.json

Of 20 flashes 5 lose the power after a random byte of the session, and 4 at the named places: in the
erase, in the first page, in the last page, before the valid flag. What was being erased or written
then is left half done, as real flash leaves it. After each of them the board is looked at: unless
its flash has a whole application, none starts, and the loader answers; the retry must succeed.
After each flash that was not cut short, the board is reset and verified against the host reference.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stm32loader.bootloader import Stm32Bootloader
from stm32loader.main import Stm32Loader

from exporter.board import Board, LoaderLayout, load_board
from exporter.build import Firmware, build
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.build.loader_header import MAGIC
from exporter.hil.vectors import make_vectors
from exporter.hil.verify import check_verification, verify_on_board
from exporter.link import Device, open_port
from exporter.render.boot_loader import render_boot_loader
from exporter.render.project import write_project
from tests.boot_loader.line import Line
from tests.boot_loader.machine import Machine, Stop
from tests.golden import golden_model
from tests.powered_board import symbol_address
from tests.random_models import random_model

BOARDS = ("microbit-v1", "mps2-an386")
NAMED = ("erase", "first page", "last page", "before the valid flag")
RANDOM = "random"
WHOLE = "whole"

_WORD = 4
_BLOCK = 256
_SILENCE_SECONDS = 1.5
"""Longer than the loader listens before it starts what is valid."""
_VECTORS = 2


@dataclass(frozen=True)
class Bench:
    """A board, the loader for it, and two applications: one that is there, and one that comes."""

    board: Board
    loader: Firmware
    applications: tuple[ModelFirmware, ModelFirmware]

    @property
    def layout(self) -> LoaderLayout:
        """Where everything is."""
        return LoaderLayout.of(self.board)

    def file(self, which: int) -> bytes:
        """The BIN file of an application."""
        path = self.applications[which].firmware.bin
        assert path is not None
        return path.read_bytes()

    def symbol(self, name: str) -> int:
        """Where a function of the loader begins."""
        return symbol_address(self.loader.elf, name) & ~1


def make_bench(name: str, folder: Path, *, toolchain: str = "gcc") -> Bench:
    """Build the loader and both applications of a board."""
    board = load_board(name)
    project = folder / f"loader-{name}-{toolchain}"
    write_project(render_boot_loader(board, toolchain), project)
    behind = load_board(f"{name}+loader")
    made = []
    for number, model in enumerate((golden_model(), random_model("CONV_2D", 3))):
        path = folder / f"model{number}.tflite"
        path.write_bytes(model)
        made.append(firmware_for(path, behind, Settings(toolchain=toolchain)))
    return Bench(board, build(project), (made[0], made[1]))


_MORE_OR_LESS = 64
"""Bytes by which sessions with one image differ: calls before the loader answers."""


@dataclass
class Campaign:
    """What happened. A number of `left` is that of a flash."""

    flashes: int = 0
    whole: int = 0
    interrupted: dict[str, int] = field(default_factory=dict)
    retries: int = 0
    verified_vectors: int = 0
    left_with: dict[str, int] = field(default_factory=dict)
    """Of the interrupted: whether a whole application, an old or the new one, was left, or none."""


def stm32loader(line: Line, file: Path, layout: LoaderLayout, go: int) -> None:
    """The program's own sequence: `stm32loader -e -l LENGTH -w -v -a ADDRESS -g GO FILE`.

    Only the port is ours: the program would set the reset line of a real one.
    """
    pages = -(-file.stat().st_size // layout.page_bytes)
    where = ("-a", hex(layout.application_origin), "-l", str(pages * layout.page_bytes))
    program = Stm32Loader()
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        program.parse_arguments(
            ("-p", "none", "-q", "-f", "F1", "-e", "-w", "-v", *where, "-g", hex(go), str(file))
        )
        program.stm32 = Stm32Bootloader(line, device_family="F1", verbosity=0)
        program.stm32.reset_from_system_memory()
        program.read_device_id()
        program.read_device_uid()
        program.perform_commands()


class Flashing:
    """The bench with its machine. Raises AssertionError at the first thing that must not be."""

    def __init__(self, bench: Bench, folder: Path, seed: int) -> None:
        self.bench = bench
        self.told = Campaign()
        self._folder = folder
        self._rng = random.Random(seed)
        self._session_bytes: dict[int, int] = {}
        assert bench.loader.bin is not None
        erased = b"\xff" * (bench.layout.flash_end - bench.layout.flash_origin)
        self._machine = Machine(bench.board, bench.loader.bin.read_bytes() + erased[: 1 << 16])
        self._there: int | None = None

    def __enter__(self) -> Flashing:
        return self

    def __exit__(self, *error: object) -> None:
        self._machine.cut()

    def flash(self, kind: str) -> None:
        """One flash of the application that is not there, interrupted or whole."""
        new = 0 if self._there == 1 else 1
        self.told.flashes += 1
        if kind == WHOLE:
            self._flash_whole(new)
            self.told.whole += 1
            return
        self._interrupt(kind, new)
        self._look_around(new)
        self._flash_whole(new)
        self.told.interrupted[kind] = self.told.interrupted.get(kind, 0) + 1
        self.told.retries += 1

    def _flash_whole(self, new: int) -> None:
        if not self._machine.on:
            self._machine.power_on()
        elif self._there is not None:
            self._ask_application_for_loader(self._there)
        with Line(self._machine.port) as line:
            self._program(line, new)
            self._session_bytes[new] = line.sent
        self._there = new
        self._machine.reset()
        self._verify(new)

    def _interrupt(self, kind: str, new: int) -> None:
        self._machine.cut()
        if kind == RANDOM:
            limit = self._rng.randrange(1, self._least_bytes(new) - _MORE_OR_LESS)
            self._machine.power_on()
            with Line(self._machine.port, limit=limit, at_limit=self._machine.cut) as line:
                self._program_until_cut(line, new)
        else:
            self._machine.power_on(self._stops(kind, new))
            with Line(self._machine.port) as line:
                self._program_until_cut(line, new)
        self._machine.wait_until_off()
        self._wear(kind, new)

    def _least_bytes(self, new: int) -> int:
        """What a session with this application sends: as the last one, or its image at least."""
        return self._session_bytes.get(new, len(self.bench.file(new)))

    def _program_until_cut(self, line: Line, new: int) -> None:
        with contextlib.suppress(OSError):
            self._program(line, new)
            raise AssertionError("the power was to be cut, and the program came to its end")

    def _program(self, line: Line, new: int) -> None:
        path = self._folder / "application.bin"
        path.write_bytes(self.bench.file(new))
        go = self._rng.choice(
            (self.bench.layout.application_origin, self.bench.layout.image_origin)
        )
        stm32loader(line, path, self.bench.layout, go)

    # --- where the power goes -----------------------------------------------------------------

    def _stops(self, kind: str, new: int) -> list[Stop]:
        layout, size = self.bench.layout, len(self.bench.file(new))
        origin, end = layout.application_origin, layout.application_origin + size
        erase, block, word = map(
            self.bench.symbol, ("flash_erase_page", "application_write", "flash_write_word")
        )
        last_block = origin + (size - 1) // _BLOCK * _BLOCK
        if kind == "erase":
            pages = -(-size // layout.page_bytes)
            return [Stop(erase, origin, end, self._rng.randrange(pages))]
        if kind == "first page":
            words = layout.page_bytes // _WORD - 1  # the flag is not among them
            start = origin + _WORD
            return [Stop(word, start, origin + layout.page_bytes, self._rng.randrange(words))]
        if kind == "last page":
            start = origin + (size - 1) // layout.page_bytes * layout.page_bytes
            words = (end - start) // _WORD
            return [Stop(block, start, end), Stop(word, start, end, self._rng.randrange(words))]
        assert kind == "before the valid flag"
        return [Stop(block, last_block, end), Stop(word, origin, origin + _WORD)]

    def _wear(self, kind: str, new: int) -> None:
        """What the power left: of a page in erase, any bit may be a one already; of a word in
        writing, any bit may have become a zero that was to be one.
        """
        image, layout = self.bench.file(new), self.bench.layout
        flash = bytearray(self._machine.flash)
        reached = self._machine.reached
        if kind == RANDOM or reached is None:
            return
        at = reached - layout.flash_origin
        if kind == "erase":
            for i in range(at, at + layout.page_bytes):
                flash[i] |= self._rng.randrange(256)
        else:
            first = reached - layout.application_origin
            for i in range(_WORD):
                flash[at + i] &= image[first + i] | self._rng.randrange(256)
        self._machine.flash = bytes(flash)

    # --- what the board is afterwards ---------------------------------------------------------

    def _look_around(self, new: int) -> None:
        """The board starts a whole application or none, and the loader is there."""
        whole = self._whole_one()
        self._machine.power_on()
        left = "none" if whole is None else "the new one" if whole == new else "the old one"
        self.told.left_with[left] = self.told.left_with.get(left, 0) + 1
        if whole is None:
            with Line(self._machine.port) as line:
                line.timeout = _SILENCE_SECONDS
                assert line.read(1) == b"", "something started, and says so"
                line.timeout = 10.0
                line.write(b"\x7f")
                assert line.read(1) == b"\x79"
                line.write(b"\x21\xde" + _address(self.bench.layout.application_origin))
                assert line.read(2) == b"\x79\x1f", "it would start what is broken"
        else:
            self._ask_application_for_loader(whole)
        self._there = None  # the loader listens

    def _whole_one(self) -> int | None:
        """The application that the flash has, to the last bit, flag included."""
        start = self.bench.layout.application_origin - self.bench.layout.flash_origin
        for which in (0, 1):
            file = self.bench.file(which)
            assert file[:_WORD] == MAGIC.to_bytes(_WORD, "little")
            if self._machine.flash[start : start + len(file)] == file:
                return which
        return None

    def _ask_application_for_loader(self, which: int) -> None:
        with Device(open_port(self._machine.port)) as device:
            wanted = self.bench.applications[which].build_id
            assert device.identity.build_id == wanted, "another application runs"
            device.reset_to_loader()

    def _verify(self, which: int) -> None:
        firmware = self.bench.applications[which]
        vectors = make_vectors([p.tensor for p in firmware.program.inputs], _VECTORS)
        result = verify_on_board(firmware, vectors, port=self._machine.port)
        check_verification(firmware, result)
        self.told.verified_vectors += result.vectors


def _address(value: int) -> bytes:
    data = value.to_bytes(4, "big")
    return data + bytes([data[0] ^ data[1] ^ data[2] ^ data[3]])


def plan_of(seed: int, whole: int, randomly: int) -> Iterator[str]:
    """A whole flash, then the others in any order."""
    kinds = [*NAMED, *([RANDOM] * randomly), *([WHOLE] * (whole - 1))]
    random.Random(seed).shuffle(kinds)
    yield WHOLE
    yield from kinds


def run(bench: Bench, folder: Path, *, seed: int, whole: int = 11, randomly: int = 5) -> Campaign:
    """The campaign. Raises AssertionError, CheckFailed or LinkFailed where it fails."""
    with Flashing(bench, folder, seed) as flashing:
        for kind in plan_of(seed, whole, randomly):
            flashing.flash(kind)
            print(flashing.told.flashes, kind, flush=True)
        return flashing.told


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 where all flashes went as they must."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--board", choices=BOARDS, default="microbit-v1")
    parser.add_argument("--toolchain", choices=("gcc", "clang"), default="gcc")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        bench = make_bench(chosen.board, Path(name), toolchain=chosen.toolchain)
        told = run(bench, Path(name), seed=chosen.seed)
    document: dict[str, Any] = {"board": chosen.board, "seed": chosen.seed, **asdict(told)}
    text = json.dumps(document, indent=2)
    print(text)
    if chosen.report is not None:
        chosen.report.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
