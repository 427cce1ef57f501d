"""How much code a model will be, estimated from its C before a compiler sees it.

Four things are counted in what is printed: instructions of assembly, names in C, operators in the
inline functions that are called, and tables; what each comes to in bytes was fitted to footprints
that were built (`python -m tests.benchmarks.code_size`, which prints `COSTS`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from functools import cache

from exporter.plan.program import Program
from exporter.render.environment import template_folder
from exporter.render.model import render_model

HEADERS = ("nano_arithmetic.h", "nano_dsp.h")
DEEPEST_INLINE = 8

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_NAME = re.compile(r"[A-Za-z_]\w*")
_CALL = re.compile(r"\b(\w+)\(")
_OPERATOR = re.compile(r"<<|>>|[-+*/%<>=!]=?|\[|\?|&&?|\|\|?|\^|~")
_TABLE = re.compile(r"static const uint(8|16)_t order\[(\d+)\] = \{.*?\};", re.DOTALL)
_INLINE = re.compile(
    r"^static inline [\w ]*?\**(\w+)\([^{]*?\)\n\{(.*?)^\}", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Counts:
    """What is printed: how many of each, `tables` in bytes; `copies`: 1 where memory is copied."""

    assembly: int
    names: int
    inlined: int
    copies: int
    one: int
    tables: int


@dataclass(frozen=True)
class Costs:
    """Bytes for each of `Counts` but the tables; `once` for what every model has."""

    assembly: float
    name: float
    inlined: float
    copying: float
    once: float


COSTS: Mapping[tuple[str, str, str, str], Costs] = {
    ("cortex_m", "dsp", "gcc", "speed"): Costs(3.66, 0.98, 2.28, 41.67, 117.68),
    ("cortex_m", "mve", "gcc", "speed"): Costs(3.47, 1.44, 0.0, 162.02, 0.0),
    ("cortex_m", "generic", "gcc", "speed"): Costs(1.69, 2.49, 0.46, 40.64, 40.33),
    ("riscv", "generic", "gcc", "speed"): Costs(0.0, 2.71, 1.55, 216.58, 93.22),
    ("cortex_m", "dsp", "gcc", "size"): Costs(2.66, 1.58, 0.9, 100.13, 11.83),
    ("cortex_m", "mve", "gcc", "size"): Costs(2.97, 1.66, 0.03, 0.0, 0.0),
    ("cortex_m", "generic", "gcc", "size"): Costs(1.91, 1.82, 0.42, 23.77, 38.47),
    ("riscv", "generic", "gcc", "size"): Costs(0.0, 2.14, 1.76, 214.07, 2.61),
    ("cortex_m", "dsp", "clang", "speed"): Costs(4.76, 1.55, 4.86, 148.41, 79.63),
    ("cortex_m", "mve", "clang", "speed"): Costs(3.11, 2.27, 0.0, 470.21, 0.0),
    ("cortex_m", "generic", "clang", "speed"): Costs(0.16, 3.69, 0.0, 159.69, 215.67),
    ("riscv", "generic", "clang", "speed"): Costs(0.0, 3.9, 1.04, 53.82, 0.0),
    ("cortex_m", "dsp", "clang", "size"): Costs(3.93, 1.28, 2.44, 392.45, 0.0),
    ("cortex_m", "mve", "clang", "size"): Costs(3.01, 1.92, 0.17, 328.33, 0.0),
    ("cortex_m", "generic", "clang", "size"): Costs(7.68, 1.94, 0.76, 216.22, 72.82),
    ("riscv", "generic", "clang", "size"): Costs(0.0, 1.04, 6.31, 216.07, 59.31),
}
"""By platform, instruction set, toolchain and optimisation."""


def code_bytes(program: Program, platform: str, instruction_set: str, toolchain: str) -> int | None:
    """Estimate of the code section of `program`'s footprint, None where nothing was fitted."""
    costs = COSTS.get((platform, instruction_set, toolchain, program.optimize))
    if costs is None:
        return None
    counted = count(render_model(program)["model/model.c"], platform, instruction_set)
    return round(estimate(costs, counted))


def estimate(costs: Costs, counts: Counts) -> float:
    """Bytes, not rounded."""
    *factors, tables = astuple(counts)
    products = [f * c for f, c in zip(factors, astuple(costs), strict=True)]
    return float(sum(products) + tables)


def count(source: str, platform: str, instruction_set: str) -> Counts:
    """What is in the C of a model for such a core."""
    text = compiled(source, platform, instruction_set)
    tables = sum(int(bits) // 8 * int(entries) for bits, entries in _TABLE.findall(text))
    text = _TABLE.sub("", text)
    c = _STRING.sub("", text)
    inline = _inline_operators(platform, instruction_set)
    return Counts(
        assembly=_instructions(text),
        names=len(_NAME.findall(c)),
        inlined=sum(inline.get(name, 0) for name in _CALL.findall(c)),
        copies=int("memcpy(" in c),
        one=1,
        tables=tables,
    )


def compiled(source: str, platform: str, instruction_set: str) -> str:
    """`source` without comments, directives, and the branches not taken on such a core."""
    lines, taken = [], []
    for line in _COMMENT.sub("", source).splitlines():
        word = line.strip()
        if word.startswith("#if"):
            taken.append(_holds(word, platform, instruction_set))
        elif word.startswith("#else"):
            taken[-1] = not taken[-1]
        elif word.startswith("#endif"):
            taken.pop()
        elif not word.startswith("#") and all(taken):
            lines.append(line)
    return "\n".join(lines) + "\n"


def _holds(condition: str, platform: str, instruction_set: str) -> bool:
    """The conditions that our templates have: include guards, and features of Arm cores."""
    if "__ARM_FEATURE_MVE" in condition:
        return instruction_set == "mve"
    if "__ARM_FEATURE_DSP" in condition:
        return instruction_set in ("dsp", "mve")
    return "__ARM" not in condition or platform == "cortex_m"


def _instructions(text: str) -> int:
    """Instructions in the strings of assembly, those of `.rept` as often as it says."""
    total, times = 0, 1
    for string in _STRING.findall(text):
        for line in string.replace(r"\t", " ").split(r"\n"):
            word = line.strip()
            if word.startswith(".rept"):
                times = int(word.split()[1])
            elif word.startswith(".endr"):
                times = 1
            elif word and not word.startswith(".") and not word.endswith(":"):
                total += times
    return total


@cache
def _inline_operators(platform: str, instruction_set: str) -> dict[str, int]:
    """Operators in each inline function of our headers, with those that it calls."""
    folder = template_folder() / "model"
    bodies: dict[str, str] = {}
    for name in HEADERS:
        source = (folder / name).read_text(encoding="utf-8")
        bodies |= dict(_INLINE.findall(compiled(source, platform, instruction_set)))

    def operators(name: str, depth: int) -> int:
        own = len(_OPERATOR.findall(bodies[name]))
        called = [n for n in _CALL.findall(bodies[name]) if n in bodies and n != name]
        return own + (sum(operators(n, depth - 1) for n in called) if depth else 0)

    return {name: operators(name, DEEPEST_INLINE) for name in bodies}
