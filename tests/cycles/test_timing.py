"""The decoder: each instruction class of docs/cycles.md, assembled, against its cycles."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

import pytest

from exporter import cycles, process
from exporter.board import all_boards
from tests.cycles.assembly import assemble, code_of

pytestmark = pytest.mark.toolchain

KINDS = ("plain", "memory", "branch", "conditional", "it")

# The instruction, its cycles on M3 and M4 (one figure: the same on both), None: not on that core.
# A conditional branch is "not taken+more when taken". Registers hardly matter; counts do.
ARMV7 = """
adds r0, r1, r2            | 1
movw r0, #1234             | 1
mov r8, r9                 | 1
cmp r8, r9                 | 1
add pc, r1                 | 3
mov pc, r1                 | 3
and.w r0, r1, r2, lsl #3   | 1
ubfx r0, r1, #3, #4        | 1
ssat r0, #8, r1, asr #2    | 1
clz r0, r1                 | 1
lsl.w r0, r1, r2           | 1
sxtb r0, r1                | 1
rev r0, r1                 | 1
add r0, pc, #8             | 1
sub sp, #16                | 1
nop                        | 1
nop.w                      | 1
muls r0, r1, r0            | 1
mul.w r0, r1, r2           | 1
mla r0, r1, r2, r3         | 2 1
mls r0, r1, r2, r3         | 2 1
smull r0, r1, r2, r3       | 5 1
umull r0, r1, r2, r3       | 5 1
smlal r0, r1, r2, r3       | 7 1
umlal r0, r1, r2, r3       | 7 1
sdiv r0, r1, r2            | 12
udiv r0, r1, r2            | 12
smlad r0, r1, r2, r3       | - 1
smmla r0, r1, r2, r3       | - 1
smmul r0, r1, r2           | - 1
smlabb r0, r1, r2, r3      | - 1
smlald r0, r1, r2, r3      | - 1
umaal r0, r1, r2, r3       | - 1
sxtb16 r0, r1, ror #8      | - 1
pkhbt r0, r1, r2, lsl #16  | - 1
qadd r0, r1, r2            | - 1
uxtab16 r0, r1, r2         | - 1
sel r0, r1, r2             | - 1
ldr r0, [r1]               | 2
ldr r0, [r1, r2]           | 2
ldr r0, [sp, #4]           | 2
ldr.w r0, [r1, #400]       | 2
ldr.w r0, [r1, r2, lsl #2] | 2
ldr r0, [r1], #4           | 2
ldr r0, [r1, #4]!          | 2
ldrb r0, [r1]              | 2
ldrsb r0, [r1, r2]         | 2
ldrsh.w r0, [r1, #2]       | 2
ldrh r0, [r1, #-2]         | 2
ldr r0, [pc, #8]          | 2
ldr.w r0, [pc, #8]        | 2
ldrex r0, [r1]             | 2
strex r0, r2, [r1]         | 2
ldrexb r0, [r1]            | 2
strexb r0, r2, [r1]        | 2
ldr pc, [r1]               | 4
ldr pc, [r1], #4           | 4
str r0, [r1]               | 1
str r0, [sp, #8]           | 1
strb r0, [r1, #3]          | 1
strh.w r0, [r1, #400]      | 1
str r0, [r1], #4           | 1
str r0, [r1, r2]           | 2
strb.w r0, [r1, r2, lsl #1]| 2
ldrd r0, r1, [r2]          | 3
ldrd r0, r1, [r2], #8      | 3
strd r0, r1, [r2, #8]      | 3
pld [r1]                   | 1
ldm r0, {r1-r3}            | 4
ldm r0!, {r1, r2}          | 3
ldm.w r0, {r1-r12}         | 13
ldmdb r0!, {r1-r9}         | 10
ldm.w r0, {r1, r2, pc}     | 6
stm r0!, {r1-r4}           | 5
stmdb r0!, {r1, r9}        | 3
push {r4-r7}               | 5
push {r4-r7, lr}           | 6
push {r4-r11, lr}          | 10
pop {r4-r7}                | 5
pop {r4-r7, pc}            | 8
pop {r4-r11, pc}           | 12
b .                        | 3
b.w .                      | 3
bl .                       | 3
bx lr                      | 3
blx r3                     | 3
beq .                      | 1+2
bne.w .                    | 1+2
cbz r0, . + 4              | 1+2
cbnz r0, . + 70            | 1+2
tbb [pc, r0]               | 4
tbh [pc, r0, lsl #1]       | 4
mrs r0, primask            | 2
msr primask, r0            | 2
cpsid i                    | 2
dmb                        | 1
dsb                        | 1
isb                        | 3
wfi                        | 1
svc 0                      | 1
udf #1                     | 1
"""

FLOATS = """
vadd.f32 s0, s1, s2        | 1
vmul.f32 s0, s1, s2        | 1
vsub.f32 s0, s1, s2        | 1
vnmul.f32 s0, s1, s2       | 1
vabs.f32 s0, s1            | 1
vneg.f32 s0, s1            | 1
vcmp.f32 s0, s1            | 1
vcvt.s32.f32 s0, s1        | 1
vmov.f32 s0, #1.0          | 1
vmov s0, r0                | 1
vmov r0, s0                | 1
vmov s0, s1, r0, r1        | 2
vmov r0, r1, d0            | 2
vmrs r0, fpscr             | 1
vmla.f32 s0, s1, s2        | 3
vnmls.f32 s0, s1, s2       | 3
vfma.f32 s0, s1, s2        | 3
vfnms.f32 s0, s1, s2       | 3
vdiv.f32 s0, s1, s2        | 14
vsqrt.f32 s0, s1           | 14
vldr s0, [r0]              | 2
vstr s0, [r0, #4]          | 2
vldr d0, [r0]              | 3
vstr d1, [r0]              | 3
vldmia r0!, {s0-s4}        | 6
vstmdb r0!, {d0-d3}        | 9
vpush {s16-s18}            | 4
vpop {d8}                  | 3
"""

ARMV6 = """
adds r0, r1, r2            | 1
mov r8, r9                 | 1
add pc, r1                 | 2
mov pc, r1                 | 2
muls r0, r1, r0            | 1
sxtb r0, r1                | 1
rev r0, r1                 | 1
ldr r0, [r1]               | 2
ldr r0, [r1, r2]           | 2
ldr r0, [sp, #4]           | 2
ldr r0, [pc, #8]          | 2
ldrsb r0, [r1, r2]         | 2
ldrh r0, [r1, #2]          | 2
str r0, [r1]               | 2
strb r0, [r1, r2]          | 2
ldm r0!, {r1-r3}           | 4
stm r0!, {r1-r4}           | 5
push {r4-r7, lr}           | 6
pop {r4-r7}                | 5
pop {r4-r7, pc}            | 8
b .                        | 2
beq .                      | 1+1
bl .                       | 3
bx lr                      | 2
blx r3                     | 2
mrs r0, primask            | 3
msr primask, r0            | 3
cpsid i                    | 1
dmb                        | 3
isb                        | 3
wfi                        | 2
nop                        | 1
"""


class Timing(ctypes.Structure):
    """struct timing of timing.h."""

    _fields_ = (
        ("kind", ctypes.c_int),
        ("cycles", ctypes.c_uint8),
        ("taken_cycles", ctypes.c_uint8),
        ("conditional_count", ctypes.c_uint8),
        ("calls", ctypes.c_bool),
        ("pipelines", ctypes.c_bool),
        ("loads", ctypes.c_uint16),
        ("addresses", ctypes.c_uint16),
    )


@dataclass(frozen=True)
class Decoder:
    """timing.c, built for this computer."""

    library: ctypes.CDLL

    def core(self, name: str) -> int | None:
        """The address of a core's costs."""
        address: int | None = self.library.core_costs_of(name.encode())
        return address

    def decode(self, core: str, code: bytes) -> list[Timing]:
        """The timings of `code`, instruction by instruction."""
        timings, position = [], 0
        while position < len(code):
            first = int.from_bytes(code[position : position + 2], "little")
            wide = self.library.is_wide(ctypes.c_uint16(first))
            second = int.from_bytes(code[position + 2 : position + 4], "little") if wide else 0
            costs = ctypes.c_void_p(self.core(core))
            halves = ctypes.c_uint16(first), ctypes.c_uint16(second)
            timings.append(self.library.timing_of(costs, *halves))
            position += 4 if wide else 2
        return timings


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    target = tmp_path_factory.mktemp("timing") / "timing.so"
    command = [*cycles.compile_command(target, "timing.c"), "-Werror"]
    process.run(command, timeout_seconds=cycles.COMPILE_SECONDS)
    library = ctypes.CDLL(str(target))
    library.core_costs_of.restype = ctypes.c_void_p
    library.is_wide.restype = ctypes.c_bool
    library.timing_of.restype = Timing
    return Decoder(library)


def rows(table: str, column: int) -> list[tuple[str, str]]:
    """Instructions that exist on the core of that column, and their cycles."""
    found = []
    for line in table.strip().splitlines():
        instruction, _, figures = line.partition("|")
        figure = (figures.split() * 2)[column]
        if figure != "-":
            found.append((instruction.strip(), figure))
    return found


def described(timing: Timing) -> str:
    return f"{timing.cycles}+{timing.taken_cycles}" if timing.taken_cycles else str(timing.cycles)


@pytest.mark.parametrize(
    ("core", "table"),
    [
        ("cortex-m3", rows(ARMV7, 0)),
        ("cortex-m4", rows(ARMV7, 1) + rows(FLOATS, 1)),
        ("cortex-m0plus", rows(ARMV6, 0)),
    ],
)
def test_every_class_of_instruction(
    core: str, table: list[tuple[str, str]], decoder: Decoder, tmp_path: Path
) -> None:
    source = "\n".join(instruction for instruction, _ in table)
    timings = decoder.decode(core, code_of(assemble(tmp_path, core, source, "-c")))
    found = [
        (instruction, described(timing))
        for (instruction, _), timing in zip(table, timings, strict=True)
    ]
    assert found == table


def test_what_calls_returns_to_the_next_address(decoder: Decoder, tmp_path: Path) -> None:
    source = "bl .\nblx r1\nb .\nbx lr\nbeq .\npop {pc}"
    timings = decoder.decode("cortex-m4", code_of(assemble(tmp_path, "cortex-m4", source, "-c")))
    assert [timing.calls for timing in timings] == [True, True, False, False, False, False]


@pytest.mark.parametrize(
    ("instruction", "loads", "addresses"),
    [
        ("ldr r3, [r1]", {3}, {1}),
        ("ldr r3, [r1, r2]", {3}, {1, 2}),
        ("ldr.w r9, [r10, r11, lsl #2]", {9}, {10, 11}),
        ("ldr r3, [sp, #4]", {3}, {13}),
        ("ldrb.w r3, [r4, #100]", {3}, {4}),
        ("ldr r3, [r4], #4", {3}, {4}),
        ("ldr r3, [pc, #8]", {3}, set()),
        ("str r3, [r1, r2]", set(), {1, 2}),
        ("str r3, [r1, #4]", set(), set()),
        ("ldm r1, {r2, r3}", set(), set()),
        ("ldrd r2, r3, [r1]", set(), set()),
        ("adds r0, r1, r2", set(), set()),
    ],
)
def test_what_a_load_waits_for(
    instruction: str, loads: set[int], addresses: set[int], decoder: Decoder, tmp_path: Path
) -> None:
    code = code_of(assemble(tmp_path, "cortex-m4", instruction, "-c"))
    (timing,) = decoder.decode("cortex-m4", code)
    assert {r for r in range(16) if timing.loads >> r & 1} == loads
    assert {r for r in range(16) if timing.addresses >> r & 1} == addresses
    assert timing.pipelines == bool(loads | addresses)


@pytest.mark.parametrize("count", range(1, 5))
def test_how_many_instructions_are_conditional(
    count: int, decoder: Decoder, tmp_path: Path
) -> None:
    source = f"i{'t' * count} eq\n" + "moveq r0, r1\n" * count
    timings = decoder.decode("cortex-m3", code_of(assemble(tmp_path, "cortex-m3", source, "-c")))
    assert KINDS[timings[0].kind] == "it"
    assert timings[0].conditional_count == count


def test_both_sides_know_the_same_cores(decoder: Decoder) -> None:
    others = {board.core for board in all_boards()} - set(cycles.CORES)
    assert all(decoder.core(name) for name in cycles.CORES)
    assert "cortex-m7" in others and not any(decoder.core(name) for name in others)
