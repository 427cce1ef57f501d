"""frames.c and crc32.c through ctypes."""

from __future__ import annotations

import ctypes

CAPACITY = 5000
READY, BAD = 1, 2


class _Decoder(ctypes.Structure):
    """struct nano_frame_decoder of frames.h."""

    _fields_ = (
        ("data", ctypes.POINTER(ctypes.c_uint8)),
        ("capacity", ctypes.c_size_t),
        ("size", ctypes.c_size_t),
        ("body_bytes", ctypes.c_size_t),
        ("block_left", ctypes.c_uint8),
        ("zero_due", ctypes.c_bool),
        ("broken", ctypes.c_bool),
    )


class CFrames:
    """The C encoder, and the C decoder with a buffer of `CAPACITY` bytes."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        library.nano_crc32.restype = ctypes.c_uint32
        library.nano_frame_encode.restype = ctypes.c_size_t
        self._bytes = (ctypes.c_uint8 * CAPACITY)()
        self._decoder = _Decoder()
        self.bad_frames = 0
        self.reset()

    def reset(self) -> None:
        """A new decoder."""
        self.bad_frames = 0
        self.library.nano_frame_decoder_init(
            ctypes.byref(self._decoder), self._bytes, ctypes.c_size_t(CAPACITY)
        )

    def encode(self, body: bytes) -> bytes:
        """One frame, encoded in place in a buffer that is exactly as large as frames.h says."""
        offset = 2 + (len(body) + 4) // 254  # NANO_FRAME_BODY_OFFSET
        size = offset + len(body) + 4 + 1  # NANO_FRAME_BUFFER_BYTES
        fence = 0xEE
        buffer = (ctypes.c_uint8 * (size + 1))(*bytes(offset), *body, *bytes(5), fence)
        used = self.library.nano_frame_encode(
            buffer, ctypes.c_size_t(offset), ctypes.c_size_t(len(body))
        )
        assert used <= size and buffer[size] == fence
        return bytes(buffer[:used])

    def decode(self, data: bytes) -> list[bytes]:
        """The bodies of the frames that `data` completes."""
        bodies = []
        for byte in data:
            event = self.library.nano_frame_decode(
                ctypes.byref(self._decoder), ctypes.c_uint8(byte)
            )
            if event == READY:
                bodies.append(bytes(self._bytes[: self._decoder.body_bytes]))
            self.bad_frames += event == BAD
        return bodies
