"""stm32loader in a process of its own: `python -m exporter.foreign.stm32loader_worker`.

It is a program under the GPL, which nanoexport is not: both exchange messages, nothing else.

Requests (see exporter/worker.py):

    open      fields: port, baud, parity ("even" or "none"), family,
                      answer_seconds, the most that any command takes -> nothing
    close                            -> nothing; the port is free until the next `open`
    answers   fields: seconds        -> fields: answers, whether the boot loader is there by then
    identify                         -> fields: version, product_id, extended_erase
    readable  fields: address        -> fields: readable, False where the chip protects its flash
    erase     fields: pages          -> nothing
    write     fields: address; arrays: uint8 [bytes]                 -> nothing
    read      fields: address, bytes -> arrays: uint8 [bytes]
    go        fields: address        -> nothing

No other command of the boot loader is ever sent: no protection, no option byte, no global erase.
"""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import serial

from exporter.errors import InternalError, LinkFailed, MissingTool
from exporter.foreign.processes import complaint
from exporter.worker import Message, Progress, serve

_ACK, _NACK, _SYNCHRONIZE = 0x79, 0x1F, 0x7F
_SYNC_SECONDS = 0.25
_POLL_SECONDS = 0.05
"""The port's own time-out, never changed: rfc2217:// negotiates anew with each change."""
_WRITE_SECONDS = 30.0
_DONE = Message("done")


class Line:
    """The port as stm32loader uses it; a frame that it makes of parts is sent in one piece.

    A process that ends between two parts would leave the loader in the middle of a command.
    """

    def __init__(self, port: Any, answer_seconds: float) -> None:
        self._port = port
        self._frame = bytearray()
        self._longest = answer_seconds
        self.timeout = answer_seconds
        """stm32loader sets it, too: more than `answer_seconds` is not kept."""

    def write(self, data: bytes) -> None:
        """Part of a frame."""
        self._frame += data

    def read(self, count: int = 1) -> bytes:
        """The answer to the frame; fewer bytes where the time is over."""
        if self._frame:
            self._port.write(bytes(self._frame))
            self._frame.clear()
        deadline = time.monotonic() + min(self.timeout, self._longest)
        answer = bytes(self._port.read(count))
        while len(answer) < count and time.monotonic() < deadline:
            answer += bytes(self._port.read(count - len(answer)))
        return answer

    def close(self) -> None:
        """Give the port back."""
        self._port.close()

    def forget(self) -> None:
        """Drop what has come in."""
        self._port.reset_input_buffer()


