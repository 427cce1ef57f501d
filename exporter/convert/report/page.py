"""report.html: the same figures as report.json on one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from exporter.arrays import Array
from exporter.convert.convert import ConvertReport
from exporter.convert.measures import TensorMeasure, worst_first
from exporter.convert.report.figures import HEIGHT, WIDTH, Histogram, histogram
from exporter.convert.report.findings import LOW_DB, findings
from exporter.convert.report.judgement import Judgement
from exporter.convert.search import described
from exporter.convert.settings import ConvertSettings
from exporter.graph.ir import short_name
from exporter.render.environment import environment

MOST_CLASSES = 40
"""Larger confusion matrices cannot be read; the worst pairs are listed instead."""
WORST_PAIRS = 20
SCALE_DB = 60.0
"""Where the bars of the SQNR end."""
LEAST_SHARE = 15.0
"""Percent of the colour that a place of a confusion matrix has if it has any."""
MANY_CLASSES = 16
"""Matrices of more stand one below the other."""


@dataclass(frozen=True)
class Tile:
    """A figure that is seen first. `bad`: it deserves attention."""

    title: str
    value: str
    note: str
    bad: bool = False


@dataclass(frozen=True)
class Cell:
    """A place of a confusion matrix. `share`: how strong its colour is, in percent, by its row.

    `changed`: it is not as in the float model.
    """

    count: int
    share: float
    right: bool
    changed: bool
    title: str


@dataclass(frozen=True)
class Matrix:
    """One model's confusions; `rows` in the order of the classes."""

    title: str
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class PairRow:
    """How often samples of one class are taken for another."""

    right: str
    given: str
    before: int
    after: int


def page(conversion: ConvertReport, judgement: Judgement) -> str:
    """The text of the page."""
    comparison = judgement.comparison
    worst = worst_first(comparison.tensors)
    classes = _class_names(judgement)
    settings = judgement.candidate.settings
    return _environment().get_template("report/conversion.html.j2").render(
        name=Path(conversion.model).name,
        conversion=conversion,
        judgement=judgement,
        comparison=comparison,
        stick=judgement.yardstick,
        candidate=described(judgement.candidate),
        mode=settings.mode,
        tiles=list(_tiles(conversion, judgement)),
        findings=findings(judgement),
        tensors=worst,
        activations=[(t, _activation(t)) for t in worst],
        weights=[(w, histogram(w.spread)) for w in comparison.weights],
        classes=classes,
        matrices=_matrices(judgement, classes),
        pairs=_worst_pairs(judgement, classes),
        stacked=len(classes) > MANY_CLASSES,
        settings=_settings(settings),
        search=judgement.found,
        low_db=LOW_DB,
        scale_db=SCALE_DB,
        width=WIDTH,
        height=HEIGHT,
    )  # fmt: skip


@cache
def _environment() -> jinja2.Environment:
    """The environment of all templates, in which text is escaped."""
    escaping = environment().overlay(autoescape=True)
    own = (decibels, percent, signed, significant, thousands, short_name, wrapped)
    escaping.filters = {**escaping.filters, **{f.__name__: f for f in own}}
    return escaping


def decibels(value: float | None) -> str:
    return "exact" if value is None else _minus(f"{value:.1f}")


