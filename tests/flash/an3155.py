"""A model of the boot loader in ROM of an STM32, from ST's AN3155 Rev 14, and a judge of hosts.

The model is of the chip: its flash only clears bits when it is written to and sets them when a page
is erased, it executes every command, the dangerous ones too, and it keeps what the host sent as
frames. `judge` reads those frames by itself, knowing the protocol but neither the model nor any
flasher, and says what a flasher of ours must never do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import xor

from exporter.board import Board
from exporter.build.image import Image, pages, pages_of
from tests.flash.serial_model import PowerLost, SerialModel

ACK, NACK = b"\x79", b"\x1f"  # AN3155, section 3
SYNCHRONIZE = 0x7F  # section 1

GET, GET_VERSION, GET_ID = 0x00, 0x01, 0x02  # sections 3.1 to 3.3
READ, GO, WRITE = 0x11, 0x21, 0x31  # sections 3.4 to 3.6
ERASE, EXTENDED_ERASE = 0x43, 0x44  # sections 3.7 and 3.8
WRITE_PROTECT, WRITE_UNPROTECT = 0x63, 0x73  # sections 3.9 and 3.10
READOUT_PROTECT, READOUT_UNPROTECT = 0x82, 0x92  # sections 3.11 and 3.12
PROTECTIONS = (WRITE_PROTECT, WRITE_UNPROTECT, READOUT_PROTECT, READOUT_UNPROTECT)
ALWAYS_ALLOWED = (GET, GET_VERSION, GET_ID, READOUT_UNPROTECT)  # table 2, note 2: with RDP on


@dataclass(frozen=True)
class Frame:
    """What the host sent, up to the device's next answer."""

    sent: bytes
    answer: bytes


