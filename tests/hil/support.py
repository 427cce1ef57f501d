"""What tests of the command line and of the hardware loop share: runs, models, faulty firmware."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from exporter.board import files as board_files
from exporter.build import firmware as firmwares
from exporter.build.firmware import ModelFirmware
from exporter.build.size import measure_image
from exporter.cli import run
from exporter.console import Output
from exporter.convert.metadata import add_metadata
from exporter.graph.metadata import ModelMetadata, OutputMetadata
from exporter.plan.program import Program
from exporter.render.project import Project, render_project
from tests.flatbuffer_builder import ModelBuilder

REPOSITORY = Path(__file__).parents[2]
SHARED_MODELS = REPOSITORY.parent / "shared" / "models"
DIGITS = REPOSITORY / "examples" / "digits"
COMMAND = (sys.executable, "-m", "exporter.cli")
DEADLINE_SECONDS = 120.0


@dataclass(frozen=True)
class Run:
    """One run of the command line."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output, which must be one JSON document and nothing else."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str | None]:
        """The error document, with exactly the keys that are promised."""
        document = self.document
        assert document["schema_version"] == 1
        error: dict[str, str | None] = document["error"]
        assert set(error) == {"what", "value", "allowed", "next"}
        return error


def nanoexport(*arguments: object) -> Run:
    """Run the command line inside this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(Output(), [str(argument) for argument in arguments])
    return Run(code, out.getvalue(), err.getvalue())


def spawned(*arguments: object, environment: Mapping[str, str] | None = None) -> Run:
    """Run the command line in a process of its own; it has `DEADLINE_SECONDS`."""
    completed = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    return Run(completed.returncode, completed.stdout, completed.stderr)


@contextmanager
def background(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A command that runs until Ctrl-C; killed with its children if the test has not ended it."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def refused(run: Run, code: int, *words: str) -> dict[str, str | None]:
    """The error of a `--json` run, checked: exit code, one message with a remedy, no traceback."""
    assert run.code == code, run.err
    error = run.error
    assert "Traceback" not in run.err and "defect" not in run.err
    assert sum(line.startswith("error: ") for line in run.err.splitlines()) == 1
    assert error["next"] or error["allowed"], "no remedy"
    told = " ".join(text for text in error.values() if text)
    missing = [word for word in words if word not in told]
    assert not missing, f"{missing} not in {told!r}"
    return error


def forget_boards() -> None:
    """Read the folder of boards anew, and know no other."""
    board_files.forget_own_boards()
    board_files._supplied.cache_clear()
    board_files._read_supplied.cache_clear()


@contextmanager
def speaking(answer: bytes) -> Iterator[str]:
    """A TCP port where whatever is sent is answered by `answer`."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
                with client:
                    while client.recv(4096):
                        client.sendall(answer)
            except OSError:
                if listener.fileno() < 0:
                    return

    with closing(listener):
        threading.Thread(target=serve, daemon=True).start()
        yield f"socket://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


# --- models --------------------------------------------------------------------------------------


def dense_model(*, units: int = 6, seed: int = 0, inputs: int = 12) -> bytes:
    """FULLY_CONNECTED [1, inputs] -> [1, units], per-tensor weights: the smallest real model."""
    rng = np.random.default_rng(seed)
    builder = ModelBuilder()
    x = builder.tensor("x", [1, inputs], scale=0.05, zero_point=3)
    weights = rng.integers(-127, 128, (units, inputs))
    w = builder.tensor("w", weights.shape, scale=0.01, data=weights)
    bias = rng.integers(-2000, 2000, units)
    b = builder.tensor("b", [units], "int32", scale=0.05 * 0.01, data=bias)
    y = builder.tensor("y", [1, units], scale=0.0331, zero_point=-5)
    builder.op("FULLY_CONNECTED", [x, w, b], [y])
    return builder.finish([x], [y])


