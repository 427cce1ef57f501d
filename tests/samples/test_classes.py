"""Classes by name: a missing folder must not shift the numbers of those that follow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from exporter.errors import BadInput
from exporter.samples.classes import numbered_as_model


def numbers(
    labels: Sequence[int], names: Sequence[str], model: Sequence[str], classes: int
) -> list[int]:
    """The labels as the model's numbers."""
    found, _ = numbered_as_model(np.array(labels, np.int64), names, model, classes)
    return [int(number) for number in found]


@pytest.mark.parametrize(
    ("labels", "names", "model", "classes", "expected"),
    [
        ([0, 1, 1], ["cat", "dog"], ["ant", "cat", "dog"], 3, [1, 2, 2]),
        ([0, 1, 2], ["ant", "cat", "dog"], ["dog", "cat", "ant"], 3, [2, 1, 0]),
        ([0, 2], ["ant", "no such", "cat"], ["ant", "cat"], 2, [0, 1]),  # an empty folder
        ([0, 1], ["2", "7"], [], 10, [2, 7]),
        ([0, 1], ["2", "7"], ["zero", "one", *"abcdefgh"], 10, [2, 7]),
        ([0, 1], ["2", "7"], ["7", "2"], 2, [1, 0]),  # names go before numbers
        ([0, 1], ["02", "10"], [], 12, [2, 10]),
        ([0, 1, 2], ["ant", "cat", "dog"], [], 3, [0, 1, 2]),
        ([0, 1, 2], ["1", "2", "3"], [], 3, [0, 1, 2]),  # all there are, counted from one
        ([0, 2], ["ant", "cat", "dog"], [], 3, [0, 2]),  # an empty folder counts
        ([5], ["ant", "cat"], ["ant", "cat"], 2, [5]),  # no number of a name: told elsewhere
    ],
)
def test_the_number_of_a_name(
    labels: list[int], names: list[str], model: list[str], classes: int, expected: list[int]
) -> None:
    assert numbers(labels, names, model, classes) == expected


@pytest.mark.parametrize(
    ("labels", "names", "model", "classes", "told"),
    [
        ([0, 1], ["cat", "cow"], ["ant", "cat", "dog"], 3, "does? not name"),
        ([0, 1], ["cat", "dog"], [], 3, "unclear"),
        ([0, 1, 2], ["0", "1", "10"], [], 12, "different orders"),
        ([0], ["cat"], ["cat", "cat"], 2, "several classes one name"),
    ],
)
def test_what_is_unclear_is_refused(
    labels: list[int], names: list[str], model: list[str], classes: int, told: str
) -> None:
    with pytest.raises(BadInput, match=told) as caught:
        numbers(labels, names, model, classes)
    assert caught.value.value and caught.value.allowed and caught.value.next_step
