"""What a conversion may be told: one frozen set of choices, checked where it is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from exporter.convert.audit import Edges, Mode
from exporter.errors import BadInput

Weights = Literal["int8", "int4"]
RangeMethod = Literal["minmax", "percentile", "mse"]

PERCENTILE = 99.99

EDGES: dict[Mode, tuple[Edges, ...]] = {
    "int8": ("int8", "uint8", "float"),
    "int16x8": ("int16", "float"),
}
"""Types that the graph's inputs and outputs may have; the first is the mode's own."""


@dataclass(frozen=True)
class ConvertSettings:
    """How a float model becomes integers. The defaults suit every board and every runtime.

    mode             int8: weights and activations; int16x8: int16 activations over int8 weights
    weights          int4: those of convolutions and dense layers, in [-7, 7] per channel
    per_tensor       one scale for all weights of a layer, for runtimes older than 2019
    edges            the type of the graph's inputs and outputs; None: the mode's own
    ranges           from the observed values of a tensor to its range
    percentile       share of the values, in percent, that `percentile` keeps
    bias_correction  shift biases by the mean error that quantisation caused

    Raises BadInput for choices that cannot go together.
    """

    mode: Mode = "int8"
    weights: Weights = "int8"
    per_tensor: bool = False
    edges: Edges | None = None
    ranges: RangeMethod = "minmax"
    percentile: float = PERCENTILE
    bias_correction: bool = False

    def __post_init__(self) -> None:
        for name, value, allowed in self._choices():
            if value not in allowed:
                raise BadInput(f"there is no such setting of {name}", value=value, allowed=allowed)
        if not 50 < self.percentile <= 100:
            raise BadInput(
                "this percentile cannot be a range",
                value=self.percentile,
                allowed="above 50, at most 100 (which is minmax)",
            )
        self._check_together()

    def _choices(self) -> Iterator[tuple[str, str, list[str]]]:
        yield "mode", self.mode, list(get_args(Mode))
        yield "weights", self.weights, list(get_args(Weights))
        yield "ranges", self.ranges, list(get_args(RangeMethod))
        if self.mode in EDGES:
            yield f"edges in the mode {self.mode}", self.edge_type, list(EDGES[self.mode])

    def _check_together(self) -> None:
        for wrong, what, allowed in (
            (
                self.weights == "int4" and self.mode != "int8",
                f"int4 weights cannot go with the mode {self.mode}",
                "--mode int8, the only one in which TFLite's kernels read int4",
            ),
            (
                self.weights == "int4" and self.per_tensor,
                "int4 weights cannot be per tensor",
                "int4 per channel, or int8 per tensor",
            ),
            (
                self.ranges == "mse" and self.mode == "int16x8",
                "the range of least error is searched for 8 bits",
                "--ranges minmax or percentile with 16 bits: there is nothing to gain by clipping",
            ),
        ):
            if wrong:
                raise BadInput(what, allowed=allowed)

    @property
    def edge_type(self) -> Edges:
        """The type of the graph's inputs and outputs."""
        return self.edges or EDGES[self.mode][0]
