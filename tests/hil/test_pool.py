"""The device pool: a place has one user at a time, in whatever process."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.board import load_board
from exporter.errors import BadInput, LinkFailed, MissingTool
from exporter.hil.locks import Lock, lock_folder, port_key, port_lock, try_lock
from exporter.hil.pool import DevicePool, Place, read_pool
from exporter.hil.session import open_image
from tests.hil.support import REPOSITORY

HOLD = """
import sys
from exporter.hil.pool import DevicePool, Place
with DevicePool([Place("host", sys.argv[1])]).acquire(wait_seconds=0):
    print("held", flush=True)
    sys.stdin.read()
"""
COUNT = """
import os, sys, time
from pathlib import Path
from exporter.hil.pool import DevicePool, Place
inside, most = Path(sys.argv[1]), 0
pool = DevicePool([Place("host", slot=1), Place("host", slot=2)])
for turn in range(5):
    with pool.acquire("host", wait_seconds=60):
        mine = inside / str(os.getpid())
        mine.touch()
        most = max(most, len(list(inside.iterdir())))
        time.sleep(0.02)
        mine.unlink()
print(most)
"""


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Locks of this test alone."""
    monkeypatch.setenv("NANOEXPORT_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    return tmp_path / "locks"


@pytest.fixture
def terminal() -> Iterator[str]:
    """The path of a pty."""
    ends = pty.openpty()
    yield os.ttyname(ends[1])
    for end in ends:
        os.close(end)


def started(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_place_has_one_user_in_a_process() -> None:
    pool, place = DevicePool([Place("host", slot=1)]), Place("host", slot=1)
    with pool.acquire("host", wait_seconds=0) as found:
        assert found == place
        with (
            pytest.raises(MissingTool, match="no place became free") as refused,
            pool.acquire("host", wait_seconds=0.2),
        ):
            pass
        assert f"pid {os.getpid()}" in str(refused.value)
    with pool.acquire(wait_seconds=0) as again:
        assert again == place


def test_two_processes_want_one_port(terminal: str) -> None:
    """Refused with the holder's name while it runs; free as soon as it is killed."""
    pool = DevicePool([Place("host", terminal)])
    with started(HOLD, terminal) as other:
        assert said(other) == "held"
        with pytest.raises(MissingTool) as refused, pool.acquire(wait_seconds=0.2):
            pass
        assert f"pid {other.pid} (-c {terminal}" in str(refused.value)
        with pytest.raises(MissingTool, match=f"held by pid {other.pid}"), port_lock(terminal):
            pass
        with pytest.raises(MissingTool, match=f"held by pid {other.pid}"):
            open_image(load_board("host"), Path("unused"), terminal).__enter__()
        other.kill()
        with pool.acquire(wait_seconds=30) as place:
            assert place.port == terminal


def test_a_limit_holds_across_processes(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    processes = [started(COUNT, inside) for _ in range(4)]
    most = [int(said(process)) for process in processes]
    assert [process.wait(60) for process in processes] == [0] * 4
    for process in processes:
        process.communicate()
    assert max(most) <= 2


def test_the_limit_is_reached(tmp_path: Path) -> None:
    pool = DevicePool([Place("host", slot=n) for n in (1, 2)])
    with pool.acquire("host", wait_seconds=0) as one, pool.acquire("host", wait_seconds=0) as two:
        assert {one.slot, two.slot} == {1, 2}


def test_boards_without_a_limit_are_started_at_will(locks: Path) -> None:
    pool = DevicePool([Place("host")])
    with pool.acquire("host", wait_seconds=0) as one, pool.acquire("host", wait_seconds=0) as two:
        assert one == two == Place("host")
        pool.broken(one, "it ended")
    with pool.acquire("host", wait_seconds=0):
        assert not locks.exists()


def test_the_holder_may_open_its_port_once(terminal: str) -> None:
    with DevicePool([Place("host", terminal)]).acquire(wait_seconds=0):
        with (
            port_lock(terminal),
            pytest.raises(MissingTool, match="is in use"),
            port_lock(terminal),
        ):
            pass
        with port_lock(terminal):
            pass
    with port_lock(terminal):
        assert try_lock(port_key(terminal)) is None


def test_a_forked_child_neither_has_nor_keeps_a_lock(terminal: str) -> None:
    """Some test runners fork: the child lives on when the parent has given its port back."""
    lock = try_lock(port_key(terminal))
    assert lock is not None
    read, write = os.pipe()
    tried, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        try:
            with port_lock(terminal):
                os._exit(1)
        except MissingTool:
            lock.release()  # its parent's, and therefore without effect
            os.write(told, b"!")
            os.read(read, 1)
            os._exit(0)
    os.close(read)
    os.close(told)
    os.read(tried, 1)
    os.close(tried)
    with pytest.raises(MissingTool), DevicePool([Place("host", terminal)]).acquire(wait_seconds=0):
        pass
    lock.release()
    with port_lock(terminal):
        pass
    os.close(write)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_whoever_opens_a_port_keeps_the_pool_out(terminal: str) -> None:
    pool = DevicePool([Place("host", terminal)])
    with (
        port_lock(terminal),
        pytest.raises(MissingTool, match="no place became free"),
        pool.acquire(wait_seconds=0.1),
    ):
        pass
    with pool.acquire(wait_seconds=0):
        pass


def test_broken_places_are_left_out_by_all_processes_of_a_run(tmp_path: Path) -> None:
    places = [Place("host", slot=1), Place("host", slot=2)]
    one, two = (DevicePool(places, broken_file=tmp_path / "broken") for _ in range(2))
    one.broken(places[0], "it burns")
    with two.acquire("host", wait_seconds=0) as place:
        assert place.slot == 2
    two.broken(places[1], "so does this")
    with (
        pytest.raises(LinkFailed, match="every place") as refused,
        one.acquire("host", wait_seconds=60),
    ):
        pass
    assert "host #1: it burns; host #2: so does this" in str(refused.value)
    with DevicePool(places).acquire("host", wait_seconds=0) as place:  # another run
        assert place.slot == 1


def test_a_place_that_breaks_at_the_last_moment_is_not_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its last user says so after others have looked, and before it lets go."""
    place = Place("host", slot=1)
    pool = DevicePool([place])

    def broken_meanwhile(key: str) -> Lock | None:
        pool.broken(place, "it burns")
        return try_lock(key)

    monkeypatch.setattr("exporter.hil.pool.try_lock", broken_meanwhile)
    with pytest.raises(LinkFailed, match="every place"), pool.acquire(wait_seconds=60):
        pass
    assert place.key is not None
    assert try_lock(place.key) is not None, "the lock was kept"


def test_a_board_that_the_pool_has_not() -> None:
    pool = DevicePool([Place("host")])
    with (
        pytest.raises(BadInput, match="no place with the board mps2-an386"),
        pool.acquire("mps2-an386", wait_seconds=0),
    ):
        pass


def test_names_of_one_port_are_one_key(tmp_path: Path) -> None:
    device, link = tmp_path / "ttyACM0", tmp_path / "by-id"
    device.touch()
    link.symlink_to(device)
    assert port_key(str(link)) == port_key(str(device))
    assert port_key("socket://localhost:5555") == port_key("rfc2217://127.0.0.1:5555")
    assert port_key("socket://[::1]:5555") == port_key("socket://LOCALHOST:5555/")
    assert port_key("socket://lab:5555") != port_key("socket://lab:5556")
    assert port_key("labgrid://Nucleo") == "labgrid://Nucleo"
    assert port_key("labgrid://Nucleo/?wait=5&serial=a") == "labgrid://Nucleo"


@pytest.mark.parametrize("port", ["", "a\0b", "socket://[x", "socket://lab", "telnet://lab:1"])
def test_what_can_be_no_port_has_no_key(port: str) -> None:
    with pytest.raises(BadInput, match="this is no port"):
        port_key(port)


def test_a_pool_file(tmp_path: Path) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text(
        "places: [{board: mps2-an386, count: 2}, {board: host, port: /dev/ttyACM0, chip_id: ab}]"
    )
    assert read_pool(path) == [
        Place("mps2-an386", slot=1),
        Place("mps2-an386", slot=2),
        Place("host", "/dev/ttyACM0", "ab"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("places: []", "at least 1"),
        ("nothing", "valid dictionary"),
        ("places: [{board: mps2-an386, count: 0}]", "greater than or equal to 1"),
        ("places: [{board: host, port: /dev/null, count: 2}]", "leave out count or port"),
        ("places: [{board: host, chip_id: ab}]", "name the port"),
        ("places: [{board: host, prot: /dev/null}]", "prot"),
        ("places: [{board: mps2-an368}]", "unknown board"),
        ("places: [{board: host, port: /dev/null}, {board: host, port: /dev/../dev/null}]", "one"),
        ("places: [{board: host}, {board: host}]", "one port"),
        ("places: [", "cannot be used"),
        ("\x00", "cannot be used"),
        ("places: [{board: 2026-13-45}]", "month must be"),  # YAML takes it for a date
        ("[" * 20_000, "cannot be used"),
        ("places: [{board: host, port: 'socket://[x'}]", "this is no port"),
        (
            "places: [{board: host, port: 'labgrid://a'}, {board: host, port: 'labgrid://a?wait=1'}]",
            "one port",
        ),
    ],
)
def test_a_pool_file_with_an_error(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text(text)
    with pytest.raises(BadInput) as refused:
        read_pool(path)
    assert words in str(refused.value)
    assert "pydantic" not in str(refused.value)


def test_a_pool_file_that_is_absent(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"absent\.yaml"):
        read_pool(tmp_path / "absent.yaml")


def test_a_folder_of_locks_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NANOEXPORT_LOCKS", str(tmp_path / "file" / "locks"))
    with pytest.raises(BadInput, match="set NANOEXPORT_LOCKS"):
        lock_folder()
