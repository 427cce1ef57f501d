"""Boards of a labgrid farm as ports: `labgrid://PLACE`.

labgrid (extra `labgrid`) runs in a process of its own, which holds the place and gives it back,
whatever becomes of this one: see exporter/foreign/labgrid_worker.py.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from exporter.build.firmware import cache_folder
from exporter.errors import BadInput, LinkFailed, MissingTool, NanoexportError
from exporter.link import Timing
from exporter.link.session import NoAnswer, Session
from exporter.link.transport import ConnectionBroken, Transport, open_port
from exporter.worker import Message, Worker, WorkerDied, WorkerFailed, WorkerTimedOut

SILENT_SECONDS = 10.0
"""From HELLO to the conclusion that the board on a place needs its power cycled."""
BOOT_SECONDS = 60.0
"""From the end of a power cycle until the board must answer."""

_SCHEME = "labgrid://"
_FORMS = (
    "labgrid://PLACE or labgrid://COORDINATOR:PORT/PLACE; "
    "with ?serial=NAME for one of several serial ports, ?wait=SECONDS for a place in use"
)
_ANSWER_SECONDS = 60.0
_CLOSING_SECONDS = 30.0
_ASK_AGAIN_SECONDS = 1.0
_LOG_LINES = 3

_log = logging.getLogger(__name__)


def is_place(port: str) -> bool:
    """Whether the name of a port is that of a place in a farm."""
    return port.startswith(_SCHEME)


@dataclass(frozen=True)
class PlaceAddress:
    """What a user names: a place, its coordinator (None: labgrid's default), and wishes."""

    place: str
    coordinator: str | None = None
    serial: str | None = None
    wait_seconds: float = 0.0

    @classmethod
    def of(cls, port: str) -> PlaceAddress:
        """The parts of `labgrid://...`. Raises BadInput."""
        try:
            parts = urlsplit(port)
            options = parse_qs(parts.query, strict_parsing=bool(parts.query))
            wait = float(options.get("wait", ["0"])[-1])
        except ValueError:
            raise _no_place(port) from None
        path = parts.path.strip("/")
        place = unquote(path or parts.netloc)
        if not is_place(port) or not place or {*options} - {"serial", "wait"}:
            raise _no_place(port)
        if not 0 <= wait < math.inf:
            raise _no_place(port)
        serial = options.get("serial", [None])[-1]
        return cls(place, parts.netloc if path and parts.netloc else None, serial, wait)


class LabgridPlace:
    """A place of a farm, acquired. A context manager: leaving the block releases it.

    A place that this user had acquired on this computer beforehand (`labgrid-client acquire`) is
    used as it is, and stays acquired.

    Raises:
        BadInput: no place of that name. MissingTool: no labgrid, no coordinator, or a place that is
        in use, with its holder; with `?wait=SECONDS` after that time.
    """

    def __init__(self, port: str) -> None:
        self.port = port
        self._address = PlaceAddress.of(port)
        self._worker = Worker("exporter.foreign.labgrid_worker")
        self._worker.closing_seconds = _CLOSING_SECONDS  # in which it releases the place
        try:
            self._acquire()
        except BaseException:
            self._worker.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def open(self, baud: int | None = None) -> Transport:
        """The serial port of the place; without `baud` at the speed that the farm states.

        Raises MissingTool where it has none, or its server does not listen; BadInput where it has
        several and none was named.
        """
        port = self._serial_port()
        transport = open_port(port["url"], baud or port["speed"])
        transport.name = f"{self.port} ({port['url']})"
        return transport

    def open_answering(self, baud: int | None = None) -> Transport:
        """The serial port, with a board on it that answers.

        A board that is silent, or that the farm has lost, gets its power cycled, once; a warning
        says so. Raises as `open`, and LinkFailed where it stays silent or has no power driver.
        """
        try:
            return self._opened_and_answering(baud, SILENT_SECONDS)
        except (NoAnswer, ConnectionBroken) as silence:
            if not self._switch("cycle"):
                raise
            _log.warning("%s: %s; its power was cycled", self.port, silence.what)
        return self._answering_after_boot(baud)

    def power_cycle(self) -> None:
        """Switch the board off and on. Raises MissingTool where the place cannot."""
        if not self._switch("cycle"):
            raise MissingTool(
                f"the place {self._address.place} cannot switch the power of its board",
                allowed="a power port in the farm, or a power driver in the file of LG_ENV",
                next_step="add one to the place, or cycle the power by hand",
            )

    def close(self) -> None:
        """Release the place. Never raises: what fails is logged, with the way to do it by hand."""
        try:
            if self._worker.alive:
                self._ask("release")
        except NanoexportError as error:
            _log.warning(
                "the place %s was not released: %s; by hand: labgrid-client -p %s release",
                self._address.place, error.value or error.what, self._address.place,
            )  # fmt: skip
        finally:
            self._worker.close()

    def _acquire(self) -> None:
        """Try until the place is ours or the user's patience ends."""
        address = self._address
        key = hashlib.sha256(f"{address.coordinator} {address.place}".encode()).hexdigest()
        fields = {
            "coordinator": address.coordinator,
            "place": address.place,
            "lock": str(cache_folder() / "farm" / f"{key[:16]}.lock"),
        }
        deadline = time.monotonic() + address.wait_seconds
        while holder := self._ask("acquire", **fields)["held by"]:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise _in_use(address, holder)
            time.sleep(min(_ASK_AGAIN_SECONDS, remaining))

    def _serial_port(self) -> dict[str, Any]:
        ports: dict[str, dict[str, Any]] = self._ask("ports")["ports"]
        wanted = self._address.serial
        if not ports:
            raise MissingTool(
                f"the place {self._address.place} has no serial port",
                allowed="a NetworkSerialPort, USBSerialPort or RawSerialPort",
                next_step="export one, and add a match for it to the place",
            )
        if wanted is None and len(ports) == 1:
            return next(iter(ports.values()))
        if wanted not in ports:
            raise BadInput(
                f"which serial port of the place {self._address.place}?",
                value=wanted,
                allowed=sorted(ports),
                next_step="name it: labgrid://PLACE?serial=NAME",
            )
        return ports[wanted]

    def _opened_and_answering(self, baud: int | None, seconds: float) -> Transport:
        transport = self.open(baud)
        try:
            Session(transport, Timing(handshake_seconds=seconds)).handshake()
        except BaseException:
            transport.close()
            raise
        return transport

    def _answering_after_boot(self, baud: int | None) -> Transport:
        """A USB adapter that lost its power, too, comes back some time later."""
        deadline = time.monotonic() + BOOT_SECONDS
        while True:
            try:
                return self._opened_and_answering(baud, BOOT_SECONDS)
            except (ConnectionBroken, MissingTool):
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_ASK_AGAIN_SECONDS)

    def _switch(self, action: str) -> bool:
        """Whether the place has a power driver, which then has done it."""
        return bool(self._ask("power", action=action)["supported"])

    def _ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        try:
            return self._worker.request(Message(kind, fields), _ANSWER_SECONDS).fields
        except WorkerDied as death:
            why = "; ".join([death.how, *death.log.splitlines()[-_LOG_LINES:]])
        except WorkerTimedOut:
            why = f"nothing for {_ANSWER_SECONDS:g} s"
        except WorkerFailed as failure:
            why = str(failure)
        raise LinkFailed(
            f"labgrid did not {kind} for the place {self._address.place}",
            value=why,
            next_step="check the coordinator and the exporters of the farm",
        )


def power_cycle(port: str) -> None:
    """Switch the board of a place off and on. Raises as LabgridPlace and its `power_cycle`."""
    with LabgridPlace(port) as place:
        place.power_cycle()


def _no_place(port: str) -> BadInput:
    return BadInput("this is no place of a board farm", value=port, allowed=_FORMS)


def _in_use(address: PlaceAddress, holder: str) -> MissingTool:
    waited = f", after {address.wait_seconds:g} s" if address.wait_seconds else ""
    return MissingTool(
        f"the place {address.place} is in use{waited}",
        value=f"acquired by {holder}",
        allowed="a place that is free, or that you acquired",
        next_step=f"wait for it: labgrid://{address.place}?wait=600",
    )
