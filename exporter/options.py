"""Options that commands share, one definition and one default each."""

from __future__ import annotations

import logging
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from exporter.build.firmware import Settings
from exporter.console import Output
from exporter.errors import BadInput
from exporter.ops.base import FLASH_PRICES
from exporter.render.model import Arena

Command = TypeVar("Command", bound=Callable[..., Any])

MODEL = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path, file_okay=True)
MOST_VECTORS = 100_000
MOST_CONTROLS = 1000
TAKEN_PREFIXES = ("platform", "nano", "nano_link")
"""Prefixes of the C names of platform and runtime."""


def _set_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Output).as_json = True


def _set_verbosity(context: click.Context, _: click.Parameter, value: int) -> None:
    if value:
        context.ensure_object(Output).verbosity += value
        _log_to_stderr(context.ensure_object(Output).verbosity)


def _log_to_stderr(verbosity: int) -> None:
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)]
    logging.basicConfig(level=level, stream=sys.stderr, format="%(name)s: %(message)s", force=True)


def common_options(command: Command) -> Command:
    """--json and -v, accepted before and after the subcommand."""
    for option in (
        click.option(
            "--json", is_flag=True, expose_value=False, callback=_set_json,
            help="One JSON document on stdout; text for people on stderr.",
        ),
        click.option(
            "-v", "--verbose", count=True, expose_value=False, callback=_set_verbosity,
            help="Show what is run; twice for debugging.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def percentage(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """A percentage from 0 on, with or without its sign: `10` or `10%`. None stays None."""
    if value is None:
        return None
    try:
        percent = float(value.removesuffix("%"))
    except ValueError:
        percent = math.nan
    if not 0 <= percent < math.inf:
        raise click.BadParameter(f"{value!r} is not a percentage from 0 on, such as 10 or 10%.")
    return percent


def settings_options(command: Command) -> Command:
    """What a model is built for: the same options and defaults everywhere."""
    defaults = Settings()
    for option in (
        click.option(
            "--without", "without_passes", metavar="PASS", multiple=True,
            help="Leave out this rewrite of the graph, to measure what it brings. Repeatable.",
        ),
        click.option(
            "--flash-price", type=click.IntRange(min=0), metavar="N",
            help="Instructions that a byte of packed weights must save in an inference to be worth "
            f"it: {FLASH_PRICES['speed']} for speed, {FLASH_PRICES['size']} for size; "
            "0 gives the fastest kernels at any size.",
        ),
        click.option(
            "--input-by-rows", is_flag=True,
            help="The application gives the input, an image, row by row: only a few rows of it are "
            "in RAM at a time.",
        ),
        click.option(
            "--ram-for-time", default=f"{defaults.ram_for_time:g}%", callback=percentage,
            show_default=True, metavar="PERCENT",
            help="Instructions beyond those of the fastest plan that may be spent to save RAM; "
            "0 gives the fastest plan.",
        ),
        click.option(
            "--arena", type=click.Choice(get_args(Arena)), default=defaults.arena,
            show_default=True, help="static: the model has its memory; caller: the program lends "
            "it for each inference, also one arena to several models.",
        ),
        click.option(
            "--toolchain", type=click.Choice(["gcc", "clang"]),
            help="Compiler to build with; by default the one whose code is faster on the board.",
        ),
        click.option(
            "--optimize", type=click.Choice(["speed", "size"]), default=defaults.optimize,
            show_default=True, help="Prefer fewer instructions or less flash.",
        ),
        click.option(
            "--dialect", type=click.Choice(["tflite", "litert"]), default=defaults.dialect,
            show_default=True, help="Numeric dialect: whose bits the board must reproduce.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def controls_options(command: Command) -> Command:
    """How many faults are seeded; read by `chosen_controls`."""
    for option in (
        click.option(
            "--no-controls", is_flag=True,
            help="Seed no faults; the report says so.",
        ),
        click.option(
            "--controls", type=click.IntRange(1, MOST_CONTROLS), metavar="N",
            help="Negative controls: seed N faults of each kind, which the check must notice.  "
            "[default: 1]",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def chosen_controls(chosen: dict[str, Any]) -> int:
    """Faults of each kind; 0: none. Takes its options out of `chosen`. Raises BadInput for both."""
    count: int | None = chosen.pop("controls")
    if not chosen.pop("no_controls"):
        return count or 1
    if count is not None:
        raise BadInput(
            "faults are to be seeded, and none are",
            value=f"--controls {count} --no-controls",
            allowed="one of the two",
            next_step="leave one of them out",
        )
    return 0


def check_prefix(context: click.Context, option: click.Parameter, prefix: str) -> str:
    """What the user's C compiler, or our own C names, would stumble over is refused here."""
    if not re.fullmatch(r"[A-Za-z]\w*", prefix, re.ASCII) or prefix in TAKEN_PREFIXES:
        raise BadInput(
            "this prefix cannot begin the names of C functions",
            value=repr(prefix),
            allowed=f"a letter, then letters, digits and _; not {' or '.join(TAKEN_PREFIXES)}",
        )
    return prefix


def board_option(*, required: bool = True) -> Callable[[Command], Command]:
    return click.option(
        "--board",
        metavar="BOARD",
        required=required,
        help="A name that 'nanoexport boards' lists, or a board of yours: FILE.yaml.",
    )


_PORT_FORMS = "Device path, socket://HOST:PORT, rfc2217://HOST:PORT, labgrid://PLACE (a board farm)"


def port_option(command: Command) -> Command:
    return click.option(
        "--port", metavar="PORT",
        help=f"{_PORT_FORMS}, or 'emulator' (the default where the board has one). A real board is "
        "flashed, unless it carries the image already; one that is emulated by default must.",
    )(command)  # fmt: skip


def running_port_option(command: Command) -> Command:
    """As `port_option`, for commands that meet what runs already and start nothing."""
    return click.option("--port", metavar="PORT", help=f"{_PORT_FORMS}.")(command)


def check_running_port(port: str | None) -> str:
    """The port of `running_port_option`. Raises BadInput where there is none to open."""
    if port is None or port == "emulator":
        raise BadInput(
            "there is no port to open",
            value=port,
            allowed="a device path, socket://HOST:PORT, rfc2217://HOST:PORT or labgrid://PLACE",
            next_step="name it with --port; an emulated board serves one with: "
            "nanoexport flash DIR --serve 5555",
        )
    return port


def _keep_lines(command: click.Command) -> None:
    r"""Docstrings are raw: turn their `\b` into the character by which click keeps lines apart."""
    command.help = (command.help or "").replace(r"\b", "\b")


class Main(click.Group):
    """Commands in the order of the pipeline, with their examples as written."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        _keep_lines(self)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        _keep_lines(cmd)
        super().add_command(cmd, name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)
