"""Frames of the link: a body and its CRC-32, COBS-encoded, between two 0x00 delimiters.

The byte table is in PROTOCOL.md, "Frames"; `firmware_templates/runtime/frames.c` is the other side.
"""

from __future__ import annotations

import zlib

from cobs import cobs

DELIMITER = b"\x00"
CRC_BYTES = 4
MAX_BODY_BYTES = 10 + 32768
"""Longest body a device may state: header and the largest payload."""
_MAX_ENCODED_BYTES = MAX_BODY_BYTES + CRC_BYTES + (MAX_BODY_BYTES + CRC_BYTES) // 254 + 1


def encode(body: bytes) -> bytes:
    """One whole frame that carries `body`, both delimiters included."""
    crc = zlib.crc32(body).to_bytes(CRC_BYTES, "little")
    encoded: bytes = cobs.encode(body + crc)
    return DELIMITER + encoded + DELIMITER


def decode(encoded: bytes) -> bytes | None:
    """The body of what stood between two delimiters; None where it is cut or its CRC differs."""
    try:
        data: bytes = cobs.decode(encoded)
    except cobs.DecodeError:
        return None
    body, crc = data[:-CRC_BYTES], data[-CRC_BYTES:]
    if len(data) < CRC_BYTES or zlib.crc32(body).to_bytes(CRC_BYTES, "little") != crc:
        return None
    return body


class Decoder:
    """Finds frames in a stream of bytes that arrive in any portions."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self.bad_frames = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take received bytes; return the bodies of the frames they complete."""
        *ended, rest = (bytes(self._pending) + data).split(DELIMITER)
        self._pending = bytearray(rest[: _MAX_ENCODED_BYTES + 1])
        bodies = []
        for encoded in ended:
            body = decode(encoded) if 0 < len(encoded) <= _MAX_ENCODED_BYTES else None
            if body is not None:
                bodies.append(body)
            elif encoded:
                self.bad_frames += 1
        return bodies

    def take_bad_frames(self) -> int:
        """Frames that were cut or damaged since this was asked last."""
        taken, self.bad_frames = self.bad_frames, 0
        return taken
