"""A model of an ESP32-C3 in its boot loader, from Espressif's "Serial Protocol", and a judge.

https://docs.espressif.com/projects/esptool/en/latest/esp32c3/advanced-topics/serial-protocol.html

ROM first; once a program was loaded into its RAM and started (MEM_END) it says OHAI as esptool's
flasher stub does, and answers as that. Nothing here runs the stub's code: what the document says of
it is what the model does. Its flash only clears bits and is erased by sectors.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from tests.flash.serial_model import SerialModel

# Commands: table "Supported by stub loader and ROM loader", and those after it.
FLASH_BEGIN, FLASH_DATA, FLASH_END = 0x02, 0x03, 0x04
MEM_BEGIN, MEM_END, MEM_DATA = 0x05, 0x06, 0x07
SYNC, WRITE_REG, READ_REG = 0x08, 0x09, 0x0A
SPI_SET_PARAMS, SPI_ATTACH, CHANGE_BAUDRATE = 0x0B, 0x0D, 0x0F
FLASH_DEFL_BEGIN, FLASH_DEFL_DATA, FLASH_DEFL_END = 0x10, 0x11, 0x12
SPI_FLASH_MD5, GET_SECURITY_INFO = 0x13, 0x14
ERASE_FLASH, ERASE_REGION, FLASH_ENCRYPTED_DATA = 0xD0, 0xD1, 0xD4

SECTOR = 4096
SYNC_VALUE = 0x20120707
"""Any but 0, by which esptool tells the ROM from its stub."""

# ESP32-C3 Technical Reference Manual, SPI1 and eFuse controller.
SPI1 = 0x60002000
SPI_COMMAND, SPI_USER2, SPI_W0 = SPI1, SPI1 + 0x20, SPI1 + 0x58
SPI_USER_BIT = 1 << 18
EFUSE, EFUSE_END = 0x60008800, 0x60008C00
EFUSE_SYS_3, EFUSE_SYS_5 = EFUSE + 0x50, EFUSE + 0x58
"""Of the chip's revision: bits 18 to 20 of the one; 23, 24 and 25 of the other."""
READ_ID, READ_SFDP, RESET_ENABLE, RESET = 0x9F, 0x5A, 0x66, 0x99
HARMLESS_SPI = {READ_ID, READ_SFDP, RESET_ENABLE, RESET}
SFDP = 0x50444653


@dataclass(frozen=True)
class Packet:
    """One request: SLIP taken off."""

    command: int
    checksum: int
    data: bytes


def slip(payload: bytes) -> bytes:
    """Low level protocol: 0xC0 at both ends; 0xDB becomes 0xDB 0xDD, 0xC0 0xDB 0xDC."""
    escaped = payload.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
    return b"\xc0" + escaped + b"\xc0"


