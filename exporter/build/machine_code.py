"""Machine code as far as a stack bound needs it: what moves the stack pointer, and what is called.

No disassembler: of each instruction only its length is decoded, and whether it is one of the few
forms by which compilers and our assembly take stack or leave a function. Encodings: Armv8-M
Architecture Reference Manual (DDI 0553), C2.4; The RISC-V Instruction Set Manual, volume I.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from exporter.build.thumb_registers import FRAME_POINTER, Literals, Registers

Kind = Literal[
    "push", "call", "jump", "indirect call", "indirect jump", "own address", "unknown stack pointer"
]

SP_RISCV = 2
LINK_REGISTERS_RISCV = (1, 5)
LINK_REGISTER_THUMB = 14


@dataclass(frozen=True)
class Event:
    """An instruction at `address`: `value` is the bytes of a push, or the target of a transfer.

    "own address": of a place in the code nearby, to which an indirect jump may go.
    """

    address: int
    kind: Kind
    value: int = 0


def no_literals(address: int) -> int | None:
    """Where the words among the code are not at hand."""
    return None


def thumb_events(code: bytes, address: int, literals: Literals = no_literals) -> Iterator[Event]:
    """The events of Thumb instructions that begin at `address`; no data may be among them."""
    offset, registers = 0, Registers(literals)
    while offset + 2 <= len(code):
        first = _half(code, offset)
        if first >> 11 in (0b11101, 0b11110, 0b11111):
            second = _half(code, offset + 2)
            event = _thumb_wide(first, second, address + offset)
            registers.follow_wide(first, second)
            offset += 4
        else:
            event = _thumb_narrow(first, address + offset, registers)
            registers.follow(first, address + offset)
            offset += 2
        if event is not None:
            yield event


def _half(code: bytes, offset: int) -> int:
    return int.from_bytes(code[offset : offset + 2], "little")


def _thumb_narrow(half: int, address: int, registers: Registers) -> Event | None:
    if half & 0xFE00 == 0xB400:  # PUSH
        return Event(address, "push", 4 * (half & 0x1FF).bit_count())
    if half & 0xFF80 == 0xB080:  # SUB SP, SP, #imm
        return Event(address, "push", 4 * (half & 0x7F))
    if half & 0xF800 == 0xE000:  # B
        return Event(address, "jump", address + 4 + 2 * _signed(half, 11))
    if half & 0xF000 == 0xD000 and half >> 8 & 15 < 14:  # Bcc
        return Event(address, "jump", address + 4 + 2 * _signed(half, 8))
    if half & 0xFD87 == 0x4485:  # ADD SP, Rm and MOV SP, Rm
        return _thumb_stack_pointer(half, address, registers)
    kind = _thumb_register_form(half)
    return None if kind is None else Event(address, kind)


def _thumb_stack_pointer(half: int, address: int, registers: Registers) -> Event | None:
    """It is moved by a constant, set to what the frame pointer knows of, or aligned down."""
    register = half >> 3 & 15
    value = registers[register]
    is_set = half & 0x0200
    if is_set and (register == FRAME_POINTER or (value is not None and value.kind == "frame")):
        return None
    if is_set and value is not None and value.kind == "aligned":
        return Event(address, "push", (1 << value.amount) - 4)
    if is_set or value is None or value.kind != "constant":
        return Event(address, "unknown stack pointer")
    distance = _signed(value.amount, 32)
    return Event(address, "push", -distance) if distance < 0 else None


def _thumb_register_form(half: int) -> Kind | None:
    """What a narrow instruction does by way of a register."""
    register = half >> 3 & 15
    if half & 0xFF87 == 0x4780:  # BLX
        return "indirect call"
    if half & 0xFF87 == 0x4700 and register != LINK_REGISTER_THUMB:  # BX but to return
        return "indirect jump"
    return "own address" if half & 0xF800 == 0xA000 else None  # ADR


def _thumb_wide(first: int, second: int, address: int) -> Event | None:
    if first & 0xF800 == 0xF000 and second & 0x8000:
        return _thumb_branch(first, second, address)
    pushed = _thumb_pushed(first, second)
    if pushed is not None:
        return Event(address, "push", pushed)
    if first & 0xFBFF in (0xF20F, 0xF2AF) and not second & 0x8000:  # ADR
        return Event(address, "own address")
    to_stack_pointer = second & 0x0F00 == 0x0D00
    if first & 0xFF4F == 0xEB0D and to_stack_pointer:  # ADD/SUB SP, SP, Rm
        return Event(address, "unknown stack pointer")
    return None


def _thumb_branch(first: int, second: int, address: int) -> Event | None:
    sign, j1, j2 = first >> 10 & 1, second >> 13 & 1, second >> 11 & 1
    low = second & 0x7FF
    if second & 0x1000:  # BL, B.W
        high = (1 - (j1 ^ sign)) << 22 | (1 - (j2 ^ sign)) << 21 | (first & 0x3FF) << 11
        target = address + 4 + 2 * _signed(sign << 23 | high | low, 24)
        return Event(address, "call" if second & 0x4000 else "jump", target)
    if second & 0x4000 or first >> 7 & 7 == 7:  # loops of Armv8.1-M, system instructions
        return None
    distance = sign << 19 | j2 << 18 | j1 << 17 | (first & 0x3F) << 11 | low
    return Event(address, "jump", address + 4 + 2 * _signed(distance, 20))


def _thumb_pushed(first: int, second: int) -> int | None:
    """Bytes that a 32 bit store or subtraction takes from the stack."""
    onto_stack_pointer = second & 0x8F00 == 0x0D00
    immediate = (first >> 10 & 1) << 11 | (second >> 12 & 7) << 8 | second & 0xFF
    forms = (
        (first == 0xE92D, 4 * second.bit_count()),  # STMDB SP!
        (first & 0xFFBF == 0xED2D and second & 0x0E00 == 0x0A00, 4 * (second & 0xFF)),  # VPUSH
        # VSTR of a q register, STR, and STRD, each to [SP, #-n]!
        (first & 0xFFBF == 0xED2D and second & 0x1E00 == 0x1E00,
         (second & 0x7F) << (second >> 7 & 3)),
        (first == 0xF84D and second & 0x0F00 == 0x0D00, second & 0xFF),
        (first == 0xE96D, 4 * (second & 0xFF)),
        (first & 0xFBFF == 0xF2AD and onto_stack_pointer, immediate),  # SUBW SP, SP, #imm
        (first & 0xFBEF == 0xF1AD and onto_stack_pointer, _expanded(immediate)),  # SUB.W
    )  # fmt: skip
    return next((pushed for matches, pushed in forms if matches), None)


def _expanded(immediate: int) -> int:
    """A modified immediate constant of Thumb."""
    byte = immediate & 0xFF
    if immediate >> 10 == 0:
        return byte * (0x00000001, 0x00010001, 0x01000100, 0x01010101)[immediate >> 8 & 3]
    return (0x80 | immediate & 0x7F) << (32 - (immediate >> 7))


def riscv_events(code: bytes, address: int) -> Iterator[Event]:
    """The events of RV32IC instructions that begin at `address`."""
    offset, upper = 0, (0, 0)
    while offset + 2 <= len(code):
        here, half = address + offset, _half(code, offset)
        if half & 3 != 3:
            event, upper = _riscv_narrow(half, here), (0, 0)
            offset += 2
        else:
            word = half | _half(code, offset + 2) << 16
            event = _riscv_wide(word, here, upper)
            is_auipc = word & 0x7F == 0x17
            upper = (word >> 7 & 31, here + _signed(word & 0xFFFFF000, 32)) if is_auipc else (0, 0)
            offset += 4
        if event is not None:
            yield event


def _riscv_narrow(half: int, address: int) -> Event | None:
    register, source = half >> 7 & 31, half >> 2 & 31
    if half & 0xEF83 == 0x6101:  # C.ADDI16SP
        return _riscv_moved(address, _signed(_bits(half, (12, 4, 3, 5, 2, 6)), 6) * 16)
    if half & 0xE003 == 0x0001 and register == SP_RISCV:  # C.ADDI
        return _riscv_moved(address, _signed(_bits(half, (12, 6, 5, 4, 3, 2)), 6))
    if half & 0x6003 == 0x2001:  # C.JAL, C.J
        distance = 2 * _signed(_bits(half, (12, 8, 10, 9, 6, 7, 2, 11, 5, 4, 3)), 11)
        return Event(address, "jump" if half & 0x8000 else "call", address + distance)
    if half & 0xF07F == 0x9002 and register:  # C.JALR
        return Event(address, "indirect call")
    if half & 0xE003 == 0x8002 and source and register == SP_RISCV:  # C.MV, C.ADD
        return Event(address, "unknown stack pointer")
    return None


def _riscv_wide(word: int, address: int, upper: tuple[int, int]) -> Event | None:
    """`upper`: the register that AUIPC wrote just before, and the value; (0, 0) where none was."""
    opcode, to, source = word & 0x7F, word >> 7 & 31, word >> 15 & 31
    if opcode in (0x6F, 0x67):
        return _riscv_transfer(word, address, upper)
    if opcode == 0x13 and word & 0x7000 == 0 and to == source == SP_RISCV:  # ADDI
        return _riscv_moved(address, _signed(word >> 20, 12))
    if opcode == 0x33 and to == SP_RISCV:  # ADD, SUB
        return Event(address, "unknown stack pointer")
    return None


def _riscv_transfer(word: int, address: int, upper: tuple[int, int]) -> Event | None:
    """A jump by way of a register is no event: it returns, or is that of a switch."""
    kind: Kind = "call" if word >> 7 & 31 in LINK_REGISTERS_RISCV else "jump"
    if word & 0x7F == 0x6F:  # JAL
        bits = (31, *range(19, 11, -1), 20, *range(30, 20, -1))
        return Event(address, kind, address + 2 * _signed(_bits(word, bits), 20))
    if word >> 15 & 31 == upper[0]:  # JALR to an address that is known
        return Event(address, kind, (upper[1] + _signed(word >> 20, 12)) & 0xFFFFFFFE)
    return Event(address, "indirect call") if kind == "call" else None


def _riscv_moved(address: int, distance: int) -> Event | None:
    return Event(address, "push", -distance) if distance < 0 else None


def _bits(value: int, positions: tuple[int, ...]) -> int:
    """The bits at `positions`, the highest of the result first."""
    result = 0
    for position in positions:
        result = result << 1 | value >> position & 1
    return result


def _signed(value: int, bits: int) -> int:
    """The lowest `bits` of `value` in two's complement."""
    value &= (1 << bits) - 1
    return value - (value >> bits - 1 << bits)
