"""What a conversion goes by besides its settings: for every command that converts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from exporter.commands.sample_options import chosen_samples, sample_options
from exporter.convert.finish import ConvertOptions
from exporter.convert.metadata import load_metadata
from exporter.graph.metadata import ModelMetadata
from exporter.ops.base import Target
from exporter.options import MODEL

Command = TypeVar("Command", bound=Callable[..., Any])


def convert_options(command: Command) -> Command:
    """--metadata, and how samples are read: the arguments of `chosen_options`."""
    return click.option(
        "--metadata", type=MODEL, metavar="FILE",
        help="YAML or JSON with labels and preprocessing, carried into the firmware. See "
        "docs/metadata.md.",
    )(sample_options(command))  # fmt: skip


def chosen_options(options: dict[str, Any], target: Target | None) -> ConvertOptions:
    """Takes the values of `convert_options` out of a command's arguments.

    `target` is that of the board whose kernels must run the model, if any. Raises BadInput.
    """
    metadata = options.pop("metadata")
    return ConvertOptions(
        samples=chosen_samples(options),
        metadata=load_metadata(metadata) if metadata else ModelMetadata(),
        target=target,
    )
