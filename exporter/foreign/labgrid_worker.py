"""The process that holds a place of a board farm: `python -m exporter.foreign.labgrid_worker`.

labgrid's coordinator knows no owner but HOST/USER: a place stays acquired until somebody releases
it, whatever became of the process that acquired it. So this process outlives the one that it works
for: where its requests end, be it by a crash or a kill, it releases what it acquired. Where it is
killed itself, or the computer goes down, a note in the file `lock` stays, by which the next run of
the same user takes the place over and releases it at its end.

Requests (see exporter/worker.py):

    acquire   fields: coordinator or null, place, lock (path of a file that belongs to the place)
                             -> fields: held by (null: by us now)
    ports                    -> fields: ports, {name: {url, speed}}
    power     fields: action, `on`, `off` or `cycle` -> fields: supported
    release                  -> fields: released
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import importlib
import os
from collections.abc import Awaitable, Coroutine
from pathlib import Path
from typing import IO, Any

from exporter.errors import BadInput, MissingTool
from exporter.foreign.processes import complaint
from exporter.worker import Message, Progress, serve

DEFAULT_COORDINATOR = "127.0.0.1:20408"
_AVAILABLE_SECONDS = 10.0
_COORDINATOR_SECONDS = 20.0
_NETWORK_PORT = "NetworkSerialPort"
_LOCAL_PORTS = ("RawSerialPort", "USBSerialPort")
_SCHEMES = {"raw": "socket", "rfc2217": "rfc2217"}
_NOTE = "acquired\n"


class Lock:
    """A file that only one process of this computer holds at a time, and that keeps a note."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def take(self) -> bool:
        """Whether it is ours now; False where another process has it."""
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = self._path.open("a+")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return False
            self._file = file
        return True

    def noted(self) -> bool:
        """Whether a run acquired the place and did not release it."""
        return self._path.read_text() == _NOTE

    def note(self, acquired: bool) -> None:
        """Remember it for the next run, whatever happens to this one."""
        self._path.write_text(_NOTE if acquired else "")


