"""Streams that a loader may hear: random bytes, and commands with a part of them wrong."""

from __future__ import annotations

import random
import struct

from exporter.build.loader_header import header_of
from tests.boot_loader.host import LAYOUT, address, checked, command, erase, go, read, write

_EDGES = (
    0,
    LAYOUT.application_origin,
    LAYOUT.image_origin,
    LAYOUT.flash_end,
    LAYOUT.ram_origin,
    1 << 32,
)


def streams(seed: int, count: int) -> bytes:
    """`count` streams as `host.c` reads them."""
    rng = random.Random(seed)
    made = (_stream(rng) for _ in range(count))
    return b"".join(len(stream).to_bytes(4, "little") + stream for stream in made)


def _stream(rng: random.Random) -> bytes:
    parts = [_command(rng) for _ in range(rng.randrange(1, 6))]
    stream = bytearray(b"".join(parts))
    for _ in range(rng.choice((0, 0, 1, 3))):
        stream[rng.randrange(len(stream))] = rng.randrange(256)
    return bytes(stream[: rng.choice((len(stream), rng.randrange(1, len(stream) + 1)))])


def _command(rng: random.Random) -> bytes:
    size = rng.choice((1, 4, 8, 252, 256, rng.randrange(1, 257)))
    kinds = (
        lambda: rng.randbytes(rng.randrange(1, 40)),
        lambda: write(_address(rng), rng.choice((rng.randbytes(size), b"\xff" * size))),
        lambda: read(_address(rng), size),
        lambda: go(_address(rng)),
        lambda: erase(*(_page(rng) for _ in range(rng.randrange(1, 20)))),
        lambda: erase() if rng.random() < 0.2 else command(0x44) + rng.randbytes(5),
        lambda: command(0x31) + address(_address(rng)) + checked(rng.randbytes(9)),
        lambda: command(rng.randrange(256)),
        lambda: _application(rng),
    )
    return rng.choice(kinds)()


def _application(rng: random.Random) -> bytes:
    """An image that can be started, or that lies about its length."""
    origin = LAYOUT.application_origin
    vectors = struct.pack("<II", LAYOUT.ram_end, LAYOUT.image_origin + 9)
    image = vectors + rng.randbytes(4 * rng.randrange(1, 60))
    header = bytearray(header_of(image))
    if rng.random() < 0.5:
        room = LAYOUT.flash_end - LAYOUT.image_origin
        length = rng.choice((0, 4, room, room + 4, 2 * room, 1 << 31, (1 << 32) - 4))
        header[4:8] = length.to_bytes(4, "little")
    page = origin // LAYOUT.page_bytes
    written = write(LAYOUT.image_origin, image) + write(origin, bytes(header))
    return erase(page) + written + go(origin)


def _address(rng: random.Random) -> int:
    near = rng.choice(_EDGES) + rng.choice((-256, -8, -4, -1, 0, 1, 4, 8, 256))
    inside = rng.randrange(LAYOUT.application_origin, LAYOUT.flash_end, 4)
    return rng.choice((near, inside, inside, rng.getrandbits(32))) % (1 << 32)


def _page(rng: random.Random) -> int:
    last = LAYOUT.flash_end // LAYOUT.page_bytes - 1
    first = LAYOUT.application_origin // LAYOUT.page_bytes
    good = rng.randrange(first, last + 1)
    return rng.choice((*(20 * (good,)), 0, first - 1, last + 1, 0xFFFF))
