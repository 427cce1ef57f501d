"""A model of a serial DFU boot loader as of Nordic's SDK 11: packets over HCI with SLIP.

nRF5 SDK v11, "DFU Transport: HCI/UART" and "Serial port packet": a header of four bytes (sequence
number, acknowledge number, integrity check and reliable packet; type 14 and length; checksum), the
payload, CRC-16-CCITT; between two 0xC0. Payloads begin with a type of 32 bits.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tests.flash.serial_model import SerialModel

INIT, START, DATA, STOP = 1, 3, 4, 5
APPLICATION = 4
PAGE = 4096
VENDOR_SPECIFIC = 14


def crc16(data: bytes) -> int:
    """CRC-16-CCITT, polynomial 0x1021, from 0xFFFF, the most significant bit first."""
    register = 0xFFFF
    for byte in data:
        register ^= byte << 8
        for _ in range(8):
            register = register << 1 ^ (0x1021 if register & 0x8000 else 0)
            register &= 0xFFFF
    return register


@dataclass(frozen=True)
class Packet:
    """One reliable packet that arrived whole."""

    sequence: int
    kind: int
    payload: bytes


class NrfLoader(SerialModel):
    """The chip: `flash` is all of it, the application begins at `origin`."""

    def __init__(
        self,
        flash_bytes: int,
        origin: int,
        *,
        device_type: int = 0x52,
        softdevice: int = 0xB6,
        answers: bool = True,
        cut_at_byte: int | None = None,
        flipped: tuple[int, ...] = (),
    ) -> None:
        super().__init__(cut_at_byte=cut_at_byte, flipped=flipped)
        self.flash = bytearray(b"\xa5" * flash_bytes)
        self.answers = answers
        self.packets: list[Packet] = []
        self.activated = False
        self._origin = origin
        self._device_type, self._softdevice = device_type, softdevice

    def boot(self) -> None:
        self._size = self._place = 0
        while True:
            raw = bytearray()
            while (byte := self.take(1)) != b"\xc0" or not raw:
                raw += byte if byte != b"\xc0" else b""
            frame = bytes(raw).replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
            packet = self._checked(frame)
            if packet is None or not self.answers:
                continue
            self.packets.append(packet)
            if self._obey(packet):
                self._acknowledge((packet.sequence + 1) % 8)

    def _checked(self, frame: bytes) -> Packet | None:
        head, payload = frame[:4], frame[4:-2]
        length = head[1] >> 4 | head[2] << 4
        whole = sum(head) & 0xFF == 0 and length == len(payload) and head[0] & 0xC0 == 0xC0
        if not whole or head[1] & 0xF != VENDOR_SPECIFIC:
            return None
        if int.from_bytes(frame[-2:], "little") != crc16(frame[:-2]):
            return None
        return Packet(head[0] & 7, int.from_bytes(payload[:4], "little"), payload[4:])

    def _acknowledge(self, number: int) -> None:
        head = bytes([number << 3, 0, 0])
        head += bytes([-sum(head) & 0xFF])
        escaped = head.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
        self.give(b"\xc0" + escaped + b"\xc0")

    def _obey(self, packet: Packet) -> bool:
        """Whether it is acknowledged."""
        if packet.kind == START:
            mode, softdevice, loader, self._size = struct.unpack("<IIII", packet.payload)
            if mode != APPLICATION or softdevice or loader:
                return False
            self._place = self._origin
            end = self._origin + -(-self._size // PAGE) * PAGE
            self.flash[self._origin : end] = b"\xff" * (end - self._origin)
        elif packet.kind == INIT:
            device, _, _, count = struct.unpack_from("<HHIH", packet.payload)
            wanted = struct.unpack_from(f"<{count}H", packet.payload, 10)
            (self._crc,) = struct.unpack_from("<H", packet.payload, 10 + 2 * count)
            return device == self._device_type and bool({self._softdevice, 0xFFFE} & {*wanted})
        elif packet.kind == DATA:
            for place, byte in enumerate(packet.payload, self._place):
                self.flash[place] &= byte
            self._place += len(packet.payload)
        elif packet.kind == STOP:
            image = bytes(self.flash[self._origin : self._origin + self._size])
            self.activated = crc16(image) == self._crc
            return self.activated
        return True
