"""Many inferences on an emulated board over a link that damages bytes, with resets in mid-transfer.

    python -m tests.link.soak --model kws --board mps2-an386 --inferences 10000 \
        --error-rate 1e-3 --resets 50 --seed 1 --report soak.json

Every inference ends in one of three ways: all outputs equal to the oracle's, a typed error, or a
wrong result. A single wrong result, a call past its deadline or an untyped error fails the run.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from exporter.board import load_board
from exporter.build.firmware import ModelFirmware, Settings, firmware_for
from exporter.errors import LinkFailed
from exporter.flash import Emulator
from exporter.hil.vectors import make_vectors
from exporter.link import Device, DeviceRestarted, SocketTransport, Timing
from exporter.oracle.oracle import Oracle
from tests.hil.support import SHARED_MODELS
from tests.link.faulty import Faults, FaultyTransport

MODELS = {"kws": "kws_ref_model", "ad": "ad01_int8"}
DISTINCT_VECTORS = 50
POISON = (0xA5, 0x5A)
SLACK_SECONDS = 2.0
"""For the computer: a deadline is looked at between two reads."""
_QMP_SECONDS = 30.0

Result = TypeVar("Result")
Vector = list[np.ndarray[Any, np.dtype[np.int8]]]


class Resetter:
    """The reset button of an emulated board: QEMU's machine protocol on a socket of its own."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_QMP_SECONDS)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rb")
        self._lines.readline()
        self._do("qmp_capabilities")
        self.resets = 0

    def press(self) -> None:
        """Reset the machine now."""
        self._do("system_reset")
        self.resets += 1

    def _do(self, command: str) -> None:
        self._socket.sendall(json.dumps({"execute": command}).encode())
        while b'"return"' not in self._lines.readline():
            pass

    def close(self) -> None:
        """Let go of the button."""
        self._lines.close()
        self._socket.close()


@dataclass
class Soak:
    """What happened. `closest_to_deadline` is of all calls, 1 being on it."""

    inferences: int = 0
    exact: int = 0
    wrong: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    """Typed errors, by the name of their class."""
    resets: int = 0
    restarts_told: int = 0
    longest_call_seconds: float = 0.0
    closest_to_deadline: float = 0.0
    overdue_calls: int = 0
    damaged_bytes: int = 0
    seconds: float = 0.0
    link: dict[str, int] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Every result exact or a typed error, nothing past its deadline."""
        told = self.exact + sum(self.errors.values())
        return self.wrong == 0 and self.overdue_calls == 0 and told == self.inferences

    def call(self, deadline: float, function: Callable[[], Result]) -> Result:
        """Call `function`, which has `deadline` seconds."""
        start = time.monotonic()
        try:
            return function()
        except DeviceRestarted:
            # Meeting the next boot, and asking what ended the last one, has a deadline of its own.
            deadline += Timing().handshake_seconds + Timing().transfer_seconds
            self.restarts_told += 1
            raise
        finally:
            taken = time.monotonic() - start
            self.longest_call_seconds = max(self.longest_call_seconds, taken)
            self.closest_to_deadline = max(self.closest_to_deadline, taken / deadline)
            self.overdue_calls += taken > deadline + SLACK_SECONDS


@contextmanager
def emulated(
    firmware: ModelFirmware, seed: int, error_rate: float
) -> Iterator[tuple[Device, FaultyTransport, Resetter]]:
    """The firmware on its board, behind a link with these errors, and its reset button."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "qmp"
        arguments = ("-qmp", f"unix:{path},server=on,wait=off")
        with Emulator(
            firmware.board, firmware.firmware.elf, instruction_counting=False, arguments=arguments
        ) as emulator:
            line = SocketTransport(emulator.connection, f"the emulated {firmware.board.name}")
            faulty = FaultyTransport(line, seed, Faults(error_rate=error_rate))
            resetter = Resetter(path)
            try:
                with Device(faulty) as device:
                    yield device, faulty, resetter
            finally:
                resetter.close()


def infer(device: Device, soak: Soak, inputs: Vector, pattern: int) -> list[np.ndarray[Any, Any]]:
    """One inference over a poisoned arena."""
    seconds = Timing().transfer_seconds
    soak.call(seconds, partial(device.poison, pattern))
    for position, values in enumerate(inputs):
        soak.call(seconds, partial(device.write_input, position, values))
    soak.call(seconds, device.invoke)
    return [
        soak.call(seconds, partial(device.read_output, position))
        for position in range(len(device.outputs))
    ]


def run(
    firmware: ModelFirmware,
    *,
    inferences: int,
    error_rate: float,
    resets: int,
    seed: int,
    progress: Callable[[Soak], None] = lambda soak: None,
) -> Soak:
    """Soak `firmware`; deterministic but for the time things take."""
    rng = random.Random(seed)
    vectors, expected = expectations(firmware)
    reset_in = set(rng.sample(range(inferences), resets))
    wire_bytes = sum(values.nbytes for values in vectors[0])
    soak = Soak()
    start = time.monotonic()
    with emulated(firmware, seed, error_rate) as (device, faulty, resetter):
        for index in range(inferences):
            if index in reset_in:
                faulty.after_bytes(rng.randrange(1, wire_bytes + 60), resetter.press)
            choice = rng.randrange(len(vectors))
            soak.inferences += 1
            try:
                found = infer(device, soak, vectors[choice], POISON[index % 2])
            except LinkFailed as error:
                name = type(error).__name__
                soak.errors[name] = soak.errors.get(name, 0) + 1
                continue
            equal = all(np.array_equal(f, e) for f, e in zip(found, expected[choice], strict=True))
            soak.exact += equal
            soak.wrong += not equal
            if soak.inferences % 100 == 0:
                progress(soak)
        soak.link = asdict(device.link_counts)
        soak.resets = resetter.resets
        soak.damaged_bytes = faulty.injected
    soak.seconds = round(time.monotonic() - start, 1)
    return soak


def expectations(
    firmware: ModelFirmware,
) -> tuple[list[Vector], list[Sequence[np.ndarray[Any, Any]]]]:
    """Distinct inputs, and what the oracle computes from them."""
    model, dialect = firmware.compilation.model, firmware.settings.dialect
    with Oracle(model, dialect, name=firmware.program.name) as oracle:
        vectors = make_vectors(oracle.inputs, DISTINCT_VECTORS)
        return vectors, [oracle.run(inputs) for inputs in vectors]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 where the soak passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", choices=sorted(MODELS), default="kws")
    parser.add_argument("--board", default="mps2-an386")
    parser.add_argument("--inferences", type=int, default=10_000)
    parser.add_argument("--error-rate", type=float, default=1e-3)
    parser.add_argument("--resets", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path)
    chosen = parser.parse_args(arguments)
    model = SHARED_MODELS / f"{MODELS[chosen.model]}.tflite"
    firmware = firmware_for(model, load_board(chosen.board), Settings())
    soak = run(
        firmware,
        inferences=chosen.inferences,
        error_rate=chosen.error_rate,
        resets=chosen.resets,
        seed=chosen.seed,
        progress=lambda soak: print(soak.inferences, soak.exact, soak.errors, flush=True),
    )
    settings = {k: str(v) for k, v in vars(chosen).items() if k != "report"}
    text = json.dumps({"settings": settings, "passed": soak.passed, **asdict(soak)}, indent=2)
    print(text)
    if chosen.report is not None:
        chosen.report.write_text(text + "\n")
    return 0 if soak.passed else 1


if __name__ == "__main__":
    sys.exit(main())
