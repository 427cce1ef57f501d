"""The command `boot-loader`: our serial boot loader as a project."""

from __future__ import annotations

from pathlib import Path

import click

from exporter.board import load_board
from exporter.console import Output
from exporter.options import FOLDER, board_option, common_options
from exporter.render.boot_loader import render_boot_loader
from exporter.render.project import write_project
from exporter.toolchain import ToolchainName


@click.command("boot-loader")
@board_option()
@click.option("-o", "--output", "folder", type=FOLDER, required=True, help="Folder of the project.")
@click.option(
    "--toolchain", type=click.Choice(["gcc", "clang"]),
    help="The compiler.  [default: the board's first]",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace rendered files even if they were edited.")
@common_options
@click.pass_obj
def boot_loader(
    output: Output, /, board: str, folder: Path, toolchain: ToolchainName | None, force: bool
) -> None:
    r"""Write the project of our serial boot loader: 4 KB, for a board without one.

    Build it, and put it on once with a debug probe. From then on firmware for BOARD+loader is
    flashed over the serial port, by nanoexport or by stm32loader.

    \b
    Example:
      nanoexport boot-loader --board mps2-an386 -o loader
      nanoexport build loader
      nanoexport render model.tflite --board mps2-an386+loader -o firmware
    """
    target = load_board(board)
    project = render_boot_loader(target, toolchain or target.default_toolchain)
    write_project(project, folder, force=force)
    output.text(f"boot loader of {target.name} in {folder}")
    output.text(f"next: nanoexport build {folder}")
    output.document({"board": target.name, "folder": str(folder), "build_id": project.build_id})
