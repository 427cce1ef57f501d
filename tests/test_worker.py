"""Workers: what is left of one, and of a request that was broken off."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.worker import Message, Worker, WorkerDied

DEADLINE_S = 60.0


def asking(how: str) -> Message:
    return Message("convert", {"how": how})


def interrupted(_: str) -> None:
    raise KeyboardInterrupt


def test_the_answer_to_an_interrupted_request_is_not_taken_for_the_next_ones() -> None:
    with Worker("tests.foreign.stand_in") as worker:
        with pytest.raises(KeyboardInterrupt):
            worker.request(asking("late"), DEADLINE_S, interrupted)
        assert not worker.alive
        with pytest.raises(WorkerDied, match="SIGKILL"):
            worker.request(asking("ask"), DEADLINE_S)


def test_temporary_files_go_with_the_worker() -> None:
    with Worker("tests.foreign.stand_in") as worker:
        folder = Path(worker.request(asking("litter"), DEADLINE_S).fields["folder"])
        assert folder.is_dir()
    assert not folder.exists() and not folder.parent.exists()


def test_a_worker_may_put_things_right_at_its_end(tmp_path: Path) -> None:
    with Worker("tests.foreign.stand_in") as worker:
        worker.closing_seconds = DEADLINE_S
        path = tmp_path / "left"
        worker.request(Message("convert", {"how": "tidy", "path": str(path)}), DEADLINE_S)
    assert path.read_text() == "put right"
