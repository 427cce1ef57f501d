"""Which channels of a network are one and the same, so that they stay or go together.

Every channel that a convolution or dense layer makes gets an identity of its own. Layers pass
identities on, and a residual sum declares those of its inputs to be the same. What is left are
classes of identities; a class is what can be removed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
"""The identity of each channel of a tensor, [C] for its last axis."""
Mask = NDArray[np.bool_]


@dataclass(eq=False)
class Channels:
    """Identities, united where they are the same."""

    _parents: list[int] = field(default_factory=list)
    _makers: list[str] = field(default_factory=list)
    _pinned: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self._parents)

    def make(self, count: int, maker: str) -> Ids:
        """New identities, made by the layer `maker`."""
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        self._makers.extend([maker] * count)
        return np.arange(first, first + count)

    def unite(self, left: Ids, right: Ids) -> None:
        """Channel by channel, the same from now on."""
        for a, b in zip(left.tolist(), right.tolist(), strict=True):
            roots = self._root(a), self._root(b)
            self._parents[max(roots)] = min(roots)

    def pin(self, ids: Ids) -> None:
        """These must stay."""
        self._pinned.update(ids.tolist())

    def _root(self, identity: int) -> int:
        while self._parents[identity] != identity:
            self._parents[identity] = self._parents[self._parents[identity]]
            identity = self._parents[identity]
        return identity

    def classes(self) -> Ids:
        """The class of each identity, named after its smallest member."""
        return np.array([self._root(i) for i in range(len(self))], np.int64)

    def groups(self) -> list[Group]:
        """Classes that may be removed, those of the same makers together."""
        roots = self.classes()
        stay = {int(roots[i]) for i in self._pinned}
        makers: dict[int, set[str]] = defaultdict(set)
        for identity, root in enumerate(roots.tolist()):
            makers[root].add(self._makers[identity])
        members: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for root, names in makers.items():
            if root not in stay:
                members[tuple(sorted(names))].append(root)
        return [Group(names, np.array(found)) for names, found in members.items()]


@dataclass(frozen=True, eq=False)
class Group:
    """Classes of channels that the same layers make: a unit of which a number can be kept."""

    makers: tuple[str, ...]
    classes: Ids
