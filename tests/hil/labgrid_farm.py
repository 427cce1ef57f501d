"""A board farm of labgrid on this computer: coordinator, exporter, ser2net, emulated boards."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from exporter.process import Child, run, spawn
from tests.powered_board import PoweredBoard
from tests.ser2net import ser2net

EXPORTER = "bench"
_START_SECONDS = 120.0
_COMMAND_SECONDS = 120.0


@dataclass(frozen=True)
class Farm:
    """A running farm. The place of board k is `board-k`."""

    coordinator: str
    boards: Sequence[PoweredBoard]
    power: str
    """URL of the power switch: `/K/1` switches board K on, `/K/0` off."""
    log: Callable[[], str]
    """What the coordinator has printed."""

    def port(self, place: str, options: str = "") -> str:
        """A place, as `--port` takes it."""
        return f"labgrid://{self.coordinator}/{place}{options}"

    def client(self, *arguments: str, user: Mapping[str, str] | None = None) -> str:
        """What labgrid-client prints."""
        argv = ["labgrid-client", "-x", self.coordinator, *arguments]
        return run(argv, timeout_seconds=_COMMAND_SECONDS, environment=user).stdout

    def holder(self, place: str) -> str | None:
        """Who has acquired the place, as the coordinator said last."""
        said = re.findall(rf"^{place}: place (?:acquired by (.*)|released)$", self.log(), re.M)
        return said[-1] or None if said else None

    def becomes_free(self, place: str, seconds: float = 60.0) -> bool:
        """Whether the place is released within that time."""
        deadline = time.monotonic() + seconds
        while self.holder(place) is not None:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
        return True


@contextmanager
def labgrid_farm(
    boards: Sequence[PoweredBoard], folder: Path, more: Mapping[str, Mapping[str, Any]]
) -> Iterator[Farm]:
    """A farm with `boards`, and the places of `more`: {place: {resource: parameters}}.

    Each board has a place with its serial port and its power; the place `plain` has board 0 alone.
    """
    with ExitStack() as running:
        power = running.enter_context(power_switch(boards))
        groups: dict[str, Mapping[str, Any]] = dict(more)
        for k, board in enumerate(boards):
            port = running.enter_context(ser2net(board.path, folder))
            groups.setdefault("plain", serial(port))
            groups[f"board-{k}"] = {
                **serial(port),
                "NetworkPowerPort": {"model": "simplerest", "host": power + "/{index}/{value}",
                                     "index": str(k)},
            }  # fmt: skip
        coordinator, log = running.enter_context(start_coordinator(folder, [*groups]))
        running.enter_context(start_exporter(folder, coordinator, groups))
        yield Farm(coordinator, boards, power, log)


def serial(port: int, protocol: str = "raw") -> dict[str, Any]:
    """The resource of a serial port on a TCP port of this computer."""
    return {"NetworkSerialPort": {"host": "127.0.0.1", "port": port, "protocol": protocol}}


@contextmanager
def start_coordinator(
    folder: Path, places: Sequence[str]
) -> Iterator[tuple[str, Callable[[], str]]]:
    """A coordinator that knows `places`, each with the resources of its name; address and log."""
    known = {
        place: {"matches": [{"exporter": EXPORTER, "group": place, "cls": "*"}]} for place in places
    }
    (folder / "places.yaml").write_text(yaml.safe_dump(known))
    argv = ["labgrid-coordinator", "-l", "127.0.0.1:0"]
    with spawn(argv, cwd=folder, environment={"PYTHONUNBUFFERED": "1"}) as child:
        yield "127.0.0.1:" + printed(child, r"listening on 127\.0\.0\.1:(\d+)"), child.log


@contextmanager
def start_exporter(
    folder: Path, coordinator: str, groups: Mapping[str, Mapping[str, Any]]
) -> Iterator[None]:
    """An exporter of `groups`: {group: {resource: parameters}}."""
    path = folder / "exporter.yaml"
    path.write_text(yaml.safe_dump({name: dict(group) for name, group in groups.items()}))
    argv = ["labgrid-exporter", "-c", coordinator, "-n", EXPORTER, str(path)]
    count = sum(len(group) for group in groups.values())
    with spawn(argv) as child:
        printed(child, "Exporter ready")
        argv = ["labgrid-client", "-x", coordinator, "resources"]
        deadline = time.monotonic() + _START_SECONDS
        while len(run(argv, timeout_seconds=_COMMAND_SECONDS).stdout.splitlines()) < count:
            assert time.monotonic() < deadline, child.log_tail()
        yield


def printed(child: Child, pattern: str) -> str:
    """The first group of `pattern` in what a child prints, as soon as it does."""
    deadline = time.monotonic() + _START_SECONDS
    while child.alive() and time.monotonic() < deadline:
        found = re.search(pattern, child.log())
        if found:
            return found[1] if found.groups() else ""
        time.sleep(0.02)
    raise AssertionError(f"{child.argv[0]} ({child.status()}): {child.log_tail()}")


@contextmanager
def power_switch(boards: Sequence[PoweredBoard]) -> Iterator[str]:
    """Sockets that are switched by HTTP, as labgrid's backend `simplerest` does; the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index, value = map(int, self.path.strip("/").split("/"))
            boards[index].switch(on=bool(value))
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: object = "-", size: object = "-") -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
