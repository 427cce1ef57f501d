"""How Python values are spelled in C: literals, arrays, identifiers, comments."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import numpy as np

LINE_COLUMNS = 100


def c_identifier(text: str) -> str:
    """`text` as a lower-case C identifier: runs of other characters become one underscore."""
    name = re.sub(r"[^0-9a-zA-Z]+", "_", text).strip("_").lower()
    return f"_{name}" if name[:1].isdigit() else name


def c_comment(text: str) -> str:
    """`text` made safe inside a block comment: one line, printable, without the closing mark."""
    printable = "".join(ch if ch.isprintable() else "?" for ch in text)
    return printable.replace("*/", "* /").replace("/*", "/ *")


def c_string(text: str) -> str:
    """`text` in UTF-8 as a C string literal in ASCII.

    Octal escapes end after three digits; hexadecimal ones take in the digits that follow.
    """
    plain = bytes(sorted(set(range(32, 127)) - set(b'"\\?')))
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode()) + '"'


def c_float(value: float) -> str:
    """`value`, exactly, as a C literal of type float."""
    text = repr(float(np.float32(value)))
    return f"{text}f"


def c_int32(value: int) -> str:
    """`value` as an int32 literal; INT32_MIN has no literal of its own in C."""
    return "(-2147483647 - 1)" if value == -(2**31) else str(int(value))


def c_constant(value: bool | int | float | str | tuple[float, ...]) -> str:
    """`value` as the replacement of a macro: a literal, or the initialiser of an array of float."""
    if isinstance(value, str):
        return c_string(value)
    if isinstance(value, tuple):
        return f"{{{', '.join(map(_short_float, value))}}}"
    text = _short_float(value) if isinstance(value, float) else c_int32(value)
    return f"({text})" if text.startswith("-") else text


def _short_float(value: float) -> str:
    """As people wrote it: nine digits are enough for the compiler to find the same float."""
    return f"{float(f'{value:.9g}')!r}f"


def c_values(values: Iterable[int | float], *, indent: int = 4) -> str:
    """The body of an array initialiser, wrapped at 100 columns, aligned by widest value."""
    array = np.asarray(list(values) if not isinstance(values, np.ndarray) else values).ravel()
    literal = c_float if array.dtype.kind == "f" else lambda value: c_int32(int(value))
    texts = [literal(value) for value in array.tolist()]
    width = max((len(text) for text in texts), default=1)
    per_line = max(1, (LINE_COLUMNS - indent) // (width + 2))
    if per_line > 16:
        per_line = per_line // 8 * 8
    lines = (
        ", ".join(text.rjust(width) for text in texts[start : start + per_line])
        for start in range(0, len(texts), per_line)
    )
    return ",\n".join(" " * indent + line for line in lines)


def c_bytes(hexadecimal: str) -> str:
    """The body of a byte array initialiser from hex digits, eight bytes a line."""
    values = [f"0x{byte:02x}" for byte in bytes.fromhex(hexadecimal)]
    lines = (", ".join(values[start : start + 8]) for start in range(0, len(values), 8))
    return ",\n".join(" " * 8 + line for line in lines)


def chomp(text: str) -> str:
    """`text` without its last line end: lets a macro of whole lines stand on a line of its own."""
    return text.removesuffix("\n")


FILTERS: dict[str, Callable[..., str]] = {
    "c_identifier": c_identifier,
    "c_comment": c_comment,
    "c_string": c_string,
    "c_float": c_float,
    "c_constant": c_constant,
    "c_int32": c_int32,
    "c_values": c_values,
    "c_bytes": c_bytes,
    "chomp": chomp,
}
