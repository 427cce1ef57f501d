"""The commands that make a trained model smaller before it is converted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from exporter.arrays import check_kept
from exporter.compress import jobs
from exporter.compress.data import load_data
from exporter.compress.jobs import CompressReport, Job, ModelFigures
from exporter.compress.settings import Distillation, Pruning, Training
from exporter.console import Output
from exporter.errors import BadInput
from exporter.options import MODEL, common_options

Command = TypeVar("Command", bound=Callable[..., Any])

_AT_LEAST_ONE = click.IntRange(min=1)
_SEED = click.IntRange(0, 2**32 - 1)
_PART = click.FloatRange(0, 1, min_open=True)


def _share(context: click.Context, option: click.Parameter, value: str) -> float:
    """A part of a whole as a percentage, with or without its sign: `50%` or `50` is 0.5."""
    try:
        share = float(value.removesuffix("%")) / 100
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise click.BadParameter(f"{value!r} is not a percentage from 0 to 100, such as 50%.")
    return share


def training_options(learning_rate: float) -> Callable[[Command], Command]:
    """The samples, the output and the training, the same for all compressions."""
    defaults = Training()

    def decorate(command: Command) -> Command:
        for option in (
            click.option("--seed", type=_SEED, default=defaults.seed, show_default=True,
                         help="Seed of all that is random."),
            click.option("--learning-rate", type=click.FloatRange(0, min_open=True),
                         default=learning_rate, show_default=True,
                         help="At the beginning; it decays as a cosine."),
            click.option("--batch-size", type=_AT_LEAST_ONE, default=defaults.batch_size,
                         show_default=True, help="Samples in a step."),
            click.option("--patience", type=_AT_LEAST_ONE, default=defaults.patience,
                         show_default=True, help="Epochs without a better score before the end."),
            click.option("--epochs", type=_AT_LEAST_ONE, default=defaults.epochs,
                         show_default=True, help="Passes over the training samples."),
            click.option("-o", "--output", "target", type=MODEL, required=True,
                         help="The .keras file to write."),
            click.option("--validation", type=MODEL, help="Samples that choose the best weights; "
                         "by default 15% of the training samples."),
            click.option("--data", type=MODEL, required=True,
                         help="Training samples, .npz with x and y."),
        ):  # fmt: skip
            command = option(command)
        return command

    return decorate


def _job(model: Path, target: Path, data: Path, validation: Path | None, **training: Any) -> Job:
    if target.suffix != ".keras":
        raise BadInput(
            f"cannot write '{target}'", value=f"suffix '{target.suffix}'", allowed="a .keras file"
        )
    check_kept(target, [model, data, validation])
    settings = Training(**training)
    return Job(model, load_data(data, validation, settings.seed), target, settings)


@click.command()
@click.argument("model", type=MODEL)
@click.option(
    "--macs", default="50%", show_default=True, callback=_share, metavar="PERCENT",
    help="Multiply-accumulates to be left, of those of MODEL.",
)  # fmt: skip
@click.option(
    "--rounds", type=_AT_LEAST_ONE, default=Pruning().rounds, show_default=True,
    help="Prune in so many rounds, and train --epochs after each.",
)  # fmt: skip
@click.option(
    "--importance", type=click.Choice(["taylor", "norm"]), default=Pruning().importance,
    show_default=True, help="What a channel is worth: its effect on the loss, or its weights.",
)  # fmt: skip
@training_options(learning_rate=1e-3)
@common_options
@click.pass_obj
def prune(
    output: Output, /, macs: float, rounds: int, importance: Any, **common: Any
) -> None:  # fmt: skip
    r"""Remove the channels of MODEL that matter least, and train what is left.

    Channels that a residual sum ties together go together, and in fours.

    \b
    Examples:
      nanoexport prune model.keras --data train.npz -o small.keras
      nanoexport prune model.keras --data train.npz --macs 30% --epochs 60 -o small.keras
    """
    job = _job(**common)
    settings = Pruning(macs=macs, rounds=rounds, importance=importance)
    _show(output, _with_progress(output, lambda told: jobs.prune_file(job, settings, told)))


@click.command()
@click.argument("model", type=MODEL)
@click.option("--student", type=MODEL, help="The model to train, .keras; trained before or not.")
@click.option(
    "--width", type=_PART,
    help="Instead of --student: an untrained MODEL with this part of its channels.",
)  # fmt: skip
@click.option(
    "--temperature", type=click.FloatRange(min=1), default=Distillation().temperature,
    show_default=True, help="Softens what teacher and student say.",
)  # fmt: skip
@click.option(
    "--alpha", type=click.FloatRange(0, 1), default=Distillation().alpha, show_default=True,
    help="Weight of the labels; the rest is the teacher's.",
)  # fmt: skip
@training_options(learning_rate=1e-3)
@common_options
@click.pass_obj
def distill(
    output: Output, /, student: Path | None, width: float | None, temperature: float, alpha: float,
    **common: Any,
) -> None:  # fmt: skip
    r"""Train a smaller student on the labels and on what MODEL, its teacher, says.

    \b
    Examples:
      nanoexport distill model.keras --width 0.5 --data train.npz -o small.keras
      nanoexport distill model.keras --student pruned.keras --data train.npz -o small.keras
    """
    chosen = student or width
    if chosen is None or (student and width):
        raise BadInput(
            "distillation needs one student",
            value="both" if student else "none",
            allowed="--student FILE.keras or --width PART",
            next_step="for half of the teacher's channels: --width 0.5",
        )
    job, settings = _job(**common), Distillation(temperature, alpha)
    _show(
        output, _with_progress(output, lambda told: jobs.distill_file(job, chosen, settings, told))
    )


@click.command()
@click.argument("model", type=MODEL)
@training_options(learning_rate=2e-4)
@common_options
@click.pass_obj
def qat(output: Output, /, **common: Any) -> None:
    r"""Train MODEL to be rounded to int8: where converting it as it is costs accuracy.

    What is written is a plain float model, its batch normalisations folded in, to be converted.

    \b
    Example:
      nanoexport qat model.keras --data train.npz -o ready.keras
    """
    job = _job(**common)
    _show(output, _with_progress(output, lambda told: jobs.qat_file(job, told)))


def _with_progress(
    output: Output, work: Callable[[Callable[[str], None]], CompressReport]
) -> CompressReport:
    """A line for each epoch: training takes minutes, and how it goes is worth keeping."""
    return work(lambda line: click.echo(line, err=True))


def _show(output: Output, report: CompressReport) -> None:
    before, after = report.before, report.after
    output.text(f"{report.command}: '{report.model}' to '{report.output}', {report.bytes:,} bytes")
    output.table("", ("", "before", "now", "left %"), _totals(report))
    channels = {layer["name"]: layer for layer in before.layers}
    rows = [
        (
            layer["name"],
            layer["kind"],
            channels.get(layer["name"], {}).get("channels"),
            layer["channels"],
            channels.get(layer["name"], {}).get("macs"),
            layer["macs"],
        )
        for layer in after.layers
    ]
    output.table("", ("layer", "kind", "channels", "now", "MACs", "now"), rows)
    output.text(f"validation {report.score_name}: {before.score:.4f}, now {after.score:.4f}")
    output.document(report.as_dict())


def _totals(report: CompressReport) -> list[tuple[object, ...]]:
    def row(name: str, figure: Callable[[ModelFigures], int | None]) -> tuple[object, ...]:
        before, after = figure(report.before), figure(report.after)
        return name, before, after, 100 * after / before if before and after else None

    return [row("MACs", lambda f: f.macs), row("parameters", lambda f: f.parameters)]
