"""The plugin in the emulator: what depends on the way an execution takes, against hand counts."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from exporter import cycles
from exporter.board import load_board
from exporter.cycles import Call, build_plugin, plugin_arguments, read_calls
from exporter.errors import BadInput, LinkFailed, MissingTool
from exporter.flash import Emulator
from tests.cycles.assembly import addresses, assemble
from tests.platform.probe import need_tool

pytest_plugins = ["tests.hil.fixtures"]

pytestmark = [
    pytest.mark.toolchain,
    pytest.mark.emulator,
    pytest.mark.usefixtures("own_cache"),
]

BOARDS = {"cortex-m3": "mps2-an385", "cortex-m4": "mps2-an386", "cortex-m0plus": "mps2-an385"}
DEADLINE_SECONDS = 60.0

# Calls each function once, in order, then sleeps. r1 points to memory that may be overwritten.
START = """
.word 0x20010000, reset + 1
.thumb_func
reset:
{calls}
1:  wfi
    b 1b
.ltorg
"""
CALL = "    ldr r1, =0x20000100\n    ldr r0, ={name} + 1\n    blx r0"
FUNCTION = ".balign 4\n.thumb_func\n.global {name}\n{name}:\n{body}\n"


def run(core: str, folder: Path, bodies: dict[str, str]) -> dict[str, Call]:
    """The last logged call of each function, the bodies being called in order."""
    need_tool("qemu-system-arm", cycles.HOST_COMPILER)
    start = START.format(calls="\n".join(CALL.format(name=name) for name in bodies))
    text = start + "".join(FUNCTION.format(name=n, body=b) for n, b in bodies.items())
    elf = assemble(folder, core, text, "-Wl,-Ttext=0", "-Wl,-e,reset")
    names = addresses(elf)
    log = folder / "log, with a comma"
    watched = [names[name] for name in bodies]
    arguments = plugin_arguments(build_plugin("qemu-system-arm"), core, log, watched)
    with Emulator(load_board(BOARDS[core]), elf, arguments=arguments):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (calls := read_calls(log)) or calls[-1].address != watched[-1]:
            assert time.monotonic() < deadline, calls
            time.sleep(0.01)
    last = {call.address: call for call in calls}
    return {name: last[names[name]] for name in bodies if names[name] in last}


# What a function does, its instructions, and its cycles: on M3 and M4. `bx lr` takes 3.
ARMV7: dict[str, tuple[str, int, int]] = {
    "nothing": ("bx lr", 1, 3),
    "a_loop": (
        # 1, ten times (LDM of four 5, MUL 1, SUB 1), nine branches of 3 and one of 1, 3
        "movs r0, #10\n1: ldm r1, {r2-r5}\nmul r2, r3, r2\nsubs r0, #1\nbne 1b\nbx lr",
        42, 1 + 10 * 7 + 9 * 3 + 1 + 3,
    ),
    "pipelined_loads": ("ldr r0, [r1]\nldr r2, [r1, #4]\nldrb r3, [r1]\nbx lr", 4, 2 + 1 + 1 + 3),
    "a_load_that_waits": (
        "str r1, [r1]\nldr r2, [r1]\nldr r3, [r2]\nldr r0, [r1]\nbx lr", 5, 1 + 2 + 2 + 1 + 3,
    ),
    "stores": (
        # STR imm 1; LDR after a store 2; STR reg after a load 1, alone 2
        "movs r0, #4\nstr r0, [r1]\nldr r2, [r1]\nstr r2, [r1, r0]\nstr r2, [r1, r0]\nbx lr",
        6, 1 + 1 + 2 + 1 + 2 + 3,
    ),
    "a_load_after_multiple": ("ldm r1, {r2, r3}\nldr r0, [r1]\nbx lr", 3, 3 + 2 + 3),
    "the_stack": ("push {r4-r7, lr}\npop {r4-r7, pc}", 2, 6 + 6 + 2),
    "branches_not_taken": ("movs r0, #1\ncbz r0, 1f\nbeq 1f\n1: bx lr", 4, 1 + 1 + 1 + 3),
    "branches_taken": ("movs r0, #0\ncbz r0, 1f\nnop\n1: beq 2f\nnop\n2: bx lr", 4, 1 + 3 + 3 + 3),
    "skipped": (
        # five skipped instructions take one cycle each
        "cmp r1, r1\nittt ne\nldrne r0, [r1]\nstmne r1, {r2, r3}\nmovne r0, r1\n"
        "itt ne\nldrdne r2, r3, [r1]\nbxne lr\nbx lr",
        9, 2 + 3 + 1 + 2 + 3,
    ),
    "not_skipped": (
        "cmp r1, r1\nittt eq\nldreq r0, [r1]\nstmeq r1, {r2, r3}\nmoveq r0, r1\n"
        "itt eq\nldrdeq r2, r3, [r1]\nbxeq lr",
        8, 2 + 2 + 3 + 1 + 1 + 3 + 3,
    ),
    "an_else": ("cmp r1, r1\nite eq\nldreq r0, [r1]\nldrne r0, [r1]\nbx lr", 5, 2 + 2 + 1 + 3),
    "a_return_under_it": ("push {r4, lr}\ncmp r1, r1\nit eq\npopeq {r4, pc}", 4, 3 + 2 + 5),
    "a_return_not_taken": (
        "push {r4, lr}\ncmp r1, r1\nit ne\npopne {r4, pc}\npop {r4, pc}", 5, 3 + 2 + 1 + 5,
    ),
    # Longer than a translation block and than a page of the emulator.
    "many_loads": (".rept 2000\nldr r0, [r1]\n.endr\nbx lr", 2001, 2 + 1999 + 3),
    "many_skipped": (
        "cmp r1, r1\n.rept 700\nitttt ne\nldrne r0, [r1]\nldrne r0, [r1]\nldrne r0, [r1]\n"
        "stmne r1!, {r2}\n.endr\nbx lr",
        1 + 700 * 5 + 1, 1 + 700 * 5 + 3,
    ),
    "many_not_skipped": (
        "cmp r1, r1\n.rept 700\nit eq\nldmeq r1, {r2, r3}\nnop\n.endr\nbx lr",
        1 + 700 * 3 + 1, 1 + 700 * 5 + 3,
    ),
    "division": ("movs r0, #7\nudiv r0, r0, r0\nbx lr", 3, 1 + 12 + 3),
    # The callee's cycles are the caller's, too.
    "a_call": ("push {r4, lr}\nbl nothing\npop {r4, pc}", 4, 3 + 3 + 3 + 5),
}  # fmt: skip


@pytest.mark.parametrize("core", ["cortex-m3", "cortex-m4"])
def test_hand_counts(core: str, tmp_path: Path) -> None:
    calls = run(core, tmp_path, {name: body for name, (body, _, _) in ARMV7.items()})
    found = {name: (call.instructions, call.cycles) for name, call in calls.items()}
    assert found == {name: (count, cost) for name, (_, count, cost) in ARMV7.items()}


def test_cores_differ_where_their_manuals_do(tmp_path: Path) -> None:
    bodies = {
        "long": "movs r0, #3\n1: smlal r2, r3, r1, r1\nsubs r0, #1\nbne 1b\nbx lr",
        "add": "mla r0, r1, r1, r1\nbx lr",
    }
    cost = {core: run(core, tmp_path, bodies) for core in ("cortex-m3", "cortex-m4")}
    assert {core: (c["long"].cycles, c["add"].cycles) for core, c in cost.items()} == {
        "cortex-m3": (1 + 3 * 8 + 2 * 3 + 1 + 3, 2 + 3),
        "cortex-m4": (1 + 3 * 2 + 2 * 3 + 1 + 3, 1 + 3),
    }


def test_the_dsp_extension(tmp_path: Path) -> None:
    """The inner loop of a 16 bit dot product: LDM 3, two SMLAD, SUBS, a branch."""
    body = "movs r0, #50\n1: ldm r1, {r2, r3}\nsmlad r4, r2, r3, r4\nsmlad r5, r2, r3, r5\n"
    body += "subs r0, #1\nbne 1b\nbx lr"
    calls = run("cortex-m4", tmp_path, {"dot": body})
    assert calls["dot"].cycles == 1 + 50 * (3 + 1 + 1 + 1) + 49 * 3 + 1 + 3


def test_armv6_code_with_the_model_of_the_m0plus(tmp_path: Path) -> None:
    bodies = {
        "nothing": "bx lr",
        "a_loop": "movs r0, #10\n1: ldr r2, [r1]\nldr r3, [r1]\nmuls r2, r3, r2\nstr r2, [r1]\n"
        "subs r0, #1\nbne 1b\nbx lr",
        "a_call": "push {r4, lr}\nbl nothing\npop {r4, pc}",
    }
    calls = run("cortex-m0plus", tmp_path, bodies)
    assert {name: call.cycles for name, call in calls.items()} == {
        "nothing": 2,
        "a_loop": 1 + 10 * (2 + 2 + 1 + 2 + 1) + 9 * 2 + 1 + 2,
        "a_call": 3 + 3 + 2 + 5,
    }


def test_a_jump_to_a_function_is_no_call(tmp_path: Path) -> None:
    """It returns to somewhere else: its cycles are those of the function that jumped."""
    bodies = {"first": "b second", "second": "b third", "third": "nop\nbx lr", "last": "bx lr"}
    bodies["second"] = "movs r0, #1\nb third"
    calls = run("cortex-m3", tmp_path, bodies)
    assert {name: call.cycles for name, call in calls.items()} == {
        "first": 3 + 1 + 3 + 1 + 3, "second": 1 + 3 + 1 + 3, "third": 1 + 3, "last": 3,
    }  # fmt: skip


def test_an_unknown_core_is_refused(tmp_path: Path) -> None:
    elf = assemble(tmp_path, "cortex-m3", START.format(calls=""), "-Wl,-Ttext=0", "-Wl,-e,reset")
    plugin = build_plugin("qemu-system-arm")
    arguments = plugin_arguments(plugin, "cortex-m7", tmp_path / "log", [0])
    with pytest.raises(LinkFailed) as caught:
        Emulator(load_board("mps2-an385"), elf, arguments=arguments).stop()
    assert "names no modelled core" in str(caught.value.value)


def test_the_plugin_is_built_once(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_tool("qemu-system-arm", cycles.HOST_COMPILER)
    first = build_plugin("qemu-system-arm")
    assert first.parent == own_cache / "cycles"
    monkeypatch.setattr(cycles, "HOST_COMPILER", "no-such-compiler")
    assert build_plugin("qemu-system-arm") == first


def test_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_tool("qemu-system-arm")
    monkeypatch.setenv("NANOEXPORT_CACHE", str(tmp_path))
    monkeypatch.setattr(cycles, "HOST_COMPILER", "no-such-compiler")
    with pytest.raises(MissingTool, match="no-such-compiler is not installed"):
        build_plugin("qemu-system-arm")
    assert not list(tmp_path.rglob("*.so"))


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_tool("qemu-system-arm", cycles.HOST_COMPILER)
    (tmp_path / "file").touch()
    monkeypatch.setenv("NANOEXPORT_CACHE", str(tmp_path / "file"))
    with pytest.raises(BadInput, match="cannot keep the cycle plugin") as caught:
        build_plugin("qemu-system-arm")
    assert "NANOEXPORT_CACHE" in str(caught.value.next_step)
