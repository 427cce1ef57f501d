"""An emulated board whose flash outlives its power: QEMU, its machine protocol, its GDB stub.

QEMU would write an image given to it anew at each reset, so it is given none: the flash is put into
memory through the GDB stub, and read out before the power goes. RAM is lost, as it should be.
"""

from __future__ import annotations

import contextlib
import json
import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from exporter import process
from exporter.board import Board

_SECONDS = 60.0
_WRITE_BYTES = 1024


class Qmp:
    """QEMU's machine protocol on a connected socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._connection.settimeout(_SECONDS)
        self._lines = connection.makefile("rb")
        self._lines.readline()
        self._resets = 0
        self.do("qmp_capabilities")

    def do(self, command: str, **arguments: Any) -> Any:
        """The value that a command returns."""
        request = {"execute": command, "arguments": arguments}
        self._connection.sendall(json.dumps(request).encode() + b"\n")
        return next(answer["return"] for answer in self._answers(command) if "return" in answer)

    def reset(self) -> None:
        """Reset the machine; returns when that is done, which the command itself does not."""
        self._resets = 0
        self.do("system_reset")
        answers = self._answers("system_reset")
        while self._resets == 0:
            next(answers)

    def _answers(self, command: str) -> Iterator[dict[str, Any]]:
        while line := self._lines.readline():
            answer: dict[str, Any] = json.loads(line)
            assert "error" not in answer, answer
            self._resets += answer.get("event") == "RESET"
            yield answer
        raise ConnectionError(f"QEMU ended during {command}")

    def close(self) -> None:
        """End the conversation."""
        self._lines.close()
        self._connection.close()


class Gdb:
    """GDB's remote protocol, as much of it as is needed here."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._connection.settimeout(_SECONDS)
        self._received = b""

    def ask(self, packet: str) -> str:
        """The reply to a packet; of one that lets the machine run, why it stopped."""
        self.send(packet)
        return self.reply()

    def send(self, packet: str) -> None:
        """Send a packet whose reply comes later, if ever."""
        body = packet.encode()
        self._connection.sendall(b"$%s#%02x" % (body, sum(body) & 0xFF))

    def reply(self) -> str:
        """The next packet. Raises ConnectionError where the stub is gone."""
        while b"#" not in self._received or len(self._received.split(b"#", 1)[1]) < 2:
            data = self._connection.recv(4096)
            if not data:
                raise ConnectionError("the machine is gone")
            self._received += data
        packet, rest = self._received.split(b"#", 1)
        self._received = rest[2:]
        self._connection.sendall(b"+")
        return packet[packet.index(b"$") + 1 :].decode()

    def write(self, address: int, data: bytes) -> None:
        """Put bytes into memory, flash included."""
        for start in range(0, len(data), _WRITE_BYTES):
            piece = data[start : start + _WRITE_BYTES]
            reply = self.ask(f"M{address + start:x},{len(piece):x}:{piece.hex()}")
            assert reply == "OK", reply

    def first_argument(self) -> int:
        """Of the function that is about to begin: r0, the first of all registers."""
        return int.from_bytes(bytes.fromhex(self.ask("g")[:8]), "little")

    def step_over(self, address: int) -> None:
        """One instruction at a breakpoint, which is set again afterwards."""
        self.ask(f"z0,{address:x},2")
        self.ask("s")
        self.ask(f"Z0,{address:x},2")

    def close(self) -> None:
        """End the conversation."""
        self._connection.close()


@dataclass(frozen=True)
class Stop:
    """A place of the loader's code: a function with a first argument in [start, end), and how many
    such calls are let pass.
    """

    function: int
    start: int
    end: int
    passed: int = 0


