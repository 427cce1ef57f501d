"""Looks for settings under which a model loses no more than a limit by quantisation.

In steps, the one that changes least first, each starting from the best that was found so far:

1. the settings as they were given (minmax, unless told otherwise);
2. other ways from observed values to ranges, for all tensors alike: percentiles, least error;
3. correction of the biases;
4. single tensors, worst SQNR first: each way of (2), what helped staying for the next one;
5. int16x8, where it is allowed: the model then runs on no board whose kernels are int8.

The first candidate under the limit ends the search. None of the int8 candidates costs more on the
board than another: the steps are ordered by how far they are from what everyone else does.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from exporter.convert.settings import ConvertSettings
from exporter.errors import BadInput
from exporter.graph.ir import short_name

MOST_TRIES = 24
"""Candidates that are measured before the last resort."""
WORST_TENSORS = 6

Way = Mapping[str, Any]
WAYS: tuple[tuple[str, Way], ...] = (
    ("minmax", {"ranges": "minmax"}),
    ("percentile 99.99", {"ranges": "percentile", "percentile": 99.99}),
    ("percentile 99.9", {"ranges": "percentile", "percentile": 99.9}),
    ("mse", {"ranges": "mse"}),
)
"""From observed values to a range."""


@dataclass(frozen=True)
class Candidate:
    """Settings of the whole model, and of single tensors by name. `label` says what is new."""

    label: str
    settings: ConvertSettings
    overrides: Mapping[str, Way] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """How good an integer model is. `drop` in percent against the float model; lower is better.

    `sqnr_db` of the output tells apart what the metric does not; None: no error.
    """

    value: float
    drop: float
    agreement: float | None
    sqnr_db: float | None

    @property
    def order(self) -> tuple[float, float]:
        """The lower, the better."""
        return self.drop, float("-inf") if self.sqnr_db is None else -self.sqnr_db


@dataclass(frozen=True)
class Try:
    """One line of the table. Without a score, `note` says why there is none.

    A line that names a tensor is about that one alone, beside the best of all lines before.
    """

    label: str
    score: Score | None
    passed: bool
    note: str
    bytes: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Found:
    """The best candidate of all: the one that ended the search where `passed`."""

    candidate: Candidate
    flatbuffer: bytes
    score: Score
    passed: bool
    limit: float
    tries: tuple[Try, ...]


@dataclass(frozen=True, eq=False)
class Bench:
    """What the search needs of the model: how to make a candidate, how good it is, what is bad.

    quantize  the flatbuffer of a candidate; raises BadInput where there is none
    score     of a flatbuffer
    worst     names of the tensors of a flatbuffer, lowest SQNR first
    told      called with a line for each try
    """

    quantize: Callable[[Candidate], bytes]
    score: Callable[[bytes], Score]
    worst: Callable[[bytes], Sequence[str]]
    told: Callable[[str], None]


class _Search:
    """The candidates that were tried, and the best of them."""

    def __init__(self, bench: Bench, limit: float) -> None:
        self.bench = bench
        self.limit = limit
        self.tries: list[Try] = []
        self.best: tuple[Candidate, bytes, Score] | None = None
        self._seen: dict[str, str] = {}

    @property
    def done(self) -> bool:
        passed = bool(self.tries) and self.tries[-1].passed
        return passed or sum(t.score is not None for t in self.tries) == MOST_TRIES

    def attempt(self, candidate: Candidate) -> None:
        """Make, measure and keep a candidate. Only the first one may fail."""
        start = time.monotonic()
        flatbuffer, score, note = b"", None, ""
        try:
            flatbuffer = self.bench.quantize(candidate)
        except BadInput as error:
            if not self.tries:
                raise
            note = error.what
        digest = hashlib.sha256(flatbuffer).hexdigest()
        if flatbuffer and digest in self._seen:
            note = f"the same as: {self._seen[digest]}"
        elif flatbuffer:
            score = self.bench.score(flatbuffer)
            if self.best is None or score.order < self.best[2].order:
                self.best = (candidate, flatbuffer, score)
        self._seen.setdefault(digest, candidate.label)
        passed = score is not None and score.drop <= self.limit
        seconds = round(time.monotonic() - start, 2)
        self.tries.append(Try(candidate.label, score, passed, note, len(flatbuffer), seconds))
        self.bench.told(self._line())

    def _line(self) -> str:
        last = self.tries[-1]
        how = f"loss {last.score.drop:.2f}%" if last.score else last.note
        return f"search {len(self.tries)}: {last.label}: {how} (limit {self.limit:g}%)"


def search(bench: Bench, settings: ConvertSettings, limit: float, *, int16: bool) -> Found:
    """The first candidate that loses at most `limit` percent, else the best of all.

    `int16` allows int16x8 as the last resort. Raises BadInput where the model cannot be quantised.
    """
    state = _Search(bench, limit)
    state.attempt(Candidate(named(settings), settings))
    for candidate in _candidates(state):
        if state.done:
            break
        state.attempt(candidate)
    if int16 and not state.tries[-1].passed and settings.mode == "int8":
        state.attempt(_sixteen(settings))
    assert state.best is not None, "the first attempt has a score, or raised"
    candidate, flatbuffer, score = state.best
    return Found(candidate, flatbuffer, score, score.drop <= limit, limit, tuple(state.tries))


def named(settings: ConvertSettings) -> str:
    """The candidate of these settings in a few words."""
    ranges: str = settings.ranges
    if ranges == "percentile":
        ranges += f" {settings.percentile:g}"
    mode = "" if settings.mode == "int8" else f"{settings.mode}, "
    return mode + ranges + (", biases corrected" if settings.bias_correction else "")


def _best(state: _Search) -> tuple[Candidate, bytes]:
    assert state.best is not None
    return state.best[0], state.best[1]


def _ways(settings: ConvertSettings) -> Iterator[tuple[str, Way]]:
    """16 bits have nothing to gain by clipping: the least error is searched for 8."""
    return ((n, w) for n, w in WAYS if settings.mode == "int8" or w["ranges"] != "mse")


def _candidates(state: _Search) -> Iterator[Candidate]:
    """Those of all steps; no step begins once the search has ended: one measures tensors first."""
    for step in (_whole_model, _biases, _single_tensors):
        if not state.done:
            yield from step(state)


def _whole_model(state: _Search) -> Iterator[Candidate]:
    first, _ = _best(state)
    for _, way in _ways(first.settings):
        settings = replace(first.settings, **way)
        if named(settings) != first.label:
            yield Candidate(named(settings), settings)


def _biases(state: _Search) -> Iterator[Candidate]:
    best, _ = _best(state)
    if not best.settings.bias_correction:
        settings = replace(best.settings, bias_correction=True)
        yield Candidate(named(settings), settings)


def _single_tensors(state: _Search) -> Iterator[Candidate]:
    """Greedily: what made a tensor better stays while the next one is looked at."""
    _, flatbuffer = _best(state)
    for tensor in list(state.bench.worst(flatbuffer))[:WORST_TENSORS]:
        start, _ = _best(state)
        for name, way in _ways(start.settings):
            if name != named(replace(start.settings, bias_correction=False)):
                overrides = {**start.overrides, tensor: way}
                yield Candidate(f"{short_name(tensor)}: {name}", start.settings, overrides)


def described(candidate: Candidate) -> str:
    """The settings of a candidate, and how many tensors have their own."""
    count = len(candidate.overrides)
    more = f", {count} tensor{'s' if count > 1 else ''} otherwise" if count else ""
    return named(candidate.settings) + more


def _sixteen(settings: ConvertSettings) -> Candidate:
    chosen = replace(
        settings, mode="int16x8", weights="int8", ranges="minmax", edges=_edges(settings)
    )
    return Candidate("int16x8, the last resort: no board with int8 kernels runs it", chosen)


def _edges(settings: ConvertSettings) -> Any:
    """Float edges stay; integer ones are those of the mode."""
    return "float" if settings.edges == "float" else None