def percent(value: float, digits: int = 2) -> str:
    """A share as a percentage. What is not zero does not look like it."""
    smallest = 10.0**-digits
    if 0 < 100 * value < smallest:
        return f"< {smallest:.{digits}f}%"
    return f"{100 * value:.{digits}f}%"


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign, except for zero."""
    text = f"{value:+.{digits}f}"
    return f"{0:.{digits}f}" if float(text) == 0 else _minus(text)


def significant(value: float) -> str:
    return _minus(f"{value:.3g}")


def thousands(value: int) -> str:
    return f"{value:,}"


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def wrapped(text: str) -> Markup:
    """Text that may be broken behind slashes and underscores, where names of layers have joints."""
    escaped = str(escape(text))
    return Markup(escaped.replace("/", "/<wbr>").replace("_", "_<wbr>"))


def _tiles(conversion: ConvertReport, judgement: Judgement) -> Iterator[Tile]:
    stick, found = judgement.yardstick, judgement.found
    if judgement.values is not None and stick.metric is not None:
        before, after = judgement.values
        drop = judgement.drop or 0.0
        unit = "points" if stick.metric.is_share else "%"
        limit = f"; limit {found.limit:g}" if found else ""
        bad = drop > (found.limit if found else 1.0)
        yield Tile(
            stick.name,
            stick.text(after),
            f"float {stick.text(before)}, {signed(-drop)} {unit}{limit}",
            bad,
        )
    if judgement.agreement is not None:
        yield Tile(
            "same prediction as float",
            percent(judgement.agreement),
            f"of {len(judgement.evaluation):,} samples",
            stick.metric is None and found is not None and not found.passed,
        )
    yield Tile(
        "size",
        f"{conversion.bytes:,} B",
        f"float {judgement.comparison.float_bytes:,} B, "
        f"{judgement.comparison.float_bytes / conversion.bytes:.1f} times as much",
    )
    yield Tile("output, signal over noise", _db(judgement.output_sqnr_db), "of the first output")
    worst = worst_first(judgement.comparison.tensors)
    if worst:
        low = worst[0].sqnr_db
        yield Tile(
            "worst layer",
            _db(low),
            short_name(worst[0].name),
            low is not None and low < LOW_DB,
        )


def _db(value: float | None) -> str:
    return "exact" if value is None else f"{decibels(value)} dB"


def _activation(tensor: TensorMeasure) -> Histogram:
    return histogram(tensor.spread, tensor.chosen)


def _class_names(judgement: Judgement) -> list[str]:
    if judgement.confusions is None:
        return []
    count = len(judgement.confusions[0])
    names = judgement.evaluation.class_names
    return list(names) if names and len(names) == count else [str(c) for c in range(count)]


def _matrices(judgement: Judgement, classes: list[str]) -> list[Matrix]:
    if judgement.confusions is None or len(classes) > MOST_CLASSES:
        return []
    before, after = judgement.confusions
    mode = judgement.candidate.settings.mode
    return [
        _matrix("float", before, before, classes),
        _matrix(mode, after, before, classes),
    ]


def _matrix(title: str, counts: Array, before: Array, classes: list[str]) -> Matrix:
    rows = [
        tuple(
            Cell(
                count := int(counts[r, c]),
                _share(count, int(counts[r].sum())),
                r == c,
                count != int(before[r, c]),
                f"{classes[r]} taken for {classes[c]}: {count} (float {int(before[r, c])})",
            )
            for c in range(len(classes))
        )
        for r in range(len(classes))
    ]
    return Matrix(title, tuple(rows))


def _settings(settings: ConvertSettings) -> dict[str, str]:
    """The settings in words; a percentile only where it was used."""
    words = {None: "the mode's own", True: "yes", False: "no"}
    told = asdict(settings)
    if settings.ranges == "percentile":
        told["ranges"] = f"percentile {settings.percentile:g}"
    del told["percentile"]
    return {k.replace("_", " "): words.get(v, str(v)) for k, v in told.items()}


def _share(count: int, of_row: int) -> float:
    """In percent; a single sample is enough to be seen."""
    return max(LEAST_SHARE, round(100 * count / of_row, 1)) if count else 0.0


def _worst_pairs(judgement: Judgement, classes: list[str]) -> list[PairRow]:
    """The confusions that are most frequent in the converted model, of many classes."""
    if judgement.confusions is None or len(classes) <= MOST_CLASSES:
        return []
    before, after = judgement.confusions
    wrong = [(int(after[r, c]), r, c) for r, c in zip(*after.nonzero(), strict=True) if r != c]
    wrong.sort(key=lambda w: (-w[0], w[1], w[2]))
    return [
        PairRow(classes[r], classes[c], int(before[r, c]), count)
        for count, r, c in wrong[:WORST_PAIRS]
    ]
