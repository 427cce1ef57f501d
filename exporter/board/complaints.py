"""What is wrong with a board's file, in words: pydantic's findings by field, value and allowed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic
from pydantic_core import ErrorDetails

from exporter.board.model import Board
from exporter.errors import BadInput

_LONGEST_VALUE = 60
_RULE = "Value error, "
"""What pydantic puts before the words of a rule of ours."""


def complaint(path: Path, error: pydantic.ValidationError) -> BadInput:
    """The first finding in full, and the fields of the others that do not only follow from it."""
    first, *rest = error.errors(include_url=False)
    others = [one for one in rest if one["loc"] != first["loc"][: len(one["loc"])]]
    more = f", and {len(others)} more: {', '.join(map(_field, others))}" if others else ""
    return BadInput(
        f"the board file {path.name} cannot be used",
        value=_finding(first) + more,
        allowed=_allowed(first),
        next_step=_next_step(first),
    )


def _field(finding: ErrorDetails) -> str:
    """`memory.0.origin`; a rule of the whole file has no field."""
    return ".".join(str(part) for part in finding["loc"])


def _finding(finding: ErrorDetails) -> str:
    field = _field(finding) or "the file"
    if finding["type"] == "missing":
        return f"{field} is missing"
    if finding["type"] == "extra_forbidden":
        return f"{field}, which is no field"
    value = finding["input"]
    if finding["type"] == "union_tag_invalid":
        field, value = f"{field}.name", finding["ctx"]["tag"]
    if isinstance(value, Mapping):
        return field
    shown = repr(value)
    return f"{field}: {shown if len(shown) <= _LONGEST_VALUE else shown[:_LONGEST_VALUE] + '...'}"


def _allowed(finding: ErrorDetails) -> str:
    if finding["type"] == "missing":
        return _described(finding["loc"]) or "a value"
    if finding["type"] == "extra_forbidden":
        return ", ".join(_fields_beside(finding["loc"]))
    if finding["type"] == "union_tag_invalid":
        return str(finding["ctx"]["expected_tags"])
    message = finding["msg"]
    if message.startswith(_RULE):
        return message.removeprefix(_RULE)
    for opening in ("Input should be ", "Input should "):
        message = message.removeprefix(opening)
    return message


def _next_step(finding: ErrorDetails) -> str:
    if finding["type"] == "extra_forbidden":
        name = str(finding["loc"][-1])
        near = difflib.get_close_matches(name, _fields_beside(finding["loc"]), n=1)
        if near:
            return f"did you mean {near[0]}?"
    return "docs/add_a_board.md says what each field is; boards/ has a file like it"


def _fields_beside(location: tuple[int | str, ...]) -> list[str]:
    return [*_properties(location[:-1])]


def _described(location: tuple[int | str, ...]) -> str | None:
    description = _properties(location[:-1]).get(str(location[-1]), {}).get("description")
    return None if description is None else str(description)


def _properties(location: tuple[int | str, ...]) -> dict[str, Any]:
    """The fields of the record at a place in the file, as the schema has them."""
    schema = Board.model_json_schema()
    node = schema
    for part in location:
        node = _below(_resolved(node, schema), part, schema)
    found: dict[str, Any] = _resolved(node, schema).get("properties", {})
    return found


def _below(node: dict[str, Any], part: int | str, schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(part, int):
        return dict(node.get("items", {}))
    if part in node.get("properties", {}):
        return dict(node["properties"][part])
    if "discriminator" in node:  # a flasher, by its name
        return {"$ref": node["discriminator"]["mapping"].get(part, "")}
    extra = node.get("additionalProperties")
    return dict(extra) if isinstance(extra, dict) else {}


def _resolved(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Through references, and the record of a field that may be absent."""
    for choice in node.get("anyOf", []):
        if choice.get("type") != "null":
            return _resolved(choice, schema)
    reference = str(node.get("$ref", "")).rpartition("/")[2]
    return _resolved(schema["$defs"][reference], schema) if reference else node
