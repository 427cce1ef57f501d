"""The generated document of the operators: `python -m exporter.ops.table docs/operators.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from exporter.arrays import write_atomically
from exporter.ops import operators
from exporter.ops.base import Operator, rule_text

HEADER = """\
# Operators

<!-- Written by `make docs` from the constraints in exporter/ops: do not edit. -->

The int8 operators that nanoexport compiles, each with the rules that a model must keep. A model
that breaks one is refused, with the rule and the layer, before anything is built.
"""


def operators_document() -> str:
    """The text of docs/operators.md."""
    return HEADER + "".join(_lines())


def _lines() -> Iterator[str]:
    found = operators().values()
    shared = [rule for rule in _rules(next(iter(found))) if all(rule in _rules(o) for o in found)]
    yield "\nFor every operator:\n\n"
    yield from (f"- {rule}\n" for rule in shared)
    for operator in found:
        yield f"\n## {operator.kind}\n\n"
        if operator.is_view:
            yield "The same bytes under another shape: no kernel, no copy.\n\n"
        yield from (f"- {rule}\n" for rule in _rules(operator) if rule not in shared)


def _rules(operator: Operator) -> list[str]:
    return [rule_text(rule) for rule in operator.constraints]


if __name__ == "__main__":
    write_atomically(Path(sys.argv[1]), operators_document().encode())
