"""What a loader writes: the bytes of an image, by address."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Segment:
    """Bytes that lie together. `address` is where they are stored, not where they run."""

    address: int
    data: bytes

    @property
    def end(self) -> int:
        """One past the last address."""
        return self.address + len(self.data)


@dataclass(frozen=True)
class Image:
    """Segments in ascending order, apart from each other."""

    segments: tuple[Segment, ...]
