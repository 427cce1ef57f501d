"""What Thumb code puts into the registers by which it moves the stack pointer.

Armv6-M takes at most 508 bytes from the stack with one instruction. For more, and on all cores to
align the stack or give it back, a register is made of a constant, of the frame pointer or of the
stack pointer, in straight code just before. Encodings: Armv6-M Architecture Reference Manual
(DDI 0419), A5.2; Armv7-M (DDI 0403), A5.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

FRAME_POINTER, STACK_POINTER = 7, 13
LOW_REGISTERS = range(8)

Literals = Callable[[int], int | None]
"""The word at an address of the code, None where there is none."""


@dataclass(frozen=True)
class Value:
    """A constant; the frame pointer moved by an amount; the stack pointer, shifted or aligned.

    `amount`: the constant, modulo 2^32; of "shifted" and "aligned" the bits.
    """

    kind: Literal["constant", "frame", "stack", "shifted", "aligned"]
    amount: int = 0


class Registers:
    """What is known of registers behind the instructions that were followed."""

    def __init__(self, literals: Literals) -> None:
        self._literals = literals
        self._values: dict[int, Value] = {}

    def __getitem__(self, register: int) -> Value | None:
        return self._values.get(register)

    def follow_wide(self, first: int, second: int) -> None:
        """Behind an instruction of 32 bits: nothing else than what it makes is known."""
        self._values.clear()
        register = second >> 8 & 15
        if first & 0xFBEF in (0xF1A7, 0xF2A7):  # SUB, SUBW of the frame pointer, immediate
            self._values[register] = Value("frame")
        elif first == 0xF36F and not second & 0x70C0:  # BFC from bit 0 on
            self._values[register] = Value("aligned", (second & 31) + 1)

    def follow(self, half: int, address: int) -> None:
        """Behind the narrow instruction `half`: what it may write to is known, or no longer."""
        if half >> 12 in (0b1101, 0b1110) or half & 0xFF00 == 0x4700:  # branches
            self._values.clear()
            return
        value, written = self._made(half, address), _may_write(half)
        for register in written:
            self._values.pop(register, None)
        if value is not None:
            self._values[written[0]] = value

    def _made(self, half: int, address: int) -> Value | None:
        """What a form by which compilers make such a value makes."""
        if half & 0xF800 == 0x4800:  # LDR, literal
            word = self._literals((address + 4 & ~3) + 4 * (half & 0xFF))
            return None if word is None else Value("constant", word)
        if half & 0xF800 == 0x2000:  # MOVS, immediate
            return Value("constant", half & 0xFF)
        if half & 0xF000 == 0x3000:  # ADDS and SUBS, immediate of 8 bits
            sign = -1 if half & 0x0800 else 1
            return _moved(self[half >> 8 & 7], sign * (half & 0xFF))
        return self._made_of_register(half, half >> 3 & 15)

    def _made_of_register(self, half: int, source: int) -> Value | None:
        if half & 0xFC00 == 0x1C00:  # ADDS and SUBS, immediate of 3 bits
            sign = -1 if half & 0x0200 else 1
            return _moved(self._source(source & 7), sign * (half >> 6 & 7))
        if half & 0xF000 == 0x0000:  # LSLS and LSRS, immediate
            return _shifted(self[source & 7], half >> 6 & 31, left=not half & 0x0800)
        if half & 0xFFC0 == 0x4240:  # RSBS: 0 - Rm
            return _negated(self[source & 7])
        return self._source(source) if half & 0xFF80 == 0x4600 else None  # MOV

    def _source(self, register: int) -> Value | None:
        if register == STACK_POINTER:
            return Value("stack")
        known = self[register]
        return Value("frame") if known is None and register == FRAME_POINTER else known


def _moved(value: Value | None, distance: int) -> Value | None:
    if value is None or value.kind not in ("constant", "frame"):
        return None
    return Value(value.kind, value.amount + distance & 0xFFFFFFFF)


def _negated(value: Value | None) -> Value | None:
    if value is None or value.kind != "constant":
        return None
    return Value("constant", -value.amount & 0xFFFFFFFF)


def _shifted(value: Value | None, bits: int, *, left: bool) -> Value | None:
    """The stack pointer shifted right and left by as many bits is the stack pointer aligned."""
    if value is None:
        return None
    if value.kind == "constant":
        amount = value.amount << bits if left else value.amount >> (bits or 32)
        return Value("constant", amount & 0xFFFFFFFF)
    if value.kind == "stack" and not left:
        return Value("shifted", bits)
    return Value("aligned", bits) if left and value == Value("shifted", bits) else None


def _may_write(half: int) -> tuple[int, ...]:
    """Registers that a narrow instruction writes to, or more; its destination is the first."""
    top = half >> 12
    if top in (0b0010, 0b0011, 0b1001, 0b1010) or half & 0xF800 == 0x4800:
        return (half >> 8 & 7,)
    if half & 0xFC00 == 0x4400:  # ADD, CMP, MOV of all registers
        return (half >> 4 & 8 | half & 7,)
    if top == 0b1100 or half & 0xFE00 == 0xBC00:  # LDM and STM; POP
        base = (half >> 8 & 7,) if top == 0b1100 else ()
        return (*base, *(register for register in LOW_REGISTERS if half >> register & 1))
    if top == 0b1011 and half & 0x0F00 not in (0x0200, 0x0A00):  # but extensions and REV
        return ()
    return (half & 7,)
