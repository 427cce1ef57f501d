"""A model of Arduino's SAM-BA loader on an nRF52840, as ArduinoCore-mbed has it (nano33ble).

github.com/arduino/BOSSA, src/Samba.cpp: commands end in '#'; numbers are hexadecimal. Addresses
count from where a sketch begins. The loader knows I, K, N, S, V, X, Y and Z, and is silent at all
others: it cannot be read (R). X is answered and does nothing; Y erases the pages that it writes.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from functools import partial

from tests.flash.serial_model import SerialModel

PAGE = 4096
VERSION = "Arduino Bootloader (SAM-BA extended) 2.0 [Arduino:IKXYZ]"


class SambaLoader(SerialModel):
    """`version` is what it calls itself; the letters behind say what it can."""

    def __init__(self, flash_bytes: int, *, version: str = VERSION) -> None:
        super().__init__()
        self.flash = bytearray(b"\xa5" * flash_bytes)
        self.commands: list[str] = []
        self.reset = False
        self.spoilt: int | None = None
        """Where the flash loses its bits."""
        self._version = version
        self._buffer: dict[int, bytes] = {}
        self._source = 0

    def boot(self) -> None:
        while True:
            text = b""
            while (byte := self.take(1)) != b"#":
                text += byte
            self._obey(text.decode("ascii").strip("\0"))

    def _obey(self, text: str) -> None:
        self.commands.append(text)
        numbers = [int(number, 16) for number in text[1:].split(",") if number]
        handlers: dict[str, Callable[..., None]] = {
            "N": partial(self.give, b"\n\r"),
            "V": partial(self.give, f"{self._version}\n\r".encode()),
            "I": partial(self.give, b"nRF52840-QIAA\n\r"),
            "X": lambda start: self.give(b"X\n\r"),
            "S": self._receive,
            "Y": self._write,
            "Z": self._tell_crc,
            "K": self._reset,
        }
        handlers.get(text[:1], self._ignore)(*numbers)

    def _ignore(self, *numbers: int) -> None:
        """No answer."""

    def _receive(self, address: int, size: int) -> None:
        self._buffer[address] = self.take(size)

    def _write(self, address: int, size: int) -> None:
        if size == 0:
            self._source = address
        else:
            assert address % PAGE == size % PAGE == 0
            self.flash[address : address + size] = self._buffer[self._source][:size]
            if self.spoilt is not None and address <= self.spoilt < address + size:
                self.flash[self.spoilt] = 0
        self.give(b"Y\n\r")

    def _tell_crc(self, address: int, size: int) -> None:
        """CRC-16 from 0 on, polynomial 0x1021."""
        crc = binascii.crc_hqx(bytes(self.flash[address : address + size]), 0)
        self.give(f"Z{crc:08X}#\n\r".encode())

    def _reset(self) -> None:
        self.reset = True
