"""The command `doctor`: what this machine has and lacks."""

from __future__ import annotations

import click

from exporter import doctor as examination
from exporter.console import Output
from exporter.options import common_options


@click.command()
@click.option(
    "--udev-rules", "prints_rules", is_flag=True,
    help="Print rules for udev that let you open the boards' USB devices; nothing else is done.",
)  # fmt: skip
@common_options
@click.pass_obj
def doctor(output: Output, /, prints_rules: bool) -> None:
    r"""Look for compilers, emulators, flash tools, references and permissions, and say how to get
    what is missing.

    \b
    Examples:
      nanoexport doctor
      nanoexport doctor --udev-rules | sudo tee /etc/udev/rules.d/60-nanoexport.rules
    """
    if prints_rules:
        examination.show_udev_rules(output)
    else:
        examination.show(output, examination.examine())
