"""The rewrites, in order. Each is a pure function Graph -> Graph, and verified after it ran.

To add one: write `exporter/passes/<name>.py` with a function of that name, put it in PASSES where
it belongs with the reason for the position, and test it in `tests/passes/`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from exporter.errors import BadInput
from exporter.graph.ir import Graph
from exporter.graph.verify import verify
from exporter.passes.fuse_pad import fuse_pad
from exporter.passes.remove_constant_channels import remove_constant_channels
from exporter.passes.remove_identities import remove_identities
from exporter.passes.remove_unused import remove_unused

Pass = Callable[[Graph], Graph]

PASSES: tuple[Pass, ...] = (
    # First: what never reaches an output need not be supported, nor looked at again.
    remove_unused,
    # Before fuse_pad: an operator that changes nothing must not stand between PAD and its consumer.
    remove_identities,
    # Late: it wants to see the final consumers of every PAD.
    fuse_pad,
    # Last: a convolution's border decides which channels can go, and a fused PAD is a border.
    remove_constant_channels,
)


def run(graph: Graph, *, until: str | None = None, without: Collection[str] = ()) -> Graph:
    """`graph` after all passes, or after the one named `until`; those named `without` left out.

    Raises:
        BadInput: no pass has one of these names.
    """
    for name in (*without, *(() if until is None else (until,))):
        if name not in names():
            raise BadInput(
                "unknown pass", value=name, allowed=names(), next_step="choose one of them"
            )
    for rewrite in PASSES:
        if rewrite.__name__ not in without:
            graph = verify(rewrite(graph), after=rewrite.__name__)
        if rewrite.__name__ == until:
            break
    return graph


def names() -> tuple[str, ...]:
    return tuple(rewrite.__name__ for rewrite in PASSES)
