"""The samples still to be run, shared out among devices. One that is lost gives its own back."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable


class Work:
    """A queue of samples for several threads; each is with one thread at a time until it is done.

    A thread that finds nothing waits while others are at work: what they give back is its own.
    """

    def __init__(self, samples: Iterable[int]) -> None:
        self._waiting = deque(samples)
        self._running: set[int] = set()
        self._stopped = False
        self._changed = threading.Condition()

    def take(self, *, wait: bool) -> int | None:
        """The next sample; None where there is none (left, with `wait`), or all is stopped."""
        with self._changed:
            while not self._stopped:
                if self._waiting:
                    sample = self._waiting.popleft()
                    self._running.add(sample)
                    return sample
                if not wait or not self._running:
                    return None
                self._changed.wait()
        return None

    def done(self, samples: Iterable[int]) -> None:
        """Samples whose results are handed over."""
        with self._changed:
            self._running.difference_update(samples)
            self._changed.notify_all()

    def give_back(self, samples: Iterable[int]) -> None:
        """Samples whose device was lost: they are the next ones, in their order."""
        with self._changed:
            for sample in sorted(samples, reverse=True):
                self._running.discard(sample)
                self._waiting.appendleft(sample)
            self._changed.notify_all()

    def stop(self) -> None:
        """Nobody gets another sample."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    @property
    def left(self) -> int:
        """Samples that are not done."""
        with self._changed:
            return len(self._waiting) + len(self._running)

    @property
    def stopped(self) -> bool:
        return self._stopped
