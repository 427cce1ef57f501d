"""All that is known of a conversion's loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exporter.arrays import Array
from exporter.convert.evaluation import Evaluation, Yardstick
from exporter.convert.measures import Comparison
from exporter.convert.search import Candidate, Found


@dataclass(frozen=True, eq=False)
class Judgement:
    """An integer model measured against the float one that it was made of.

    values       the metric of the float and of the integer model; None where nothing applies
    agreement    share of samples that both give the same class; None where there are no classes
    confusions   int64 [C, C] of the float and of the integer model: a row for each right class
    candidate    the settings that made it
    found        the search, where there was one
    seconds      by stage
    """

    evaluation: Evaluation
    yardstick: Yardstick
    values: tuple[float, float] | None
    agreement: float | None
    output_sqnr_db: float | None
    confusions: tuple[Array, Array] | None
    comparison: Comparison
    candidate: Candidate
    found: Found | None
    seconds: Mapping[str, float]

    @property
    def drop(self) -> float | None:
        """The loss in percent of the metric."""
        return None if self.values is None else self.yardstick.drop(*self.values)

    def summary(self) -> dict[str, Any]:
        """The few figures that say how good it is, for the JSON output."""
        values = self.values
        metric = values and {
            "name": self.yardstick.name,
            "float": values[0],
            "converted": values[1],
            "drop_percent": self.drop,
        }
        return {
            "evaluation": {
                "data": self.evaluation.data,
                "samples": len(self.evaluation),
                "measured": self.comparison.measured,
                "labelled": self.evaluation.labels is not None,
            },
            "metric": metric,
            "agreement": self.agreement,
            "output_sqnr_db": self.output_sqnr_db,
        }