class EspRom(SerialModel):
    """The chip. `weak` flash at these offsets loses a bit."""

    def __init__(
        self,
        *,
        flash_bytes: int = 4 << 20,
        chip_id: int = 5,
        security_flags: int = 0,
        crypt_count: int = 0,
        revision: tuple[int, int] = (0, 4),
        weak: tuple[int, ...] = (),
        cut_at_byte: int | None = None,
        flipped: tuple[int, ...] = (),
    ) -> None:
        super().__init__(cut_at_byte=cut_at_byte, flipped=flipped)
        self.flash = bytearray(b"\xa5" * flash_bytes)
        self.packets: list[Packet] = []
        self._security = struct.pack("<IB7xII", security_flags, crypt_count, chip_id, 3)
        self._weak = weak
        major, minor = revision
        self._registers = {
            EFUSE_SYS_3: (minor & 7) << 18,
            EFUSE_SYS_5: (minor >> 3) << 23 | major << 24,
        }

    # --- packets ---------------------------------------------------------------------------------

    def boot(self) -> None:
        self._stub = False
        self._baud = 0
        for packet in self._requests():
            if packet.command == SYNC and self.host_baud() != self._baud:
                self._stub = False  # heard at another rate: the lines have reset the chip
                self._baud = self.host_baud()
            self.packets.append(packet)
            self._obey(packet)

    def _requests(self) -> Iterator[Packet]:
        while True:
            payload = bytearray()
            while self.take(1) != b"\xc0":
                pass
            while not payload:
                payload += self._until_end()
            direction, command, size, checksum = struct.unpack_from("<BBHI", payload)
            data = bytes(payload[8:])
            if direction == 0 and len(data) == size:
                yield Packet(command, checksum, data)

    def _until_end(self) -> bytes:
        raw = bytearray()
        while (byte := self.take(1)) != b"\xc0":
            raw += byte
        return bytes(raw).replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")

    def _answer(self, packet: Packet, data: bytes = b"", value: int = 0, error: int = 0) -> None:
        """Status bytes: 2 of the stub, 4 of the ROM."""
        status = bytes([1 if error else 0, error]) + bytes(0 if self._stub else 2)
        data += status
        self.give(slip(struct.pack("<BBHI", 1, packet.command, len(data), value) + data))

    def _obey(self, packet: Packet) -> None:
        handler = {
            SYNC: self._sync,
            READ_REG: self._read_register,
            WRITE_REG: self._write_register,
            MEM_END: self._start,
            CHANGE_BAUDRATE: self._change_baud,
            GET_SECURITY_INFO: self._security_info,
            FLASH_BEGIN: self._begin,
            FLASH_DEFL_BEGIN: self._begin,
            FLASH_DATA: self._data,
            FLASH_DEFL_DATA: self._data,
            SPI_FLASH_MD5: self._md5,
            ERASE_REGION: self._erase_region,
            ERASE_FLASH: self._erase_flash,
        }.get(packet.command, self._answer)
        handler(packet)

    # --- commands --------------------------------------------------------------------------------

    def _sync(self, packet: Packet) -> None:
        for _ in range(8):
            self._answer(packet, value=0 if self._stub else SYNC_VALUE)

    def _security_info(self, packet: Packet) -> None:
        self._answer(packet, self._security)

    def _change_baud(self, packet: Packet) -> None:
        self._answer(packet)
        self._baud = struct.unpack_from("<I", packet.data)[0]

    def _start(self, packet: Packet) -> None:
        self._answer(packet)
        self._stub = True
        self.give(slip(b"OHAI"))

    def _read_register(self, packet: Packet) -> None:
        (address,) = struct.unpack("<I", packet.data)
        self._answer(packet, value=self._registers.get(address, 0))

    def _write_register(self, packet: Packet) -> None:
        address, value, mask, _ = struct.unpack_from("<IIII", packet.data)
        kept = self._registers.get(address, 0) & ~mask
        self._registers[address] = kept | value & mask
        if address == SPI_COMMAND and value & SPI_USER_BIT:
            self._registers[SPI_COMMAND] = 0  # done
            size_code = len(self.flash).bit_length() - 1
            answers = {READ_ID: size_code << 16 | 0x40EF, READ_SFDP: SFDP}
            opcode = self._registers.get(SPI_USER2, 0) & 0xFFFF
            self._registers[SPI_W0] = answers.get(opcode, 0)
        self._answer(packet)

    def _begin(self, packet: Packet) -> None:
        size, _, _, self._offset = struct.unpack_from("<IIII", packet.data)
        self._erase(self._offset, size)
        self._inflate = zlib.decompressobj() if packet.command == FLASH_DEFL_BEGIN else None
        self._end = self._offset + size
        self._answer(packet)

    def _data(self, packet: Packet) -> None:
        body = packet.data[16:]
        checksum = 0xEF
        for byte in body:
            checksum ^= byte
        if checksum != packet.checksum:
            self._answer(packet, error=0xC1 if self._stub else 0x07)
            return
        data = self._inflate.decompress(body) if self._inflate else body
        for place, byte in enumerate(data[: self._end - self._offset], self._offset):
            self.flash[place] &= byte & (0xFE if place in self._weak else 0xFF)
        self._offset += len(data)
        self._answer(packet)

    def _md5(self, packet: Packet) -> None:
        start, size = struct.unpack_from("<II", packet.data)
        digest = hashlib.md5(self.flash[start : start + size])
        self._answer(packet, digest.digest() if self._stub else digest.hexdigest().encode())

    def _erase_region(self, packet: Packet) -> None:
        self._erase(*struct.unpack("<II", packet.data))
        self._answer(packet)

    def _erase_flash(self, packet: Packet) -> None:
        self._erase(0, len(self.flash))
        self._answer(packet)

    def _erase(self, start: int, size: int) -> None:
        low, high = start // SECTOR * SECTOR, -(-(start + size) // SECTOR) * SECTOR
        self.flash[low:high] = b"\xff" * (high - low)


# --- the judge -----------------------------------------------------------------------------------


def judge(packets: list[Packet], low: int, high: int) -> list[str]:
    """What a flasher of an image in the sectors from `low` to `high` must never send."""
    wrong: list[str] = []
    opcode = 0
    for packet in packets:
        words = struct.unpack_from(f"<{min(len(packet.data) // 4, 5)}I", packet.data)
        if packet.command in (ERASE_FLASH, FLASH_ENCRYPTED_DATA):
            wrong.append(f"command 0x{packet.command:02X}")
        if packet.command in (FLASH_BEGIN, FLASH_DEFL_BEGIN, ERASE_REGION):
            start, size = words[:2] if packet.command == ERASE_REGION else (words[3], words[0])
            if size and not low <= start < start + size <= high:
                wrong.append(f"erases 0x{start:x} to 0x{start + size:x}")
            if len(words) > 4 and words[4]:
                wrong.append("encrypts")
        if packet.command == WRITE_REG:
            address, value = words[:2]
            if EFUSE <= address < EFUSE_END:
                wrong.append(f"writes the eFuse register 0x{address:x}")
            if address == SPI_USER2:
                opcode = value & 0xFFFF
            if address == SPI_COMMAND and value & SPI_USER_BIT and opcode not in HARMLESS_SPI:
                wrong.append(f"flash command 0x{opcode:02X}")
    return wrong