class Stm32Rom(SerialModel):
    """The chip of `board`, in its boot loader; at the addresses `weak` its flash loses a bit.

    `words` can be read beside the flash: option bytes.
    """

    def __init__(
        self,
        board: Board,
        *,
        product_id: int,
        first_page: int = 0,
        extended: bool = True,
        protected: bool = False,
        confirms_go: bool = True,
        weak: Collection[int] = (),
        words: Mapping[int, int] | None = None,
        in_loader: bool = True,
        cut_at_byte: int | None = None,
        flipped: tuple[int, ...] = (),
    ) -> None:
        super().__init__(cut_at_byte=cut_at_byte, flipped=flipped)
        self.region = board.region("flash")
        self.pages = {page.number + first_page: page for page in pages(self.region)}
        self.flash = bytearray(b"\xa5" * self.region.bytes)
        self.option_bytes_changed = False
        self.started_at: int | None = None
        self.frames: list[Frame] = []
        self.in_loader = in_loader
        self._product_id = product_id
        self._erase = EXTENDED_ERASE if extended else ERASE
        self._protected = protected
        self._confirms_go = confirms_go
        self._weak = weak
        self._words = words or {}

    def boot(self) -> None:
        self.frames.append(Frame(b"", b""))  # what came before is cut off
        while not self.in_loader:  # a firmware, which knows nothing of all this
            self.take(1)
        while self.take(1)[0] != SYNCHRONIZE:
            pass
        self._answer(bytes([SYNCHRONIZE]), ACK)
        while True:
            self._command()

    def _answer(self, sent: bytes, answer: bytes) -> bool:
        self.frames.append(Frame(sent, answer))
        self.give(answer)
        return answer[:1] == ACK

    def _command(self) -> None:
        frame = self.take(2)
        command = frame[0]
        known = {
            GET: self._get,
            GET_VERSION: self._get_version,
            GET_ID: self._get_id,
            READ: self._read,
            GO: self._go,
            WRITE: self._write,
            self._erase: self._extended_erase if self._erase == EXTENDED_ERASE else self._erase_old,
            **dict.fromkeys(PROTECTIONS, self._protect),
        }
        forbidden = self._protected and command not in ALWAYS_ALLOWED
        if command ^ frame[1] != 0xFF or command not in known or forbidden:
            self._answer(frame, NACK)
        else:
            known[command](frame)

    def _get(self, frame: bytes) -> None:
        commands = [GET, GET_VERSION, GET_ID, READ, GO, WRITE, self._erase, *PROTECTIONS]
        self._answer(frame, ACK + bytes([len(commands), 0x31, *commands]) + ACK)

    def _get_version(self, frame: bytes) -> None:
        self._answer(frame, ACK + bytes([0x31, 0, 0]) + ACK)

    def _get_id(self, frame: bytes) -> None:
        self._answer(frame, ACK + b"\x01" + self._product_id.to_bytes(2, "big") + ACK)

    def _address(self) -> int | None:
        """Four bytes and their XOR; None where the address is none of the flash."""
        frame = self.take(5)
        address = int.from_bytes(frame[:4], "big")
        known = self.region.origin <= address < self.region.end or address in self._words
        valid = reduce(xor, frame) == 0 and known
        return address if self._answer(frame, ACK if valid else NACK) else None

    def _read(self, frame: bytes) -> None:
        self._answer(frame, ACK)
        address = self._address()
        if address is None:
            return
        frame = self.take(2)
        offset = address - self.region.origin
        data = bytes(self.flash[offset : offset + frame[0] + 1])
        if address in self._words:
            data = self._words[address].to_bytes(4, "little")
        self._answer(frame, ACK + data if frame[0] ^ frame[1] == 0xFF else NACK)

    def _go(self, frame: bytes) -> None:
        self._answer(frame, ACK if self._confirms_go else b"")
        self.started_at = self._address()

    def _write(self, frame: bytes) -> None:
        self._answer(frame, ACK)
        address = self._address()
        if address is None:
            return
        head = self.take(1)
        offset, rest = address - self.region.origin, b""
        try:
            rest = self.take(head[0] + 2)
        except PowerLost:  # what has come in is half programmed
            self._program(offset, bytes(head[0] // 2))
            raise
        valid = reduce(xor, head + rest) == 0 and (head[0] + 1) % 4 == 0
        if valid:
            self._program(offset, rest[:-1])
        self._answer(head + rest, ACK if valid else NACK)

    def _program(self, offset: int, data: bytes) -> None:
        for place, byte in enumerate(data, offset):
            kept = 0xFE if place + self.region.origin in self._weak else 0xFF
            self.flash[place] &= byte & kept

    def _erase_old(self, frame: bytes) -> None:
        self._answer(frame, ACK)
        head = self.take(1)
        numbers = self.take(1 if head == b"\xff" else head[0] + 2)
        if head == b"\xff":
            self._answer(head + numbers, ACK if numbers == b"\x00" else NACK)
            self._clear([*self.pages])
        else:
            self._finish_erase(head + numbers, list(numbers[:-1]))

    def _extended_erase(self, frame: bytes) -> None:
        self._answer(frame, ACK)
        head = self.take(2)
        count = int.from_bytes(head, "big")
        if count >= 0xFFF0:  # 0xFFFF: mass erase, 0xFFFE and 0xFFFD: banks 1 and 2, rest: reserved
            rest = self.take(1)
            self._clear([*self.pages])
            self._answer(head + rest, ACK if reduce(xor, head + rest) == 0 else NACK)
            return
        rest = self.take(2 * (count + 1) + 1)
        numbers = [high << 8 | low for high, low in zip(rest[:-1:2], rest[1:-1:2], strict=True)]
        self._finish_erase(head + rest, numbers)

    def _finish_erase(self, frame: bytes, numbers: list[int]) -> None:
        valid = reduce(xor, frame) == 0 and all(number in self.pages for number in numbers)
        if valid:
            self._clear(numbers)
        self._answer(frame, ACK if valid else NACK)

    def _clear(self, numbers: list[int]) -> None:
        for number in numbers:
            page = self.pages[number]
            start = page.address - self.region.origin
            self.flash[start : start + page.bytes] = b"\xff" * page.bytes

    def _protect(self, frame: bytes) -> None:
        self.option_bytes_changed = True
        self._answer(frame, ACK)


# --- the judge -----------------------------------------------------------------------------------


def judge(frames: list[Frame], board: Board, image: Image, first_page: int = 0) -> list[str]:
    """What of a host's frames a flasher of ours must never send; [] where nothing is wrong."""
    region = board.region("flash")
    mine = pages_of(image, region)
    numbers = {page.number + first_page for page in mine}
    nothing = Frame(b"", NACK)
    wrong: list[str] = []
    rest = iter(frames)
    for frame in rest:
        if len(frame.sent) != 2 or frame.answer[:1] != ACK:
            continue
        command = frame.sent[0]
        if command in PROTECTIONS:
            wrong.append(f"protection 0x{command:02X}")
        elif command in (ERASE, EXTENDED_ERASE):
            wrong += _judged_erase(next(rest, nothing).sent, command, numbers)
        elif command in (READ, WRITE, GO):
            where = next(rest, nothing)
            address = int.from_bytes(where.sent[:4], "big")
            if where.answer != ACK:
                continue
            data = b"" if command == GO else next(rest, nothing).sent
            end = address + len(data) - 2
            valid = command == WRITE and data and reduce(xor, data) == 0
            if valid and not any(p.address <= address < end <= p.end for p in mine):
                wrong.append(f"write to 0x{address:08X}")
            if command != READ and not region.origin <= address < region.end:
                wrong.append(f"access to 0x{address:08X}")
    return wrong


def _judged_erase(frame: bytes, command: int, numbers: set[int]) -> Iterator[str]:
    if reduce(xor, frame, 0) and frame != b"\xff\x00":  # the line's fault, and nobody obeys
        return
    width = 1 if command == ERASE else 2
    count = int.from_bytes(frame[:width], "big")
    if count >= (0xFF if command == ERASE else 0xFFF0):
        yield f"global erase 0x{count:X}"
        return
    body = frame[width:-1]
    for start in range(0, len(body), width):
        number = int.from_bytes(body[start : start + width], "big")
        if number not in numbers:
            yield f"erase of page {number}"
