"""The rewrites, in order. Each is a pure function Graph -> Graph, and verified after it ran.

To add one: write `exporter/passes/<name>.py` with a function of that name, put it in PASSES where
it belongs with the reason for the position, and test it in `tests/passes/`.
"""

from __future__ import annotations

from collections.abc import Callable

from exporter.errors import BadInput
from exporter.graph.ir import Graph
from exporter.graph.verify import verify
from exporter.passes.fuse_pad import fuse_pad
from exporter.passes.remove_identities import remove_identities
from exporter.passes.remove_unused import remove_unused

Pass = Callable[[Graph], Graph]

PASSES: tuple[Pass, ...] = (
    # First: what never reaches an output need not be supported, nor looked at again.
    remove_unused,
    # Before fuse_pad: an operator that changes nothing must not stand between PAD and its consumer.
    remove_identities,
    # Last: it wants to see the final consumers of every PAD.
    fuse_pad,
)


def run(graph: Graph, *, until: str | None = None) -> Graph:
    """`graph` after all passes, or after the one named `until`.

    Raises:
        BadInput: no pass is named `until`.
    """
    if until is not None and until not in names():
        raise BadInput("unknown pass", value=until, allowed=names(), next_step="choose one of them")
    for rewrite in PASSES:
        graph = verify(rewrite(graph), after=rewrite.__name__)
        if rewrite.__name__ == until:
            break
    return graph


def names() -> tuple[str, ...]:
    return tuple(rewrite.__name__ for rewrite in PASSES)
