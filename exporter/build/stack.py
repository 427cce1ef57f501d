"""What one inference takes of the stack at most: the deepest way through the calls of the model.

Frames and calls are read from the code of the footprint, which is the model as it is linked with
all that it calls: so the frames of assembly and of the compiler's library count too, of which no
compiler tells. A frame is the sum of all that its function ever takes from the stack, since what is
taken in a loop is given back there. What the compiler says of its own functions is the check: no
frame may be smaller.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Section, SymbolTableSection

from exporter.build.compile import Firmware
from exporter.build.machine_code import Event, riscv_events, thumb_events
from exporter.errors import InternalError

ROOT_SUFFIXES = ("_invoke", "_row_ready", "_input_row")
CLOCK = "platform_ticks"
WRAPPER = "invoke"
"""The link application's own inference, which gives rows or lends an arena."""
CODE_SECTION = ".code"


@dataclass(frozen=True)
class Frame:
    """A function on the deepest way, and the bytes it takes of the stack."""

    function: str
    bytes: int


@dataclass(frozen=True)
class StackBound:
    """No inference takes more than `bytes`; `deepest`: the calls that take as much, in order.

    `clock_bytes`: what reading the clock takes, which a device does beside the inference when it
    measures it; `wrapper_bytes`: what stands between the measurement and the inference.
    """

    bytes: int
    deepest: tuple[Frame, ...]
    clock_bytes: int = 0
    wrapper_bytes: int = 0

    @property
    def measured_bytes(self) -> int:
        """What a device may find at most."""
        return max(self.bytes + self.wrapper_bytes, self.clock_bytes)


@dataclass
class Node:
    """A function: its frame in bytes, whom it calls, and to whom it leaves without its frame."""

    name: str
    address: int
    end: int
    frame: int = 0
    calls: set[str] = field(default_factory=set)
    jumps: set[str] = field(default_factory=set)
    jumps_within: bool = False
    """It takes addresses of its own code: its indirect jumps go there."""


def stack_bound(firmware: Firmware) -> StackBound | None:
    """The bound of the firmware's model; None where the stack is not ours (host).

    Raises:
        InternalError: there is no bound, since functions call each other in a circle or through
            pointers, or move the stack pointer by amounts unknown; or a frame was read wrongly.
    """
    if firmware.footprint is None or firmware.bin is None:
        return None
    nodes = call_graph(firmware.footprint)
    stated = compiler_frames(firmware.footprint.parent)
    check_frames(nodes, stated)
    roots = [name for name in nodes if name.endswith(ROOT_SUFFIXES)]
    if not roots:
        raise InternalError("the footprint has no inference to bound", value=sorted(nodes))
    return replace(
        max((bound(nodes, root) for root in roots), key=lambda found: found.bytes),
        clock_bytes=stated.get(CLOCK, 0),
        wrapper_bytes=stated.get(WRAPPER, 0),
    )


def bound(nodes: Mapping[str, Node], root: str) -> StackBound:
    """The deepest way from `root` down. Raises InternalError where functions call in a circle."""
    known: dict[str, tuple[Frame, ...]] = {}

    def deepest(name: str, path: tuple[str, ...]) -> tuple[Frame, ...]:
        if name in path:
            circle = " -> ".join((*path[path.index(name) :], name))
            raise InternalError("the stack has no bound: recursion", value=circle)
        if name not in known:
            node, path = nodes[name], (*path, name)
            own = Frame(name, node.frame)
            ways = [(own,), *((own, *deepest(to, path)) for to in sorted(node.calls))]
            ways += [deepest(to, path) for to in sorted(node.jumps)]
            known[name] = max(ways, key=_bytes)
        return known[name]

    way = deepest(root, ())
    return StackBound(_bytes(way), way)


def _bytes(way: tuple[Frame, ...]) -> int:
    return sum(frame.bytes for frame in way)


def call_graph(elf: Path) -> dict[str, Node]:
    """The functions of a linked ELF of Cortex-M or RV32, by name.

    Raises:
        InternalError: a call or jump through a pointer, or a stack pointer that moves by an
            unknown amount.
    """
    with elf.open("rb") as stream:
        file = ELFFile(stream)
        is_thumb = file["e_machine"] == "EM_ARM"
        section = file.get_section_by_name(CODE_SECTION)
        table = file.get_section_by_name(".symtab")
        if section is None or not isinstance(table, SymbolTableSection):
            raise InternalError(f"{elf.name} has no code to bound the stack of")
        nodes = sorted(_functions(file, table), key=lambda node: node.address)
        data = _data_ranges(file, table) if is_thumb else []
        code, base = section.data(), section["sh_addr"]

        def word_at(address: int) -> int | None:
            word = code[address - base : address - base + 4] if address >= base else b""
            return int.from_bytes(word, "little") if len(word) == 4 else None

        for node in nodes:
            for start, end in _without(node.address, node.end, data):
                part = code[start - base : end - base]
                events = (
                    thumb_events(part, start, word_at) if is_thumb else riscv_events(part, start)
                )
                for event in events:
                    _enter(node, event, nodes)
    return {node.name: node for node in nodes}


