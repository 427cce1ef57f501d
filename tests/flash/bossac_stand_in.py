"""What Arduino's bossac does with the arguments that we give it: github.com/arduino/BOSSA.

Debian's package has no bossac that knows the nRF52840. This one says to the port what Arduino's
does (src/Samba.cpp, src/Flasher.cpp of its branch `nrf`): the flasher meets a loader in the tests.
"""

from __future__ import annotations

import argparse
import binascii
import sys
from collections.abc import Iterator
from pathlib import Path

import serial

PAGE = 4096


def command(port: serial.Serial, text: str, answer: int) -> bytes:
    port.write(f"{text}#".encode())
    return port.read(answer)


def pages(start: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    for place in range(0, len(data), PAGE):
        page = data[place : place + PAGE]
        yield start + place, page + bytes(PAGE - len(page))  # zeros, not erased bytes
        done = min(place + PAGE, len(data))
        print(
            f"\r[=] {100 * done // len(data)}% ({done // PAGE}/{len(data) // PAGE} pages)", end=""
        )


def write(port: serial.Serial, start: int, data: bytes) -> None:
    for address, page in pages(start, data):
        command(port, f"S{0:08X},{PAGE:08X}", 0)
        port.write(page)
        command(port, f"Y{0:08X},0", 3)
        command(port, f"Y{address:08X},{PAGE:08X}", 3)


def verify(port: serial.Serial, start: int, data: bytes) -> bool:
    """Where a CRC differs, bossac reads the page: this loader does not answer."""
    for address, page in pages(start, data):
        told = command(port, f"Z{address:08X},{PAGE:08X}", 12)
        if int(told[1:9], 16) != binascii.crc_hqx(page, 0):
            return len(command(port, f"R{address:08X},{63:08X}", 63)) == 63
    return True


def main() -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--port", required=True)
    parser.add_argument("--offset", type=lambda text: int(text, 0), default=0)
    for flag in ("--usb-port", "--info", "--erase", "--write", "--verify", "--reset"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("file", type=Path, nargs="?")
    given = parser.parse_args()
    with serial.Serial(given.port, 921600, timeout=1) as port:
        command(port, "N", 2)
        port.write(b"V#")
        version = port.read_until(b"\n\r")
        if b"I" not in version.partition(b"[Arduino:")[2] or not given.usb_port:
            print("\nDevice unsupported", file=sys.stderr)
            return 1
        chip = command(port, "I", 15).decode().strip()
        if given.info:
            print(f"Device       : {chip}\nVersion      : {version.decode().strip()}")
        if given.erase:
            command(port, f"X{given.offset:08X}", 3)
        if given.write:
            write(port, given.offset, given.file.read_bytes())
        if given.verify and not verify(port, given.offset, given.file.read_bytes()):
            print("\nSAM-BA operation failed", file=sys.stderr)
            return 1
        if given.reset:
            command(port, "K", 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
