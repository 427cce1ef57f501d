"""Watches a port: meets the device, asks it what it holds, meets it again after a restart.

By default it only asks (HELLO, IDENTIFY, DESCRIBE_TENSOR, READ, MEMORY; after a restart
TAKE_FAULT), so that nothing on the device changes. It makes inferences only where it is given
vectors.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from exporter.errors import LinkFailed, MissingTool
from exporter.link.device import Device
from exporter.link.messages import LogLine, TensorDescription
from exporter.link.monitor import events
from exporter.link.monitor.events import Event, TensorInfo, now
from exporter.link.monitor.listener import Listener
from exporter.link.monitor.meter import Meter
from exporter.link.monitor.poll import Poll
from exporter.link.monitor.tap import Tap
from exporter.link.pacing import Timing
from exporter.link.session import DeviceRestarted, NoAnswer, RequestRefused
from exporter.link.transport import ConnectionBroken, Transport

Vector = Sequence[NDArray[Any]]
Vectors = Callable[[Sequence[TensorInfo]], Iterator[Vector]]
"""From the inputs of the model that answers: one array per input for each inference, endlessly."""

_LISTEN_SECONDS = 0.25
_REOPEN_SECONDS = 0.25
_MEET_AGAIN_SECONDS = 5.0
_INVOKE_SECONDS = 60.0
_CRASHES_IN_A_ROW = 5
_SEQUENCES = 0x10000
# A device that hangs is to be seen soon; nothing is lost where one was only slow.
_TIMING = Timing(handshake_seconds=3.0, transfer_seconds=10.0)


@dataclass(frozen=True)
class Plan:
    """What to do on the port. Without vectors nothing is run; `count` None is until Ctrl-C."""

    listen_only: bool = False
    vectors: Vectors | None = None
    rate_hz: float | None = None
    count: int | None = None
    timing: Timing = _TIMING
    reopen_seconds: float = 30.0
    on_met: Callable[[Device], None] = lambda device: None
    """Called with each device that is met, before anything is run there."""

    @property
    def mode(self) -> events.Mode:
        """As events name it."""
        return "listen" if self.listen_only else "run" if self.vectors else "watch"


def watch(
    port: str, open_transport: Callable[[], Transport], take: Callable[[Event], None], plan: Plan
) -> None:
    """Hand events to `take` until Ctrl-C or the count of inferences, both of which return.

    After a restart or a loss of the port it connects again, trying for `reopen_seconds`.

    Raises:
        MissingTool: the port cannot be opened, or does not come back.
        LinkFailed: the first device that answers cannot be understood; with vectors also one that
            refuses to run, or that restarts again and again without one whole inference.
    """
    take(events.Began(at=now(), port=port, mode=plan.mode))
    with contextlib.suppress(KeyboardInterrupt):
        _Watch(port, open_transport, take, plan).run()
    take(events.Ended(at=now()))


class _Watch:
    def __init__(
        self,
        port: str,
        open_transport: Callable[[], Transport],
        take: Callable[[Event], None],
        plan: Plan,
    ) -> None:
        self._port = port
        self._open = open_transport
        self._take = take
        self._plan = plan
        self._met = False
        self._told_silent = False
        self._inferences = 0
        self._vectors: tuple[list[TensorInfo], Iterator[Vector]] | None = None
        self._crashes = 0
        self._last_log: LogLine | None = None

    @property
    def _done(self) -> bool:
        return self._plan.count is not None and self._inferences >= self._plan.count

    def run(self) -> None:
        transport = self._open()
        while True:
            try:
                self._attend(Tap(transport, self._text))
                return
            except ConnectionBroken as broken:
                self._tell(events.Disconnected, broken)
            finally:
                transport.close()
            transport = self._reopen()
            self._take(events.Reopened(at=now(), port=self._port))

    def _reopen(self) -> Transport:
        deadline = time.monotonic() + self._plan.reopen_seconds
        while True:
            time.sleep(_REOPEN_SECONDS)
            try:
                return self._open()
            except MissingTool:
                if time.monotonic() >= deadline:
                    raise

    def _attend(self, tap: Tap) -> None:
        """Until the inferences are made. Raises ConnectionBroken."""
        meter = Meter(tap, self._take)
        listener = Listener(tap, meter, self._log, self._boot)
        while self._plan.listen_only:
            listener.listen(_LISTEN_SECONDS)
        while not self._done:
            device = self._meet(tap)
            if device is not None:
                self._serve_while_it_answers(device, meter)
                continue
            # Text shows a firmware without the link, which is left in peace.
            while not listener.listen(_MEET_AGAIN_SECONDS) and tap.text_lines and not self._met:
                pass

    def _serve_while_it_answers(self, device: Device, meter: Meter) -> None:
        """Raises ConnectionBroken, RequestRefused; DeviceRestarted as `_crashed` does."""
        try:
            self._serve(device, meter)
        except DeviceRestarted as restart:
            self._crashed(restart)
        except (ConnectionBroken, RequestRefused):
            raise
        except LinkFailed as failure:
            self._tell(events.Trouble, failure)

    def _crashed(self, restart: DeviceRestarted) -> None:
        """Raises it where inferences are wanted and none comes about any more."""
        self._restarted(restart)
        self._crashes += 1
        if self._plan.vectors is not None and self._crashes == _CRASHES_IN_A_ROW:
            raise restart

    def _meet(self, tap: Tap) -> Device | None:
        try:
            device = Device(tap, timing=self._plan.timing, on_log=self._log)
        except ConnectionBroken:
            raise
        except DeviceRestarted as restart:
            self._restarted(restart)
        except NoAnswer:
            if not self._told_silent:
                self._take(events.Silent(at=now(), port=self._port))
            self._told_silent = True
        except LinkFailed as failure:
            if not self._met:
                raise
            self._tell(events.Trouble, failure)
        else:
            self._plan.on_met(device)
            self._take(_connected(device, again=self._met))
            self._met, self._told_silent = True, False
            return device
        return None

    def _serve(self, device: Device, meter: Meter) -> None:
        """Poll, and run where that is wanted. Raises LinkFailed, DeviceRestarted."""
        running = self._plan.vectors is not None
        poll = Poll(device, meter, self._take, running=running)
        runs = self._runs(device)
        next_run = time.monotonic()
        while not self._done:
            poll.when_due()
            if runs is None:
                device.poll(min(_LISTEN_SECONDS, poll.due_seconds))
            elif (wait := next_run - time.monotonic()) > 0:
                device.poll(min(_LISTEN_SECONDS, poll.due_seconds, wait))
            else:
                vector = next(runs)
                self._infer(device, vector)
                meter.inferences += 1
                poll.ran(vector)
                step = 1 / self._plan.rate_hz if self._plan.rate_hz else 0.0
                next_run = max(next_run + step, time.monotonic())
        poll.poll()

    def _runs(self, device: Device) -> Iterator[Vector] | None:
        """Vectors go on where they were before a restart, unless the model is another one."""
        if self._plan.vectors is None:
            return None
        inputs = [_info(tensor) for tensor in device.inputs]
        if self._vectors is None or self._vectors[0] != inputs:
            self._vectors = (inputs, self._plan.vectors(inputs))
        return self._vectors[1]

    def _infer(self, device: Device, vector: Vector) -> None:
        for index, values in enumerate(vector):
            device.write_input(index, values)
        start = time.perf_counter()
        result = device.invoke(_INVOKE_SECONDS)
        elapsed = time.perf_counter() - start
        self._inferences += 1
        self._crashes = 0
        self._take(
            events.Inference(
                at=now(),
                number=self._inferences,
                ticks=result.ticks,
                round_trip_seconds=elapsed,
                stack_bytes=result.stack_bytes,
            )
        )

    def _log(self, line: LogLine) -> None:
        last, self._last_log = self._last_log, line
        lost = (line.sequence - last.sequence - 1) % _SEQUENCES if last else 0
        # A count that went back is that of another boot with the same nonce, as emulators have.
        if last and last.boot_nonce == line.boot_nonce and 0 < lost < _SEQUENCES // 2:
            self._take(events.Trouble(at=now(), what="log lines were lost", value=str(lost)))
        self._take(
            events.Log(
                at=now(),
                level=line.level,
                text=line.text,
                sequence=line.sequence,
                boot_nonce=line.boot_nonce,
            )
        )

    def _text(self, line: str) -> None:
        self._take(events.TextLine(at=now(), text=line))

    def _boot(self) -> None:
        self._take(
            events.Restarted(at=now(), what="another boot speaks", fault="not asked for its cause")
        )

    def _restarted(self, restart: DeviceRestarted) -> None:
        self._take(events.Restarted(at=now(), what=restart.what, fault=restart.value or ""))

    def _tell(
        self, kind: type[events.Trouble] | type[events.Disconnected], failure: LinkFailed
    ) -> None:
        self._take(kind(at=now(), what=failure.what, value=failure.value or ""))


def _connected(device: Device, *, again: bool) -> events.Connected:
    identity = device.identity
    return events.Connected(
        at=now(),
        again=again,
        model=identity.model_name,
        model_sha256=identity.model_sha256,
        board=identity.board,
        build_id=identity.build_id,
        dialect=identity.dialect,
        boot_nonce=identity.boot_nonce,
        ticks_hz=identity.ticks_hz,
        arena_bytes=identity.arena_bytes,
        inputs=tuple(_info(tensor) for tensor in device.inputs),
        outputs=tuple(_info(tensor) for tensor in device.outputs),
    )


def _info(tensor: TensorDescription) -> TensorInfo:
    return TensorInfo.model_validate(
        {
            "name": tensor.name,
            "dtype": tensor.dtype.name,
            "shape": tensor.shape,
            "scale": tensor.scale,
            "zero_point": tensor.zero_point,
            "size_bytes": tensor.size_bytes,
        }
    )