class Loader:
    """The boot loader at the other end of the line."""

    def __init__(self) -> None:
        self._line: Line
        self._loader: Any

    def open(self, request: Message, progress: Progress) -> Message:
        """Take the port. DTR and RTS are set before it is opened."""
        fields = request.fields
        library = _library()
        parity = {"even": serial.PARITY_EVEN, "none": serial.PARITY_NONE}[fields["parity"]]
        try:
            port = serial.serial_for_url(
                fields["port"],
                do_not_open=True,
                baudrate=fields["baud"],
                parity=parity,
                timeout=_POLL_SECONDS,
            )
            port.dtr, port.rts = True, True
            if "://" not in fields["port"]:
                port.exclusive = True
                port.write_timeout = _WRITE_SECONDS
            port.open()
        except (serial.SerialException, OSError, ValueError) as error:
            raise MissingTool(
                f"the port {fields['port']} cannot be opened",
                value=error,
                next_step="check that the board is connected and that no other program has it",
            ) from error
        self._line = Line(port, fields["answer_seconds"])
        self._loader = library.Stm32Bootloader(
            self._line, device_family=fields["family"], verbosity=0
        )
        return _DONE

    def close(self, request: Message, progress: Progress) -> Message:
        """Let another have the port: the one who asks the firmware to go to its loader."""
        self._line.close()
        return _DONE

    def answers(self, request: Message, progress: Progress) -> Message:
        """Synchronise (AN3155, section 1), again and again until the time is over.

        A loader that was synchronised before takes the second 0x7F for a wrong complement: NACK.
        """
        deadline = time.monotonic() + request.fields["seconds"]
        usual, self._line.timeout = self._line.timeout, _SYNC_SECONDS
        answer = b""
        with _told("synchronise"):
            self._line.forget()
            while answer not in (bytes([_ACK]), bytes([_NACK])) and time.monotonic() < deadline:
                self._line.write(bytes([_SYNCHRONIZE]))
                answer = self._line.read()
                progress("waiting")
        self._line.timeout = usual
        return Message("done", {"answers": answer in (bytes([_ACK]), bytes([_NACK]))})

    def identify(self, request: Message, progress: Progress) -> Message:
        """Get, and Get ID."""
        with _told("say who it is"):
            version = self._loader.get()
            product_id = self._loader.get_id()
        fields = {
            "version": version,
            "product_id": product_id,
            "extended_erase": self._loader.extended_erase,
        }
        return Message("done", fields)

    def readable(self, request: Message, progress: Progress) -> Message:
        """Try to read a word: all that a protected chip says is NACK."""
        refused = _library().CommandError
        with _told("read"):
            try:
                self._loader.read_memory(request.fields["address"], 4)
            except refused as error:
                if "NACK" not in str(error):
                    raise
                return Message("done", {"readable": False})
        return Message("done", {"readable": True})

    def erase(self, request: Message, progress: Progress) -> Message:
        """These pages and no others."""
        pages = request.fields["pages"]
        if not pages:  # stm32loader takes an empty list for the whole chip
            raise InternalError("no page to erase")
        with _told(f"erase the pages {pages[0]} to {pages[-1]}"):
            self._loader.erase_memory(pages)
        return _DONE

    def write(self, request: Message, progress: Progress) -> Message:
        """At most 256 bytes."""
        address, data = request.fields["address"], request.arrays[0].tobytes()
        with _told(f"write {len(data)} bytes to 0x{address:08X}"):
            self._loader.write_memory(address, data)
        return _DONE

    def read(self, request: Message, progress: Progress) -> Message:
        """At most 256 bytes."""
        address, count = request.fields["address"], request.fields["bytes"]
        with _told(f"read {count} bytes from 0x{address:08X}"):
            data = self._loader.read_memory(address, count)
            if len(data) < count:
                raise EOFError
        return Message("done", arrays=[np.frombuffer(bytes(data), np.uint8)])

    def go(self, request: Message, progress: Progress) -> Message:
        """Start what is at this address."""
        with _told("start the image"):
            self._loader.go(request.fields["address"])
        return _DONE


def _library() -> Any:
    try:
        return importlib.import_module("stm32loader.bootloader")
    except ImportError as error:
        raise MissingTool(
            "boards with an STM32 boot loader need stm32loader, which is not installed",
            value=complaint(error, ""),
            next_step='pip install "nanoexport[flash]"',
        ) from error


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """What goes wrong meanwhile, as the person at the board is told."""
    bootloader = _library()
    again = "reset the board into its boot loader and flash it again: that is always possible"
    try:
        yield
    except bootloader.CommandError as error:
        words = {"NACK": "refuses", "timeout": "stopped answering when it was"}
        how = next((how for sign, how in words.items() if sign in str(error)), None)
        raise LinkFailed(
            f"the boot loader {how or 'answered nonsense when it was'} to {what}",
            value=None if how else error,
            next_step=again,
        ) from error
    except (EOFError, IndexError, bootloader.DataLengthError) as error:  # an answer cut short
        raise LinkFailed(
            f"the boot loader stopped answering when it was to {what}", next_step=again
        ) from error
    except (serial.SerialException, OSError) as error:
        raise LinkFailed(
            f"the connection broke when the boot loader was to {what}",
            value=error,
            next_step=f"check the cable, then {again}",
        ) from error


def main() -> None:
    """Serve until the requests end."""
    loader = Loader()
    serve(
        {
            "open": loader.open,
            "close": loader.close,
            "answers": loader.answers,
            "identify": loader.identify,
            "readable": loader.readable,
            "erase": loader.erase,
            "write": loader.write,
            "read": loader.read,
            "go": loader.go,
        }
    )


if __name__ == "__main__":
    main()
