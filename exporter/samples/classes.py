"""Classes that data name, as numbers of the model's: by name, never by their order alone.

Folders and labels in text are numbered in alphabetical order. That is the model's order only by
luck: a class without a folder would shift the numbers of all that follow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exporter.arrays import Array
from exporter.errors import BadInput


def numbered_as_model(
    labels: Array, names: Sequence[str], model_labels: Sequence[str], classes: int
) -> tuple[Array, tuple[str, ...]]:
    """`labels` int64 [N], which number `names`, as numbers of the model, and the model's names.

    `model_labels` are the model's own names of its `classes`, () where it has none. Names that are
    numbers of one length, as folders 0 to 9 have, are those classes.

    Raises BadInput where it is not clear which class of the model a sample is of.
    """
    used = sorted({int(label) for label in np.unique(labels)})
    if used and not 0 <= used[0] <= used[-1] < len(names):
        return labels, tuple(model_labels)  # numbers that are no names; told where they do not fit
    numbers = _by_name([names[k] for k in used], model_labels, classes)
    if numbers is None:
        _check_complete(names, classes)
        return labels, tuple(names)
    lookup = np.full(len(names), -1, np.int64)
    lookup[used] = numbers
    return lookup[labels], tuple(model_labels)


def _by_name(found: Sequence[str], model_labels: Sequence[str], classes: int) -> list[int] | None:
    """The number of each name in `found`; None where neither names nor digits tell it."""
    if model_labels and set(found) <= set(model_labels):
        _check_distinct(model_labels)
        return [list(model_labels).index(name) for name in found]
    if all(name.isascii() and name.isdigit() and int(name) < classes for name in found):
        _check_one_order(found, classes)
        return [int(name) for name in found]
    if model_labels:
        raise _unknown(found, model_labels)
    return None


def _check_one_order(found: Sequence[str], classes: int) -> None:
    """Trainers number folders by the alphabet: 0, 1, 10, 11, 2. Then a name is no class number."""
    if {len(name) for name in found} != {max(len(str(classes - 1)), len(found[0]))}:
        raise BadInput(
            "which classes of the model the data's are is unclear: by number and by the alphabet "
            "they come in different orders",
            value=", ".join(found[:10]) + (", ..." if len(found) > 10 else ""),
            allowed=f"numbers of one length, from {0:0{len(str(classes - 1))}d} to {classes - 1}",
            next_step="rename the folders, or convert the model with its labels: --metadata FILE",
        )


def _check_distinct(model_labels: Sequence[str]) -> None:
    twice = sorted({name for name in model_labels if list(model_labels).count(name) > 1})
    if twice:
        raise BadInput(
            "the model gives several classes one name, so that samples by name fit both",
            value=", ".join(twice),
            allowed="a name of its own for each class",
            next_step="number the classes instead: folders 0, 1, ..., or y with numbers",
        )


def _unknown(found: Sequence[str], model_labels: Sequence[str]) -> BadInput:
    unknown = [name for name in found if name not in model_labels]
    return BadInput(
        "the data have classes that the model does not name",
        value=", ".join(unknown[:10]) + (", ..." if len(unknown) > 10 else ""),
        allowed=", ".join(model_labels[:20]) + (", ..." if len(model_labels) > 20 else ""),
        next_step="name folders or labels as the model does, or by its numbers: 0, 1, ...",
    )


def _check_complete(names: Sequence[str], classes: int) -> None:
    """In alphabetical order they are the model's classes only if none is missing."""
    if len(names) != classes:
        raise BadInput(
            "which classes of the model the data's are is unclear: the model has no names for them",
            value=f"{len(names)} ({', '.join(names[:10])}{', ...' if len(names) > 10 else ''})",
            allowed=f"all {classes} classes of the model, whose numbers are then those of the "
            "alphabetical order; an empty folder counts",
            next_step="name the folders by number (0, 1, ...), add the missing ones, or convert "
            "the model with its labels: --metadata FILE",
        )
