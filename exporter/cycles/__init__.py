"""Modelled cycles: a plugin for QEMU, built on demand from the C sources beside this file.

`timing.c` is the model (docs/cycles.md has it as a table), `plugin.c` follows the execution. The
plugin is built with the host's compiler and kept in the cache, by the content of its sources and
the version of the emulator.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from exporter import process
from exporter.build.firmware import cache_folder
from exporter.errors import BadInput

CORES = ("cortex-m3", "cortex-m4", "cortex-m0plus")
"""Cores with a model, as boards name them; `CORES` of timing.c, which a test compares."""

SOURCES = Path(__file__).parent
HOST_COMPILER = "gcc"
COMPILE_SECONDS = 120.0
VERSION_SECONDS = 60.0


@dataclass(frozen=True)
class Call:
    """One call of a watched function, from its first instruction to its return."""

    address: int
    cycles: int
    instructions: int


def compile_command(target: Path, *sources: str) -> list[str]:
    """The command that builds `sources` of this folder into the shared library `target`."""
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC"]
    return [HOST_COMPILER, *flags, *(str(SOURCES / name) for name in sources), "-o", str(target)]


def build_plugin(emulator: str) -> Path:
    """The plugin for the program `emulator`, from the cache or built anew.

    Raises MissingTool without the emulator or a host compiler, CheckFailed where it does not
    compile, BadInput where the cache cannot be written.
    """
    version = process.run((emulator, "--version"), timeout_seconds=VERSION_SECONDS).stdout
    text = "\n".join(
        [version, *(file.read_text("utf-8") for file in sorted(SOURCES.glob("*.[ch]")))]
    )
    key = hashlib.sha256(text.encode()).hexdigest()
    plugin = cache_folder() / "cycles" / f"{key}.so"
    if plugin.is_file():
        return plugin
    try:
        plugin.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=plugin.parent, prefix=".building-") as folder:
            built = Path(folder) / plugin.name
            command = compile_command(built, "timing.c", "plugin.c")
            process.run(command, timeout_seconds=COMPILE_SECONDS)
            built.replace(plugin)  # at once: two that build it at a time leave one whole file
    except OSError as error:
        raise BadInput(
            f"cannot keep the cycle plugin in the cache '{plugin.parent}'",
            value=error.strerror or str(error),
            next_step="set NANOEXPORT_CACHE to a folder you may write to",
        ) from error
    return plugin


def plugin_arguments(plugin: Path, core: str, log: Path, calls: Sequence[int]) -> tuple[str, ...]:
    """What to add to the emulator's command to log the calls of the functions at `calls`."""
    options = [f"file={plugin}", f"core={core}", f"out={log}", *(f"call={a:x}" for a in calls)]
    return ("-plugin", ",".join(option.replace(",", ",,") for option in options))


def read_calls(log: Path) -> list[Call]:
    """The calls that have returned, in the order of their returns."""
    calls = []
    for line in log.read_text("ascii").splitlines():
        address, cycles, instructions = line.split()
        calls.append(Call(int(address, 16), int(cycles), int(instructions)))
    return calls