class Machine:
    """A board with its power switch and its reset button; the power is off at first.

    `flash` is what the flash has while the power is off.
    """

    def __init__(self, board: Board, flash: bytes) -> None:
        assert board.emulator is not None
        self.board = board
        self.flash = flash
        self.reached: int | None = None
        """The argument at the last of the stops: the address of a page or word about to change."""
        self._origin = board.region("flash").origin
        self._emulator = board.emulator
        self._powered: contextlib.ExitStack | None = None
        self._cutting = threading.Lock()
        self._off = threading.Event()
        self._off.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cut()

    @property
    def on(self) -> bool:
        """Whether the board has power."""
        return self._powered is not None

    def power_on(self, stops: Sequence[Stop] = ()) -> None:
        """Switch the power on; with `stops` it goes when the last of them is reached, in order."""
        with contextlib.ExitStack() as started:
            self._start(started)
            self._gdb.write(self._origin, self.flash)
            self._qmp.reset()  # the core reads its vectors
            (line,) = [c for c in self._qmp.do("query-chardev") if c["label"] == "link"]
            self.port = "socket://" + line["filename"].split("tcp:", 1)[1].split(",")[0]
            self._powered = started.pop_all()
            self._off.clear()
        if stops:
            threading.Thread(target=self._watch, args=(stops,), daemon=True).start()
        else:
            self._qmp.do("cont")

    def reset(self) -> None:
        """Press the reset button: RAM is kept."""
        self._qmp.reset()

    def cut(self) -> None:
        """Switch the power off, wherever the board is; its flash is kept."""
        with self._cutting:
            if self._powered is None:
                return
            self._qmp.do("stop")
            self.flash = self.read_flash()
            powered, self._powered = self._powered, None
            powered.close()
            self._off.set()

    def wait_until_off(self) -> None:
        """Until the power is gone by itself. Raises AssertionError where it stays."""
        assert self._off.wait(_SECONDS), "the board never came to where its power is cut"

    def read_flash(self) -> bytes:
        """All that the flash has now, as long as what was put into it at first, or longer."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "flash"
            region = self.board.region("flash")
            size = min(region.bytes, max(len(self.flash), 1 << 18))
            self._qmp.do("memsave", val=self._origin, size=size, filename=str(path))
            return path.read_bytes()

    def _start(self, started: contextlib.ExitStack) -> None:
        control, qmp = _pair(started)
        debugger, gdb = _pair(started)
        argv = [
            self._emulator.program,
            *("-machine", self._emulator.machine, *self._emulator.arguments),
            *("-display", "none", "-nodefaults", "-nic", "none", "-S"),
            *("-chardev", f"socket,id=control,fd={qmp.fileno()}"),
            *("-mon", "chardev=control,mode=control"),
            *("-chardev", f"socket,id=debug,fd={gdb.fileno()}", "-gdb", "chardev:debug"),
            *("-chardev", "socket,id=link,host=127.0.0.1,port=0,server=on,wait=off,nodelay=on"),
            *("-serial", "chardev:link"),
        ]
        child = process.spawn(argv, pass_fds=(qmp.fileno(), gdb.fileno()))
        started.callback(child.stop)
        self._child = child
        qmp.close()
        gdb.close()
        self._qmp, self._gdb = Qmp(control), Gdb(debugger)
        started.callback(self._qmp.close)
        started.callback(self._gdb.close)

    def _watch(self, stops: Sequence[Stop]) -> None:
        with contextlib.suppress(OSError):  # the power went otherwise
            for stop in stops:
                self._run_to(stop)
            self.cut()

    def _run_to(self, stop: Stop) -> None:
        left = stop.passed
        self._gdb.ask(f"Z0,{stop.function:x},2")
        while True:
            self._gdb.ask("c")
            argument = self._gdb.first_argument()
            if stop.start <= argument < stop.end:
                if left == 0:
                    self.reached = argument
                    break
                left -= 1
            self._gdb.step_over(stop.function)
        self._gdb.ask(f"z0,{stop.function:x},2")


def _pair(started: contextlib.ExitStack) -> tuple[socket.socket, socket.socket]:
    ends = socket.socketpair()
    for end in ends:
        started.callback(end.close)
    return ends