def picture_model(*, channels: int = 4, size: int = 6, seed: int = 0) -> bytes:
    """CONV_2D 3x3 SAME with RELU, then FULLY_CONNECTED: a row kernel with a ring, a dense one."""
    rng = np.random.default_rng(seed)
    builder = ModelBuilder()
    x = builder.tensor("image", [1, size, size, 2], scale=0.02, zero_point=-10)
    kernel = rng.integers(-127, 128, (channels, 3, 3, 2))
    w = builder.tensor("kernel", kernel.shape, scale=[0.004] * channels, data=kernel)
    b = builder.tensor("bias", [channels], "int32", scale=[8e-5] * channels, data=[100] * channels)
    y = builder.tensor("features", [1, size, size, channels], scale=0.03, zero_point=-128)
    builder.op("CONV_2D", [x, w, b], [y], padding="SAME", activation="RELU")
    flat = size * size * channels
    dense = rng.integers(-127, 128, (3, flat))
    v = builder.tensor("dense", dense.shape, scale=0.002, data=dense)
    c = builder.tensor("dense_bias", [3], "int32", scale=6e-5, data=[0, 0, 0])
    z = builder.tensor("scores", [1, 3], scale=0.1, zero_point=0)
    f = builder.tensor("flat", [1, flat], scale=0.03, zero_point=-128)
    shape = builder.constant("shape", [1, flat])
    builder.op("RESHAPE", [y, shape], [f])
    builder.op("FULLY_CONNECTED", [f, v, c], [z])
    return builder.finish([x], [z])


def two_output_model() -> bytes:
    """RELU and LOGISTIC of one input, of equal shape, so that exchanged outputs fit."""
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 8], scale=0.05, zero_point=0)
    a = builder.tensor("a", [1, 8], scale=0.05, zero_point=0)
    b = builder.tensor("b", [1, 8], scale=1 / 256, zero_point=-128)
    builder.op("RELU", [x], [a])
    builder.op("LOGISTIC", [x], [b])
    return builder.finish([x], [a, b])


def labelled(model: bytes, labels: tuple[str, ...]) -> bytes:
    """`model` with metadata that name the classes of its first output."""
    output = OutputMetadata(kind="classes", labels=labels)
    return add_metadata(model, ModelMetadata(outputs=(output,)))


def saved(folder: Path, model: bytes, name: str = "model.tflite") -> Path:
    """`model` as a file."""
    path = folder / name
    path.write_bytes(model)
    return path


# --- doctored firmware ---------------------------------------------------------------------------


def with_flipped_bit(firmware: ModelFirmware, symbol: str, folder: Path) -> ModelFirmware:
    """The same image but for one bit, in the middle of `symbol`."""
    elf = folder / "flipped.elf"
    image = bytearray(firmware.firmware.elf.read_bytes())
    image[_file_offset(firmware.firmware.elf, symbol)] ^= 0x40
    elf.write_bytes(image)
    elf.chmod(0o755)
    return replace(firmware, firmware=replace(firmware.firmware, elf=elf))


def _file_offset(elf: Path, symbol: str) -> int:
    with elf.open("rb") as stream:
        file = ELFFile(stream)
        table = file.get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        entries = table.get_symbol_by_name(symbol)
        assert entries, f"{symbol} is not in {elf}"
        entry = entries[0]
        section = file.get_section(entry["st_shndx"])
        # The second byte of a word: the high one of an int16, and never the least of an int32.
        middle = entry["st_size"] // 2 // 4 * 4 + 1
        return int(entry["st_value"] + middle - section["sh_addr"] + section["sh_offset"])


def doctored(
    firmware: ModelFirmware,
    folder: Path,
    *,
    program: Program | None = None,
    patch: Mapping[str, tuple[str, str]] | None = None,
) -> ModelFirmware:
    """Firmware that claims to be right, made from another `program` or with text replaced in files.

    `patch` is {path: (old, new)} over the rendered project.
    """
    project = render_project(
        program or firmware.program,
        firmware.board,
        app="hil",
        toolchain=firmware.toolchain,
    )
    files = dict(project.files)
    for path, (old, new) in (patch or {}).items():
        assert old in files[path], f"{old!r} is not in {path}"
        files[path] = files[path].replace(old, new)
    built = firmwares._built(Project(files, project.manifest), folder / "cache")
    return replace(firmware, firmware=built, image=measure_image(built.elf))


def with_arena_bytes(firmware: ModelFirmware, arena_bytes: int) -> ModelFirmware:
    """A wrong prediction about the same image."""
    program = replace(firmware.program, arena_bytes=arena_bytes)
    return replace(firmware, compilation=replace(firmware.compilation, program=program))
