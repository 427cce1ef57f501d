"""What a flasher is: the way an image gets onto a board and starts there."""

from __future__ import annotations

import contextlib
import re
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

from exporter import process
from exporter.board import Board, ChipId, CoreId
from exporter.build.image import Image
from exporter.errors import BadInput, LinkFailed
from exporter.link import ports
from exporter.process import Child

START_SECONDS = 60.0
"""For an emulator, on a busy computer."""

Id = TypeVar("Id", bound=ChipId | CoreId)


class RunningBoard(ABC):
    """A board that runs an image. A context manager: leaving the block stops what was started.

    `connection`, a connected stream socket, is the board's serial port.
    """

    connection: socket.socket

    @abstractmethod
    def alive(self) -> bool:
        """Whether it can still answer; real boards cannot tell and say yes."""

    @abstractmethod
    def log_tail(self) -> str:
        """The last lines of what the program that runs or flashed it printed."""

    @abstractmethod
    def stop(self) -> None:
        """End it. Harmless when it has ended."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


class ProgramBoard(RunningBoard):
    """A board that is a program of this machine: `_child`."""

    _child: Child

    def _launch(
        self,
        command: Callable[[int, int], list[str]],
        is_complete: Callable[[socket.socket], bool],
        next_step: str,
    ) -> None:
        """Start `command`, made of the descriptors of its serial port and of a control line.

        Waits until `is_complete` says on the latter that the machine is; that returns False where
        the line ends first, or raises TimeoutError. Raises MissingTool, LinkFailed.
        """
        with contextlib.ExitStack() as after_start:
            self.connection, serial = socket.socketpair()
            control, remote = socket.socketpair()
            for end in (serial, remote, control):
                after_start.callback(end.close)
            inherited = (serial.fileno(), remote.fileno())
            try:
                self._child = process.spawn(command(*inherited), pass_fds=inherited)
            except BaseException:
                self.connection.close()
                raise
            serial.close()
            remote.close()  # now the end of the program is the end of both streams
            try:
                if is_complete(control):
                    return
                problem = f"ended at once with {self._child.wait(START_SECONDS)}"
            except TimeoutError:
                problem = f"did not start within {START_SECONDS:g} s"
            except BaseException:
                self.stop()
                raise
            log = self._child.log_tail()
            self.stop()
            raise LinkFailed(f"the emulator {problem}", value=log or None, next_step=next_step)

    @property
    def pid(self) -> int:
        """Its process id; that of a native process is the same after a reset of the board."""
        return self._child.pid

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._child.alive()

    def log_tail(self) -> str:
        """The last lines that it printed."""
        return self._child.log_tail()

    def stop(self) -> None:
        """End it and close the connection."""
        self.connection.close()
        self._child.stop()


def require_image(elf: Path) -> None:
    """Raises BadInput where there is no image to start."""
    if not elf.is_file():
        raise BadInput("there is no image to run", value=elf, next_step="nanoexport build DIR")


def required_chip_id(board: Board, flasher: str, chip_id: Id | None) -> Id:
    """What tells the board's chip from others. Raises BadInput where the board's file has none."""
    if chip_id is None:
        raise BadInput(
            f"the file of {board.name} does not say how {flasher} knows its chip",
            value="no chip_id",
            allowed="chip_id: {address, mask, value} of the chip's identification register",
            next_step=f"add it to the flasher {flasher} in the board's file, from the manual",
        )
    return chip_id


def require_chip(board: Board, expected: ChipId | CoreId, found: int) -> None:
    """Raises BadInput where the register says that this is another chip."""
    if found & expected.mask == expected.value:
        return
    raise BadInput(
        f"this is not the chip of {board.name}: nothing was written",
        value=f"0x{found:08X} in {expected.place}",
        allowed=f"0x{expected.value:08X} in the bits 0x{expected.mask:08X} ({board.mcu})",
        next_step="name the right board, or the probe or port of the right one",
    )


def probe_argument(options: FlashOptions) -> str | None:
    """The serial number of the probe, as one word of a command. Raises BadInput for any other."""
    if options.probe is not None and not re.fullmatch(r"[\w:.\-]+", options.probe, re.ASCII):
        raise BadInput(
            "this is no serial number of a probe",
            value=repr(options.probe),
            allowed="letters, digits and : . _ -",
            next_step="'nanoexport boards --connected' lists what is connected",
        )
    return options.probe


def require_port(options: FlashOptions, board: Board) -> str:
    """The serial port to flash through, there and free: who holds it otherwise is named.

    Raises BadInput without one, MissingTool where it is absent or in use.
    """
    if options.port is None:
        raise BadInput(
            f"the boot loader of {board.name} is on a serial port: which one?",
            allowed="a port, as /dev/ttyACM0",
            next_step="name it with --port; nanoexport boards --connected lists what is there",
        )
    if not ports.check_url(options.port).scheme:
        ports.check_path(options.port)
    return options.port


def _say_nothing(text: str) -> None:
    """A message to the person at the board, where nobody listens."""


def _nobody_to_ask() -> bool:
    """Where no firmware can be asked to reset into its boot loader."""
    return False


def _no_progress(stage: str, done: int, total: int) -> None:
    """Bytes done of all bytes of a stage, where nobody looks."""


@dataclass(frozen=True)
class FlashOptions:
    """What the user may choose. Each flasher reads what concerns it."""

    arguments: tuple[str, ...] = ()
    """Added to the emulator's command."""
    instruction_counting: bool = True
    port: str | None = None
    """What `Writer.port_kind` says."""
    probe: str | None = None
    """Serial number of the debug probe, where there are several."""
    volume: Path | None = None
    """Where the drive of a boot loader or probe is mounted, where it is not found."""
    wait_seconds: float = 60.0
    """How long a person has to press a button, or a drive to appear."""
    to_loader: Callable[[], bool] = _nobody_to_ask
    """Asks the firmware that runs to reset into its boot loader; whether it said that it will."""
    say: Callable[[str], None] = _say_nothing
    progress: Callable[[str, int, int], None] = _no_progress