def _functions(file: ELFFile, table: SymbolTableSection) -> Iterator[Node]:
    """Each function once, under the first of its names."""
    seen = set()
    for symbol in table.iter_symbols():
        if symbol["st_info"]["type"] != "STT_FUNC" or not _in_code(file, symbol["st_shndx"]):
            continue
        address = symbol["st_value"] & ~1
        if symbol["st_size"] and address not in seen:
            seen.add(address)
            yield Node(symbol.name, address, address + symbol["st_size"])


def _in_code(file: ELFFile, index: int | str) -> bool:
    return isinstance(index, int) and file.get_section(index).name == CODE_SECTION


def _data_ranges(file: ELFFile, table: SymbolTableSection) -> list[tuple[int, int]]:
    """Literals among Thumb code: from each mapping symbol `$d` to the next (AAELF32, 5.5.5)."""
    marks = sorted(
        (symbol["st_value"] & ~1, symbol.name[:2])
        for symbol in table.iter_symbols()
        if symbol.name[:2] in ("$t", "$d") and _in_code(file, symbol["st_shndx"])
    )
    ends = [address for address, _ in marks[1:]] + [1 << 32]
    return [
        (address, end) for (address, name), end in zip(marks, ends, strict=True) if name == "$d"
    ]


def _without(start: int, end: int, data: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """[start, end) but for the ranges of `data`."""
    for low, high in data:
        if high > start and low < end:
            if low > start:
                yield start, low
            start = max(start, high)
    if start < end:
        yield start, end


def _enter(node: Node, event: Event, nodes: list[Node]) -> None:
    if event.kind == "push":
        node.frame += event.value
    elif event.kind in ("call", "jump"):
        target = _function_at(event.value, nodes)
        if event.kind == "call":
            node.calls.add(target.name)
        elif target is not node:
            node.jumps.add(target.name)
    elif event.kind == "own address":
        node.jumps_within = True
    elif event.kind != "indirect jump" or not node.jumps_within:
        raise InternalError(
            f"the stack has no bound: {event.kind}", value=f"{node.name} at 0x{event.address:x}"
        )


def _function_at(address: int, nodes: list[Node]) -> Node:
    index = bisect_right([node.address for node in nodes], address) - 1
    if index < 0 or address >= nodes[index].end:
        raise InternalError("the stack has no bound: a call to no function", value=f"0x{address:x}")
    return nodes[index]


def compiler_frames(folder: Path) -> dict[str, int]:
    """What the compiler says that functions take, by the stem of their name, in bytes.

    GCC writes `.su` files beside the objects, clang sections `.stack_sizes` into them.
    """
    frames: dict[str, int] = {}
    for path in sorted(folder.rglob("*.su")):
        for line in path.read_text(encoding="utf-8").splitlines():
            place, size, how = line.split("\t")
            name = stem(place.rsplit(":", 1)[1])
            if how not in ("static", "dynamic,bounded"):
                raise InternalError(f"the stack has no bound: a frame is {how}", value=name)
            frames[name] = min(frames.get(name, int(size)), int(size))
    for path in sorted(folder.rglob("*.obj")):
        frames |= dict(_stack_sizes(path))
    return frames


def stem(name: str) -> str:
    """The name in C: GCC numbers its specialised copies, `name.constprop.0`."""
    return name.split(".", 1)[0]


def _stack_sizes(path: Path) -> Iterator[tuple[str, int]]:
    """Function and bytes: each function has its section, and its size is in one linked to it."""
    with path.open("rb") as stream:
        file = ELFFile(stream)
        table = file.get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        functions = {
            symbol["st_shndx"]: symbol.name
            for symbol in table.iter_symbols()
            if symbol["st_info"]["type"] == "STT_FUNC"
        }
        for section in file.iter_sections():
            if section.name == ".stack_sizes":
                yield stem(functions[section["sh_link"]]), _size(section, file.elfclass // 8)


def _size(section: Section, address_bytes: int) -> int:
    """An address, then the bytes as unsigned LEB128."""
    digits = section.data()[address_bytes:]
    return sum((digit & 0x7F) << 7 * index for index, digit in enumerate(digits))


def check_frames(nodes: Mapping[str, Node], stated: Mapping[str, int]) -> None:
    """Raise InternalError where a frame is smaller than what the compiler says of it."""
    for node in nodes.values():
        least = stated.get(stem(node.name), 0)
        if node.frame < least:
            raise InternalError(
                f"the frame of {node.name} was read wrongly",
                value=f"{node.frame} bytes",
                allowed=f"{least} bytes, as the compiler says, or more",
            )
