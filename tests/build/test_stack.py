"""The stack bound: frames and calls read from small programs, by both compilers."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter import process
from exporter.board import load_board
from exporter.build.machine_code import Event, riscv_events, thumb_events
from exporter.build.stack import (
    Node,
    StackBound,
    bound,
    call_graph,
    check_frames,
    compiler_frames,
    stem,
)
from exporter.errors import InternalError
from exporter.toolchain import toolchain_for
from tests.platform.probe import need_tool

BOARDS = ("mps2-an386", "microbit-v1", "riscv32-virt")
LITERALS = {0x104: 0xFFFFFEF0}
SCRIPT = "SECTIONS { .code : { *(.text .text.*) *(.rodata .rodata.*) } .data : { *(.data) } }"
TOUCH = "#define HIDDEN __attribute__((noinline, noclone))\n#ifdef __clang__\n"
TOUCH += "#undef HIDDEN\n#define HIDDEN __attribute__((noinline))\n#endif\n"
TOUCH += "extern int touch(volatile int *); "
TOUCH += "HIDDEN int touch(volatile int *p) { return *p; }\n"

CALLS = """
HIDDEN static int deep(int n) { volatile int room[40]; room[n] = n; return touch(&room[n]) + 1; }
HIDDEN static int flat(int n) { volatile int room[4]; room[n] = n; return touch(&room[n]) + 2; }
int model_invoke(int n); int model_invoke(int n) { return deep(n) + flat(n); }
"""
RECURSION = """
HIDDEN static int down(int n) { volatile int room[4]; room[0] = n;
  return n ? down(touch(room) - 1) + touch(&room[1]) : 0; }
int model_invoke(int n); int model_invoke(int n) { return down(n) + 1; }
"""
CIRCLE = """
static int odd(int n);
HIDDEN static int even(int n) { volatile int a[2]; a[0] = n; return n ? odd(n - 1) + touch(a) : 0; }
HIDDEN static int odd(int n) { volatile int a[2]; a[1] = n; return n ? even(n - 1) + touch(a) : 1; }
int model_invoke(int n); int model_invoke(int n) { return even(n) + 1; }
"""
POINTER = """
int model_invoke(int n, int (*f)(int));
int model_invoke(int n, int (*f)(int)) { return f(n) + 1; }
"""
GROWING = """
int model_invoke(int n);
int model_invoke(int n) { volatile int room[n]; room[0] = n; return touch(room) + room[n - 1]; }
"""
LARGE = """
HIDDEN static int large(int n) { volatile int room[301]; room[n] = n; return touch(&room[n]) + 1; }
HIDDEN static int huge(int n) { volatile int room[3001]; room[n] = n;
  return large(n) + touch(&room[n]) + 1; }
HIDDEN static int aligned(int n) { volatile int room[30] __attribute__((aligned(32))); room[n] = n;
  return huge(n) + touch(&room[n]) + 1; }
int model_invoke(int n); int model_invoke(int n) { return aligned(n) + 1; }
"""
ASSEMBLY = """
HIDDEN static void pushes(void) {
  __asm__ volatile("push {r0-r3, lr}\\n\\tsub sp, sp, #44\\n\\tadd sp, sp, #44\\n\\tpop {r0-r3, lr}"
                   : : : "memory"); }
