"""The command line: one command per stage. The only place that prints errors and exits."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from exporter import __version__, plan_report, reports
from exporter.board import load_board
from exporter.build import compile as building
from exporter.build import firmware as firmwares
from exporter.build.firmware import Settings
from exporter.build.size import check_fits, measure_image
from exporter.commands.audit import audit
from exporter.commands.bench import bench
from exporter.commands.boards import boards
from exporter.commands.boot_loader import boot_loader
from exporter.commands.compress import distill, prune, qat
from exporter.commands.convert import convert
from exporter.commands.deploy import deploy
from exporter.commands.doctor import doctor
from exporter.commands.evaluate import evaluate
from exporter.commands.flash import flash
from exporter.commands.identify import identify
from exporter.commands.init import init
from exporter.commands.monitor import monitor
from exporter.commands.replay import replay
from exporter.console import Output
from exporter.errors import BadInput, NanoexportError, defect
from exporter.hil import verify as verification
from exporter.hil.controls import controls_of
from exporter.hil.vectors import load_vectors, make_vectors
from exporter.options import (
    FOLDER,
    MODEL,
    MOST_VECTORS,
    Main,
    board_option,
    check_prefix,
    chosen_controls,
    common_options,
    controls_options,
    port_option,
    settings_options,
)
from exporter.render.project import render_project, write_project


class Interrupted(NanoexportError):
    """Ctrl-C."""

    exit_code = 130


@click.group(cls=Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nanoexport")
@common_options
def cli() -> None:
    r"""Trained nano models on microcontrollers, proven bit for bit.

    \b
    Exit codes: 0 done, 1 a check failed, 2 bad usage or input, 3 a tool or port is missing,
    4 the link or the device failed, 130 interrupted.

    \b
    Examples:
      nanoexport convert model.keras --data calib.npz -o model.tflite
      nanoexport inspect model.tflite --board mps2-an386
      nanoexport verify  model.tflite --board mps2-an386
      nanoexport deploy  model.keras --data calib.npz --board mps2-an386
    """


cli.add_command(convert)


cli.add_command(audit)


@cli.command()
@click.argument("model", type=MODEL)
@board_option(required=False)
@click.option("--dump-after", metavar="PASS", help="Print the graph after this pass as text.")
@click.option("--svg", type=MODEL, metavar="FILE", help="Write the memory map of the plan as SVG.")
@settings_options
@common_options
@click.pass_obj
def inspect(
    output: Output, /, model: Path, board: str | None, dump_after: str | None, svg: Path | None,
    **chosen: Any,
) -> None:  # fmt: skip
    r"""Show what MODEL is and, for a board, what it will take: before anything is built.

    \b
    Examples:
      nanoexport inspect model.tflite --board mps2-an386
      nanoexport inspect model.tflite --board mps2-an386 --svg map.svg
      nanoexport inspect model.tflite --dump-after fuse_pad
      nanoexport inspect model.tflite --dump-after plan > plan.txt
    """
    if svg is not None:
        plan_report.check_drawable(board, dump_after)
    if dump_after is not None:
        reports.show_dump(
            output, model, dump_after, load_board(board) if board else None, Settings(**chosen)
        )
    elif board is None:
        reports.show_graph(output, model)
    else:
        plan_report.show_plan(output, model, load_board(board), Settings(**chosen), svg)


@cli.command()
@click.argument("model", type=MODEL)
@board_option()
@click.option("-o", "--output", "folder", type=FOLDER, required=True, help="Folder of the project.")
@click.option(
    "--app", type=click.Choice(["hil", "standalone"]), default="hil", show_default=True,
    help="hil serves the link; standalone is the smallest program that runs the model.",
)  # fmt: skip
@click.option(
    "--prefix", default="model", show_default=True, callback=check_prefix,
    help="Prefix of every C name.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace rendered files even if they were edited.")
@settings_options
@common_options
@click.pass_obj
def render(
    output: Output,
    /,
    model: Path,
    board: str,
    folder: Path,
    app: str,
    prefix: str,
    force: bool,
    **chosen: Any,
) -> None:
    r"""Write the firmware project of MODEL for a board: C99 and CMake, made to be read.

    \b
    Example:
      nanoexport render model.tflite --board mps2-an386 -o firmware
    """
    settings, target = Settings(**chosen), load_board(board)
    compilation = firmwares.compile_for(model, target, settings)
    toolchain = settings.toolchain or target.default_toolchain
    project = render_project(
        compilation.program,
        target,
        app=app,
        toolchain=toolchain,
        prefix=prefix,
        arena=settings.arena,
    )
    write_project(project, folder, force=force)
    reports.show_project(output, project, folder)


@cli.command()
@click.argument("folder", type=FOLDER)
@common_options
@click.pass_obj
def build(output: Output, folder: Path) -> None:
    r"""Compile the firmware project in FOLDER to ELF, BIN and HEX.

    \b
    Example:
      nanoexport build firmware
    """
    built = building.build(folder)
    board = load_board(built.board)
    image = measure_image(built.elf, board)
    check_fits(image, board)
    reports.show_build(output, built, image, board)


cli.add_command(flash)


@cli.command()
@click.argument("model", type=MODEL)
@board_option()
@port_option
@click.option(
    "--vectors",
    type=click.IntRange(1, MOST_VECTORS),
    default=20,
    show_default=True,
    help="Input vectors.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True,
    help="Seed of the vectors and of the seeded faults.",
)  # fmt: skip
@click.option(
    "--inputs",
    type=MODEL,
    metavar="NPZ",
    help="Your own inputs, int8 or real numbers: [N, ...] by name, or x.",
)
@controls_options
@settings_options
@common_options
@click.pass_obj
def verify(
    output: Output, /, model: Path, board: str, port: str | None, vectors: int, seed: int,
    inputs: Path | None, **chosen: Any,
) -> None:  # fmt: skip
    r"""Prove that the board computes what MODEL says, bit for bit.

    Then seed faults, one of each kind, and fail unless the same check notices every one.

    \b
    Examples:
      nanoexport verify model.tflite --board mps2-an386
      nanoexport verify model.tflite --board mps2-an386 --inputs recorded.npz
      nanoexport verify model.tflite --board riscv32-virt --vectors 100 --json
      nanoexport verify model.tflite --board host --controls 10 --seed 7
      nanoexport verify model.tflite --board mps2-an386 --port labgrid://board-1
    """
    count = chosen_controls(chosen)
    with output.progress() as progress:
        progress("build", 0, 0)
        firmware = firmwares.firmware_for(model, load_board(board), Settings(**chosen))
        tensors = [p.tensor for p in firmware.program.inputs]
        cases = load_vectors(inputs, tensors) if inputs else make_vectors(tensors, vectors, seed)
        result = verification.verify_on_board(
            firmware, cases, port=port,
            progress=lambda done, total: progress("verify", done, total),
        )  # fmt: skip
        controls = controls_of(
            firmware, cases, result, count=count, seed=seed, port=port,
            progress=lambda done, total: progress("controls", done, total),
        )  # fmt: skip
    reports.show_verification(output, firmware, result, controls)
    verification.check_verification(firmware, result)
    controls.check(firmware.board.name)


cli.add_command(bench)
cli.add_command(boot_loader)
cli.add_command(evaluate)
cli.add_command(deploy)
cli.add_command(identify)
cli.add_command(replay)
cli.add_command(monitor)


cli.add_command(boards)
cli.add_command(init)


cli.add_command(doctor)


for command in (prune, distill, qat):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    r"""Run the command line and exit; no exception leaves this function."""
    output = Output()
    sys.exit(run(output, arguments))


def run(output: Output, arguments: Sequence[str] | None = None) -> int:
    """The exit code of one run."""
    # Known before click has read it: an option that click refuses may come first.
    output.as_json = "--json" in (sys.argv[1:] if arguments is None else arguments)
    try:
        cli.main(arguments, prog_name="nanoexport", standalone_mode=False, obj=output)
        output.finish()
    except NanoexportError as error:
        return _report(output, error)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        return _report(output, _usage_error(error))
    except SystemExit:
        pass  # click, when whoever read the help has gone
    except (KeyboardInterrupt, click.Abort):
        return _report(output, Interrupted("interrupted"))
    except Exception as error:  # the last resort: a defect of ours, told without a traceback
        logging.debug("", exc_info=error)
        return _report(output, defect(error))
    return 0


def _report(output: Output, error: NanoexportError) -> int:
    output.error(error)
    return error.exit_code


def _usage_error(error: click.ClickException) -> BadInput:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "nanoexport"
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return BadInput("no command", allowed=[*cli.commands], next_step=f"see: {command} --help")
    return BadInput(error.format_message(), next_step=f"see: {command} --help")


if __name__ == "__main__":
    main()
