"""How long to wait and how much to send at once, learnt from what happened so far."""

from __future__ import annotations

from dataclasses import dataclass

LEAST_PORTION_BYTES = 64
"""Below this a frame is mostly header, and shorter portions arrive no sooner."""


@dataclass(frozen=True)
class Timing:
    """How long to wait, in seconds, on a link that moves at least `bytes_per_second`."""

    bytes_per_second: float = 1000.0
    retry_seconds: float = 2.0  # until a request is sent again, while nothing was measured
    least_retry_seconds: float = 1.0  # whatever was measured (RFC 6298, 2.4): boards get busy
    longest_retry_seconds: float = 16.0  # the pause doubles each time
    quick_repeats: int = 16  # of a request, when a damaged frame says that it is needed
    transfer_seconds: float = 30.0  # least deadline of anything, however few its bytes
    handshake_seconds: float = 30.0
    hello_seconds: float = 0.25
    reopen_seconds: float = 0.1  # before a port that broke is opened, and before each trial more

    def transfer_deadline(self, size: int) -> float:
        """Seconds that a transfer of `size` bytes may take."""
        return max(self.transfer_seconds, size / self.bytes_per_second)


class RoundTrip:
    """The smoothed round trip of one command and its mean deviation (RFC 6298, section 2)."""

    def __init__(self) -> None:
        self._mean: float | None = None
        self._deviation = 0.0

    def add(self, seconds: float) -> None:
        """A reply took `seconds`; only for a request that was sent once (Karn's rule)."""
        if self._mean is None:
            self._mean, self._deviation = seconds, seconds / 2
            return
        self._deviation += (abs(seconds - self._mean) - self._deviation) / 4
        self._mean += (seconds - self._mean) / 8

    def pause(self) -> float | None:
        """Seconds after which a reply is overdue; None before the first one came.

        Twice the mean at least: runs of a model take equally long, until the computer is busy.
        """
        if self._mean is None:
            return None
        return max(2 * self._mean, self._mean + 4 * self._deviation)


class PortionSize:
    """Bytes of a tensor for one frame: halved where a frame is lost, an eighth more where not.

    Frames of n bytes get through with probability (1 - p)^n at an error rate of p per byte, so that
    the best size depends on the link: at 1e-3 it is near 150 bytes, where 1 KB hardly ever arrives.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.bytes = most

    def lost(self, size: int) -> None:
        """A frame with `size` bytes did not arrive."""
        if size > LEAST_PORTION_BYTES:
            self.bytes = max(LEAST_PORTION_BYTES, min(self.bytes, size // 2))

    def arrived(self, size: int) -> None:
        """A frame with `size` bytes did."""
        if size >= self.bytes:
            self.bytes = min(self._most, self.bytes + max(1, self.bytes // 8))