int model_invoke(int n); int model_invoke(int n) { pushes(); return n; }
"""


def linked(source: str, folder: Path, board: str, compiler: str) -> Path:
    """`source` as an ELF whose functions are in `.code`, beside its object and what it says."""
    tools = toolchain_for(load_board(board), compiler, "speed")
    need_tool(tools.compiler.program)
    (folder / "sample.c").write_text(TOUCH + source)
    (folder / "sample.ld").write_text(SCRIPT)
    program = [tools.compiler.program, *(["cc"] if compiler == "clang" else [])]
    flags = [*tools.compiler.flags, *tools.compile_flags, *tools.stack_flags]
    for argv in (
        [*program, *flags, "-c", "sample.c", "-o", "sample.obj"],
        [*program, *flags, *tools.bare_link_flags, "-Wl,-T,sample.ld", "-Wl,--entry=model_invoke",
         "sample.obj", "-o", "sample.elf"],
    ):  # fmt: skip
        process.run(argv, cwd=folder, timeout_seconds=300)
    return folder / "sample.elf"


def bound_of(source: str, folder: Path, board: str, compiler: str) -> StackBound:
    nodes = call_graph(linked(source, folder, board, compiler))
    check_frames(nodes, compiler_frames(folder))
    return bound(nodes, "model_invoke")


compiled = pytest.mark.parametrize(
    ("board", "compiler"), [(b, c) for b in BOARDS for c in ("gcc", "clang")]
)


@pytest.mark.toolchain
@compiled
def test_the_deepest_way(board: str, compiler: str, tmp_path: Path) -> None:
    found = bound_of(CALLS, tmp_path, board, compiler)
    assert [stem(frame.function) for frame in found.deepest][:2] == ["model_invoke", "deep"]
    frames = {stem(frame.function): frame.bytes for frame in found.deepest}
    assert 160 < frames["deep"] <= 160 + 64
    assert found.bytes == sum(frames.values())
    stated = compiler_frames(tmp_path)
    assert {stem(name) for name in frames} <= set(stated)
    assert all(frames[name] == stated[name] for name in frames)


@pytest.mark.toolchain
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("board", ["microbit-v1", "mps2-an386"])
def test_frames_beyond_what_one_instruction_takes(
    board: str, compiler: str, tmp_path: Path
) -> None:
    found = bound_of(LARGE, tmp_path, board, compiler)
    frames = {stem(frame.function): frame.bytes for frame in found.deepest}
    for name, least in (("aligned", 120), ("huge", 12004), ("large", 1204)):
        assert least < frames[name] <= least + 96, name


@pytest.mark.toolchain
@compiled
@pytest.mark.parametrize(
    ("source", "words"),
    [
        (RECURSION, ("recursion", "down -> down")),
        (CIRCLE, ("recursion", "even")),
        (GROWING, ("no bound", "model_invoke")),
    ],
)
def test_no_bound(
    source: str, words: tuple[str, ...], board: str, compiler: str, tmp_path: Path
) -> None:
    with pytest.raises(InternalError) as raised:
        bound_of(source, tmp_path, board, compiler)
    assert all(word in str(raised.value) for word in words), raised.value


@pytest.mark.toolchain
@compiled
def test_a_call_through_a_pointer(board: str, compiler: str, tmp_path: Path) -> None:
    with pytest.raises(InternalError, match="no bound: indirect call"):
        bound_of(POINTER, tmp_path, board, compiler)


@pytest.mark.toolchain
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_what_assembly_pushes_counts(compiler: str, tmp_path: Path) -> None:
    found = bound_of(ASSEMBLY, tmp_path, "mps2-an386", compiler)
    stated = compiler_frames(tmp_path)
    pushes = next(frame for frame in found.deepest if stem(frame.function) == "pushes")
    assert pushes.bytes == stated["pushes"] + 5 * 4 + 44


def test_a_frame_below_what_the_compiler_says() -> None:
    nodes = {"f.constprop.0": Node("f.constprop.0", 0, 8, frame=12)}
    check_frames(nodes, {"f": 12, "g": 99})
    with pytest.raises(InternalError, match="read wrongly"):
        check_frames(nodes, {"f": 16})


def test_a_frame_that_is_given_up_before_a_jump_does_not_count() -> None:
    outer, inner = Node("f", 0, 2, frame=40), Node("g", 2, 4, frame=24)
    nodes = {"f": outer, "g": inner}
    outer.jumps = {"g"}
    assert bound(nodes, "f").bytes == 40
    outer.calls = {"g"}
    assert bound(nodes, "f").bytes == 64


@pytest.mark.parametrize(
    ("code", "kind", "value"),
    [
        ("2de9f04f", "push", 36),  # push {r4-r11, lr}
        ("10b5", "push", 8),  # push {r4, lr}
        ("86b0", "push", 24),  # sub sp, #24
        ("adf5007d", "push", 512),  # sub.w sp, sp, #512
        ("2ded108b", "push", 64),  # vpush {d8-d15}
        ("4df8047d", "push", 4),  # str r7, [sp, #-4]!
        ("6de90445", "push", 16),  # strd r4, r5, [sp, #-16]!
        ("00f002f8", "call", 0x108),  # bl .+8
        ("00f002b8", "jump", 0x108),  # b.w .+8
        ("fee7", "jump", 0x100),  # b .
        ("9847", "indirect call", 0),  # blx r3
        ("1847", "indirect jump", 0),  # bx r3
        ("adeb030d", "unknown stack pointer", 0),  # sub.w sp, sp, r3
    ],
)
def test_thumb(code: str, kind: str, value: int) -> None:
    (event,) = thumb_events(bytes.fromhex(code), 0x100)
    assert (event.kind, event.value, event.address) == (kind, value, 0x100)


@pytest.mark.parametrize(
    "code",
    ["7047", "10bd", "06b0", "bd46", "bde8f08f", "40f00ae0", "1ff00bc0", "0bb9"],
)  # bx lr; pop; add sp; mov sp, r7; pop.w; dls lr, r0; le; cbnz
def test_thumb_that_is_no_event(code: str) -> None:
    assert list(thumb_events(bytes.fromhex(code), 0)) == []


@pytest.mark.parametrize(
    ("code", "kind", "value"),
    [
        ("004f" + "bd44", "push", 0x110),  # ldr r7, [pc, #0]; add sp, r7, with the word of LITERALS
        ("8023" + "9b00" + "5b42" + "9d44", "push", 512),  # movs 128; lsls 2; rsbs; add sp, r3
        ("8023" + "9b00" + "9d44", None, 0),  # the same given back
        ("fe1f" + "013e" + "b546", None, 0),  # subs r6, r7, #7; subs r6, #1; mov sp, r6
        ("6c46" + "6409" + "6401" + "a546", "push", 28),  # mov r4, sp; lsrs 5; lsls 5; mov sp, r4
        ("6c46" + "6409" + "2401" + "a546", "unknown stack pointer", 0),  # lsls 4: not as far
        ("6b46" + "9b1a" + "9d46", "unknown stack pointer", 0),  # mov r3, sp; subs r3, r2; mov sp
        ("a7f10804" + "0130" + "a546", None, 0),  # sub.w r4, r7, #8; adds r0, #1; mov sp, r4
        ("a7f10804" + "0134" + "a546", None, 0),  # adds r4, #1 in place of it
        ("a7f10804" + "0c46" + "a546", "unknown stack pointer", 0),  # mov r4, r1
        ("004f" + "3f68" + "bd44", "unknown stack pointer", 0),  # ldr r7, [r7] between
        ("004f" + "80bc" + "bd44", "unknown stack pointer", 0),  # pop {r7} between
        ("004f" + "00e0" + "bd44", "unknown stack pointer", 0),  # a branch between
        ("004f" + "00f002f8" + "bd44", "unknown stack pointer", 0),  # a call between
    ],
)
def test_a_stack_pointer_moved_by_a_register(code: str, kind: str | None, value: int) -> None:
    events = thumb_events(bytes.fromhex(code), 0x100, LITERALS.get)
    found = [(e.kind, e.value) for e in events if e.kind not in ("jump", "call")]
    assert found == ([] if kind is None else [(kind, value)])


def test_a_stack_pointer_that_is_aligned() -> None:
    code = bytes.fromhex("6ff3" + "0304" + "a546")  # bfc r4, #0, #4; mov sp, r4
    assert list(thumb_events(code, 0)) == [Event(4, "push", 12)]
    assert [e.kind for e in thumb_events(code[4:], 0)] == ["unknown stack pointer"]


@pytest.mark.parametrize(
    ("code", "kind", "value"),
    [
        ("130101f8", "push", 128),  # addi sp, sp, -128
        ("0111", "push", 32),  # c.addi sp, -32
        ("3971", "push", 64),  # c.addi16sp sp, -64
        ("ef008000", "call", 0x108),  # jal ra, .+8
        ("6f008000", "jump", 0x108),  # j .+8
        ("2120", "call", 0x108),  # c.jal .+8
        ("3e91", "unknown stack pointer", 0),  # c.add sp, a5
        ("8294", "indirect call", 0),  # c.jalr s1
        ("e7800700", "indirect call", 0),  # jalr a5
        ("67800000", None, None),  # ret
        ("3301f100", "unknown stack pointer", 0),  # add sp, sp, a5
    ],
)
def test_riscv(code: str, kind: str | None, value: int | None) -> None:
    events = [(e.kind, e.value) for e in riscv_events(bytes.fromhex(code), 0x100)]
    assert events == ([] if kind is None else [(kind, value)])


def test_a_far_call_of_riscv() -> None:
    code = bytes.fromhex("97100000" + "e7800001")  # auipc ra, 1; jalr ra, 16(ra)
    assert list(riscv_events(code, 0x100)) == [Event(0x104, "call", 0x1110)]
