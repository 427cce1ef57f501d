"""The image format of Espressif's chips, as their boot loader in ROM reads it from flash.

ESP-IDF Programming Guide, "Firmware Image Format", after a header of 24 bytes the segments, each
with address and length; a checksum at the end of a row of 16 bytes, then SHA-256 of all before it
where the header says so.
"""

from __future__ import annotations

import hashlib
import struct
from functools import reduce
from operator import xor

from exporter.build.image import Image, Segment
from exporter.errors import BadInput

_MAGIC = 0xE9
_HEADER = struct.Struct("<BBBBI4xH9xB")
"""Magic, number of segments, flash mode, size and speed, entry; then chip id, hash appended."""
_HEADER_BYTES = 24
_SEGMENT = struct.Struct("<II")
_CHECKSUM_SEED = 0xEF
_ROW_BYTES = 16
_DIO = 2
_FREQUENCY_40M = 0


def is_one(data: bytes) -> bool:
    """Whether it begins as such an image."""
    return data[:1] == bytes([_MAGIC])


def read(data: bytes) -> Image:
    """Its segments, at the addresses that the ROM copies them to.

    Raises BadInput where it is cut off, or its checksum or hash is wrong.
    """
    if len(data) < _HEADER_BYTES:
        raise _broken("it is cut off")
    _, count, _, _, entry, _, hashed = _HEADER.unpack_from(data)
    offset, checksum, pieces = _HEADER_BYTES, _CHECKSUM_SEED, []
    for _ in range(count):
        if offset + _SEGMENT.size > len(data):
            raise _broken("it is cut off")
        address, length = _SEGMENT.unpack_from(data, offset)
        offset += _SEGMENT.size
        pieces.append(Segment(address, data[offset : offset + length]))
        offset += length
        checksum = reduce(xor, pieces[-1].data, checksum)
    end = offset // _ROW_BYTES * _ROW_BYTES + _ROW_BYTES  # the checksum is the last byte of a row
    if len(data) < end + 32 * hashed:
        raise _broken("it is cut off")
    if data[end - 1] != checksum:
        raise _broken(f"its checksum is 0x{data[end - 1]:02X}, of its bytes 0x{checksum:02X}")
    if hashed and data[end : end + 32] != hashlib.sha256(data[:end]).digest():
        raise _broken("its SHA-256 is that of other bytes")
    return Image.of(pieces, entry)


def written(image: Image, chip_id: int, flash_bytes: int) -> bytes:
    """The file of an image whose segments the ROM copies to RAM. Raises BadInput without an entry.

    Flash in DIO mode at 40 MHz, as every module's can.
    """
    if image.entry is None:
        raise BadInput("the image does not say where it starts", next_step="flash its ELF file")
    size_code = (flash_bytes >> 20).bit_length() - 1
    head = (_MAGIC, len(image.segments), _DIO, size_code << 4 | _FREQUENCY_40M, image.entry)
    data = _HEADER.pack(*head, chip_id, 1)
    checksum = _CHECKSUM_SEED
    for segment in image.segments:
        body = segment.data + bytes(-len(segment.data) % 4)
        data += _SEGMENT.pack(segment.address, len(body)) + body
        checksum = reduce(xor, body, checksum)
    data += bytes(_ROW_BYTES - 1 - len(data) % _ROW_BYTES) + bytes([checksum])
    return data + hashlib.sha256(data).digest()


def _broken(why: str) -> BadInput:
    return BadInput(
        "the ESP image is broken", value=why, next_step="make it anew: esptool elf2image FILE"
    )
