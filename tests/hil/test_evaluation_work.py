"""The queue of samples: each with one thread at a time, none forgotten, nobody left waiting."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from exporter.hil.evaluation.work import Work

SECONDS = 60.0


def test_in_order_and_to_the_end() -> None:
    work = Work([3, 1, 2])
    taken = [work.take(wait=False) for _ in range(3)]
    assert taken == [3, 1, 2] and work.left == 3
    assert work.take(wait=False) is None, "others are at work, but nobody wants to wait"
    work.done([3, 1, 2])
    assert work.take(wait=True) is None and work.left == 0


def test_what_is_given_back_comes_next() -> None:
    work = Work(range(5))
    first = [work.take(wait=False) for _ in range(3)]
    work.give_back([2, 0])
    assert first == [0, 1, 2]
    assert [work.take(wait=False) for _ in range(4)] == [0, 2, 3, 4]


def test_whoever_waits_gets_what_another_gives_back() -> None:
    work = Work([0])
    assert work.take(wait=True) == 0
    with ThreadPoolExecutor(1) as beside:
        waiting = beside.submit(work.take, wait=True)
        time.sleep(0.05)
        assert not waiting.done()
        work.give_back([0])
        assert waiting.result(SECONDS) == 0
        work.done([0])


def test_whoever_waits_learns_of_the_end() -> None:
    for end in ("done", "stop"):
        work = Work([0])
        work.take(wait=True)
        with ThreadPoolExecutor(2) as beside:
            waiting = [beside.submit(work.take, wait=True) for _ in range(2)]
            if end == "done":
                work.done([0])
            else:
                work.stop()
            assert [w.result(SECONDS) for w in waiting] == [None, None]


def test_many_threads_that_fail_now_and_then() -> None:
    """Every sample is done once, whoever gave it back before."""
    work, done, lock = Work(range(300)), [], threading.Lock()

    def serve(number: int) -> None:
        turn = 0
        while (sample := work.take(wait=True)) is not None:
            turn += 1
            if (turn + number) % 3 == 0:
                work.give_back([sample])
                continue
            with lock:
                done.append(sample)
            work.done([sample])

    with ThreadPoolExecutor(6) as threads:
        for finished in [threads.submit(serve, n) for n in range(6)]:
            finished.result(SECONDS)
    assert sorted(done) == [*range(300)]