class Keeper:
    """One place: acquired, used, released. labgrid is imported on the first request."""

    def __init__(self) -> None:
        self._session: Any = None
        self._address = ""
        self._environment: Any = None
        self._target: Any = None
        self._lock: Lock | None = None
        self._ours = False

    def acquire(self, request: Message, progress: Progress) -> Message:
        """Try once. Raises BadInput for a place that does not exist, MissingTool."""
        fields = request.fields
        if self._session is None:
            self._connect(fields["coordinator"], fields["place"])
            self._lock = Lock(Path(fields["lock"]))
        else:
            self._catch_up()
        return Message("done", {"held by": self._try_to_acquire(self._place())})

    def ports(self, request: Message, progress: Progress) -> Message:
        """What serial ports the place has. Raises MissingTool where labgrid has lost one."""
        self._target = target = self._target or self._make_target()
        serials = [r for r in target.resources if _kind(r) in (_NETWORK_PORT, *_LOCAL_PORTS)]
        try:
            target.await_resources(serials, timeout=_AVAILABLE_SECONDS)
        except self._labgrid("exceptions").NoResourceFoundError as error:
            raise MissingTool(
                f"a serial port of the place {self._place().name} is not available",
                value=complaint(error, ""),
                next_step="check the board's cable and the exporter of the farm",
            ) from error
        ports = {r.name or _kind(r): {"url": self._url(r), "speed": r.speed} for r in serials}
        return Message("done", {"ports": ports})

    def power(self, request: Message, progress: Progress) -> Message:
        """Switch the board by the power driver that labgrid has for the place. Raises MissingTool.

        Not supported: the place has no power port, and LG_ENV names no driver for it.
        """
        action, place = request.fields["action"], self._place()
        self._session.args.action = action
        self._session.env = self._environment
        try:
            self._session.power()
        except Exception as error:  # of the driver: a program, a network, a switch
            usage_error = self._labgrid("remote.client").UserError
            if isinstance(error, usage_error) and self._is_usable(place):
                return Message("done", {"supported": False})
            raise MissingTool(
                f"labgrid cannot switch the power of the place {place.name}",
                value=complaint(error, ""),
                next_step="try it by hand: "
                f"labgrid-client -x {self._address} -p {place.name} power {action}",
            ) from error
        finally:
            self._session.env = None
        return Message("done", {"supported": True})

    def release(self, request: Message | None = None, progress: Progress | None = None) -> Message:
        """Give the place back, unless it was acquired beforehand, by hand."""
        released = False
        if self._ours and self._lock is not None:
            messages = self._labgrid("remote.generated.labgrid_coordinator_pb2")
            name, user = self._session.args.place, self._user()
            # Only from us: it may be somebody else's by now. Session.release waits for an answer on
            # a stream that a long pause may have ended.
            question = messages.ReleasePlaceRequest(placename=name, fromuser=user)
            self._run(_answer(self._session.stub.ReleasePlace(question)))
            self._ours, released = False, True
            self._lock.note(acquired=False)
        return Message("done", {"released": released})

    def end(self) -> None:
        """Release, and leave. What fails here is in the note for the next run."""
        with contextlib.suppress(Exception):
            self.release()
        if self._session is not None:
            with contextlib.suppress(Exception):
                self._run(self._session.stop())
                self._run(self._session.close())

    def _connect(self, coordinator: str | None, place: str) -> None:
        client = self._labgrid("remote.client")
        if os.environ.get("LG_ENV"):
            self._environment = self._read_environment(os.environ["LG_ENV"])
        self._address = coordinator or self._default_address()
        arguments = argparse.Namespace(
            place=place, allow_unmatched=False, kick=False,
            state=None, initial_state=None, action=None, delay=None, name=None,
        )  # fmt: skip
        try:
            self._session = client.start_session(self._address, extra={"args": arguments})
        except Exception as error:  # its own, gRPC's, of the proxy
            raise _no_coordinator(self._address, complaint(error, "")) from error

    def _read_environment(self, path: str) -> Any:
        try:
            return self._labgrid("environment").Environment(path)
        except Exception as error:  # of the file, of the modules that it imports
            raise BadInput(
                "labgrid cannot read the environment that LG_ENV names",
                value=f"{path}: {complaint(error, '')}",
                next_step="correct the file, or unset LG_ENV",
            ) from error

    def _default_address(self) -> str:
        """As labgrid-client: the environment's, the variable's, this computer."""
        fallback = os.environ.get("LG_COORDINATOR", DEFAULT_COORDINATOR)
        if self._environment is None:
            return fallback
        return str(self._environment.config.get_option("coordinator_address", fallback))

    def _try_to_acquire(self, place: Any) -> str | None:
        """Who holds the place, None where it is ours to use now."""
        assert self._lock is not None
        if not self._lock.take():
            return f"{place.acquired or self._user()}, another run of nanoexport"
        self._ours = place.acquired == self._user() and self._lock.noted()
        self._lock.note(acquired=self._ours)
        if place.acquired:
            return None if self._is_usable(place) else str(place.acquired)
        self._lock.note(acquired=True)  # before the fact: a kill may come between the two
        why = ""
        try:
            self._run(self._session.acquire())
        except Exception as error:  # refused: acquired or reserved meanwhile, or a part is missing
            why = complaint(error, "")
            self._catch_up()
        self._ours = place.acquired == self._user()
        self._lock.note(acquired=self._ours)
        if place.acquired:
            return None if self._ours else str(place.acquired)
        raise _not_acquired(place.name, self._address, why)

    def _catch_up(self) -> None:
        """Hear what changed in the farm. Raises MissingTool where the coordinator is gone."""
        try:
            connected = self._run(self._session.sync_with_coordinator())
        except TimeoutError:
            connected = False
        if not connected:
            raise _no_coordinator(self._address, "the connection ended")

    def _place(self) -> Any:
        wanted, places = self._session.args.place, self._session.places
        for place in places.values():
            if wanted == place.name or wanted in place.aliases:
                self._session.args.place = place.name
                return place
        raise BadInput(
            "the farm has no such place",
            value=wanted,
            allowed=sorted(places) or "none: its coordinator knows no place",
            next_step=f"list them with: labgrid-client -x {self._address} places",
        )

    def _make_target(self) -> Any:
        """The place with everything that belongs to it, drivers of LG_ENV included."""
        client, remote = self._labgrid("remote.client"), self._labgrid("resource.remote")
        manager = remote.RemotePlaceManager.get()
        manager.session, manager.loop = self._session, self._session.loop
        name = self._place().name
        if self._environment is not None:
            targets = self._environment.config.get_targets()
            role = client.find_role_by_place(targets, name)
            if role is not None:
                return self._environment.get_target(role)
        target = self._labgrid("target").Target(name)
        remote.RemotePlace(target, name=name)
        return target

    def _url(self, resource: Any) -> str:
        """A port as `--port` takes it; through an SSH tunnel, where the farm asks for one."""
        if _kind(resource) in _LOCAL_PORTS:
            return str(resource.port)
        if resource.protocol not in _SCHEMES:
            raise BadInput(
                f"the serial port {resource.name} has an unknown protocol",
                value=resource.protocol,
                allowed=[*_SCHEMES],
                next_step="correct `protocol` in the configuration of the farm's exporter",
            )
        host, port = self._labgrid("util.proxy").proxymanager.get_host_and_port(resource)
        bracketed = f"[{host}]" if ":" in host else host
        return f"{_SCHEMES[resource.protocol]}://{bracketed}:{port}"

    def _is_usable(self, place: Any) -> bool:
        return self._user() == place.acquired or self._user() in place.allowed

    def _user(self) -> str:
        return f"{self._session.gethostname()}/{self._session.getuser()}"

    def _run(self, what: Coroutine[Any, Any, Any]) -> Any:
        loop: asyncio.AbstractEventLoop = self._session.loop
        return loop.run_until_complete(asyncio.wait_for(what, _COORDINATOR_SECONDS))

    @staticmethod
    def _labgrid(module: str) -> Any:
        try:
            return importlib.import_module(f"labgrid.{module}")
        except ImportError as error:
            raise MissingTool(
                "places of a board farm need labgrid, which is not installed",
                value=complaint(error, ""),
                next_step='pip install "nanoexport[labgrid]"',
            ) from error


async def _answer(call: Awaitable[Any]) -> Any:
    return await call


def _kind(resource: Any) -> str:
    return type(resource).__name__


def _no_coordinator(address: str, why: str) -> MissingTool:
    return MissingTool(
        f"no labgrid coordinator answers at {address}",
        value=why,
        next_step="start it, or name the right one: labgrid://HOST:PORT/PLACE, or LG_COORDINATOR",
    )


def _not_acquired(place: str, address: str, why: str) -> MissingTool:
    return MissingTool(
        f"labgrid does not let us acquire the place {place}",
        value=why,
        next_step=f"see what it has: labgrid-client -x {address} -p {place} show",
    )


def main() -> None:
    """Serve until the requests end, then leave nothing behind."""
    keeper = Keeper()
    handlers = {
        "acquire": keeper.acquire,
        "ports": keeper.ports,
        "power": keeper.power,
        "release": keeper.release,
    }
    try:
        serve(handlers)
    finally:
        keeper.end()


if __name__ == "__main__":
    main()