class Flasher(ABC):
    """One way to get an image onto a board: a `Launcher` or a `Writer`. To add one:

    1. Add its settings to `exporter/board/flashers.py`; boards list them under `flashers`.
    2. Create `exporter/flash/<name>.py` with one subclass, `class <Name>Flasher(Writer)`, with
       `name` as in the settings, and a line for it in `FLASHERS` of `exporter/flash/__init__.py`.
    3. Implement `write`: see there. Programs are run by `exporter.process` only; every wait has a
       deadline. Raise MissingTool for an absent program, port or drive, LinkFailed where the board
       does not answer or does not take the image, BadInput where it is another chip.
    4. Never write outside the image's pages, nor erase more than them; leave option bytes, fuses
       and protection alone, whatever the user says.
    5. Add `tests/flash/test_<name>.py`: the exact argument list of each program it runs, or the
       bytes of its protocol.
    """

    name: str


class Launcher(Flasher):
    """The image is a program, or runs in one: flashing is starting it."""

    @abstractmethod
    def start(self, board: Board, elf: Path, options: FlashOptions) -> RunningBoard:
        """Start the board with the image."""


class Writer(Flasher):
    """The image is written into a real board's flash.

    `port_kind` says what it writes through where that is a port of the user's: a `serial` one, or
    HOST:PORT of a `server`. Others find their probe or drive; their `FlashOptions.port` is what the
    user named, or the port of the board's link, where it is known.
    """

    port_kind: Literal["serial", "server"] | None = None

    def is_on_link(self, board: Board) -> bool:
        """Whether the serial port that it writes through is always that of the board's link, so
        that no other is looked for.
        """
        return False

    @abstractmethod
    def write(self, board: Board, image: Image, options: FlashOptions) -> None:
        """Check that it is this chip, write the image, compare what was written, start it.

        An interruption leaves a board that the same call repairs.
        """
