"""Structured pruning: the channels that matter least are removed, and the rest trained again.

    smaller = pruned(model, data, Pruning(macs=0.5), Training(epochs=30), print)

Channels go in such numbers that a multiple of four is left in each group, because the kernels work
on four at a time, and at least four.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from exporter.compress.channels import Group, Ids, Mask
from exporter.compress.data import Data
from exporter.compress.importance import Scores, norm, taylor
from exporter.compress.settings import Pruning, Training
from exporter.compress.task import Task, task_of
from exporter.compress.trace import Trace, trace_model
from exporter.compress.training import Progress, fit, trainee_of
from exporter.errors import BadInput

MULTIPLE = 4


def pruned(
    model: Any, data: Data, settings: Pruning, training: Training, progress: Progress
) -> Any:
    """A smaller model of at most `settings.macs` of the MACs; the given one is left as it is.

    Raises BadInput for layers that cannot be followed, samples that do not fit, and a budget that
    four channels in each group exceed.
    """
    task, trace = task_of(model, data), trace_model(model)
    whole = trace.macs(trace.all_kept)
    _check_reachable(trace, settings.macs)
    for number in range(1, settings.rounds + 1):
        budget = int(whole * settings.macs ** (number / settings.rounds))
        trace = trace_model(model)
        kept = chosen(trace, _scores(trace, data, task, settings), budget)
        left = trace.macs(kept)
        title = f"round {number} of {settings.rounds}, {left:,} MACs ({left / whole:.1%})"
        model = trace.smaller(kept)
        seeded = replace(training, seed=training.seed + number)
        fit(trainee_of(model), data, task, seeded, _titled(title, progress))
    return model


def _titled(title: str, progress: Progress) -> Progress:
    return lambda text: progress(f"{title}: {text}")


def _scores(trace: Trace, data: Data, task: Task, settings: Pruning) -> Scores:
    if settings.importance == "norm":
        return norm(trace)
    return taylor(trace, data.train, task.loss)


def chosen(trace: Trace, scores: Scores, budget: int) -> Mask:
    """What to keep of a traced model, to have at most `budget` MACs: by score per MAC.

    Again and again, the removal goes that costs the least score for each MAC that it saves. The
    last one may save more than was asked for: what fits into the rest comes back, dearest first.
    """
    kept, macs = trace.all_kept.copy(), trace.macs(trace.all_kept)
    gone: list[tuple[Group, Ids]] = []
    while macs > budget:
        removals = [(g, r) for g in trace.groups if len(r := _next_removal(g, scores, kept))]
        if not removals:
            break
        costs = [scores[r].sum() / (macs - trace.macs(_without(kept, r))) for _, r in removals]
        gone.append(removals[int(np.argmin(costs))])
        kept = _without(kept, gone[-1][1])
        macs = trace.macs(kept)
    for group, classes in reversed(gone):
        refilled = kept.copy()
        refilled[classes] = True
        left = refilled[group.classes]
        if trace.macs(refilled) <= budget and (left.all() or left.sum() % MULTIPLE == 0):
            kept = refilled
    return kept


def _next_removal(group: Group, scores: Scores, kept: Mask) -> Ids:
    """The classes of a group that go next: the least ones, so that a multiple of four is left."""
    left: Ids = group.classes[kept[group.classes]]
    count = len(left) % MULTIPLE or MULTIPLE
    if len(left) - count < MULTIPLE:
        count = 0
    return np.asarray(left[np.argsort(scores[left], kind="stable")[:count]])


def _without(kept: Mask, classes: Ids) -> Mask:
    kept = kept.copy()
    kept[classes] = False
    return kept


def _check_reachable(trace: Trace, share: float) -> None:
    """Raises BadInput where four channels in each group are too many."""
    whole = trace.macs(trace.all_kept)
    lowest = trace.macs(chosen(trace, np.zeros(len(trace.all_kept)), 0)) / whole
    if lowest > share:
        raise BadInput(
            f"the model cannot be pruned to {share:.1%} of its MACs",
            value=f"{lowest:.1%} with {MULTIPLE} channels left everywhere",
            allowed=f"{lowest:.1%} or more",
            next_step="choose a larger budget, or distil a student of another form",
        )


def scaled(model: Any, width: float) -> Any:
    """An untrained model of the same form with `width` of the channels, by fours, in each group."""
    trace = trace_model(model)
    kept = trace.all_kept.copy()
    for group in trace.groups:
        count = max(MULTIPLE, round(width * len(group.classes) / MULTIPLE) * MULTIPLE)
        kept[group.classes[count:]] = False
    return trace.smaller(kept, weights=False)
