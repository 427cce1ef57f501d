"""The command `boards`: which there are, and what was shown to run on each."""

from __future__ import annotations

import click

from exporter import reports
from exporter.board import Board, all_boards, board_file_text, load_board
from exporter.commands.connected import show_connected, show_probed
from exporter.console import Output
from exporter.errors import BadInput
from exporter.options import common_options
from exporter.render.platform import check_drivers


@click.command()
@click.argument("names", metavar="[BOARD]...", nargs=-1)
@click.option(
    "--file", "is_template", is_flag=True,
    help="Print the file of one board: to start that of a board of yours from.",
)  # fmt: skip
@click.option(
    "--connected", is_flag=True,
    help="The ports on USB: which board each may be, and what runs there. Only ports whose USB ids "
    "are of a board are asked.",
)  # fmt: skip
@click.option("--probe", metavar="PORT", help="Ask the firmware at this port, whatever its ids.")
@common_options
@click.pass_obj
def boards(
    output: Output, /, names: tuple[str, ...], is_template: bool, connected: bool,
    probe: str | None,
) -> None:  # fmt: skip
    r"""List the boards, all or these, and what was shown to run on each.

    BOARD is a name, or the file of a board of yours, which is checked.

    \b
    Examples:
      nanoexport boards
      nanoexport boards --json
      nanoexport boards --file nucleo-f446re > my-board.yaml
      nanoexport boards my-board.yaml
      nanoexport boards --connected
      nanoexport boards --probe /dev/ttyUSB0
    """
    if is_template:
        _print_file(output, names)
        return
    if probe is not None:
        show_probed(output, probe)
        return
    chosen = [_checked(name) for name in names] or all_boards()
    if connected:
        show_connected(output, chosen)
        return
    reports.show_boards(output, chosen)


def _checked(name: str) -> Board:
    board = load_board(name)
    if board.freestanding:
        check_drivers(board)
    return board


def _print_file(output: Output, names: tuple[str, ...]) -> None:
    if len(names) != 1:
        raise BadInput(
            "the file of one board is printed",
            value=" ".join(names) or "no board",
            allowed="one name that 'nanoexport boards' lists",
        )
    text = board_file_text(load_board(names[0]))
    output.text(text.rstrip("\n"))
    output.document({"file": text})
