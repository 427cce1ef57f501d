"""The interface of an operator.

To add one:

1. Write `exporter/ops/<kind in lower case>.py` with a subclass of `Operator` and a module variable
   `OPERATOR` holding one instance of it. The file's name registers it.
2. State what the operator demands of a model as constraints: functions from (graph, op) to True
   where satisfied. The docstring is the rule, the error text and the row in `docs/operators.md`.
3. Give `candidates`: the kernels that can compute it and what each needs.
4. Write the kernel, exact in the declared dialect: `<kernel>.c.j2` in
   `firmware_templates/kernels/generic/`.
5. Test it against the oracle in `tests/ops/test_<kind>.py`.

    class Negate(Operator):
        kind = "NEG"
        constraints = (operands_are_int8,)

        def candidates(self, context: Lowering) -> tuple[Candidate, ...]:
            ...

    OPERATOR = Negate()
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op, Tensor, TensorId
from exporter.ops.arithmetic import Rounding
from exporter.ops.candidate import Candidate

Constraint = Callable[[Graph, Op], bool]
Dialect = Literal["tflite", "litert"]
InstructionSet = Literal["generic", "dsp", "mve"]


RAM_FOR_TIME = 5.0
"""Rows made in turn save much for so little: the default."""

FLASH_PRICES = {"speed": 12, "size": 400}
"""At 12, weights of two bytes pay in layers that reuse each of them often; at 400 hardly ever."""


@dataclass(frozen=True)
class Target:
    """What kernels are chosen for. `registers`: general-purpose registers a loop can use."""

    instruction_set: InstructionSet = "generic"
    registers: int = 13
    thumb2: bool = False
    """Runs Armv7-M's instructions, which the generic micro-kernels in assembly need."""
    optimize: Literal["speed", "size"] = "speed"
    dialect: Dialect = "tflite"
    flash_price: int | None = None
    """Instructions of an inference that a byte of constants must save; None: as `optimize` says."""
    input_by_rows: bool = False
    """The application gives the input row by row: it never exists as a whole."""
    ram_for_time: float = RAM_FOR_TIME
    """Per cent of instructions beyond the fastest plan that may be spent to save RAM."""

    @property
    def price_of_flash(self) -> int:
        return FLASH_PRICES[self.optimize] if self.flash_price is None else self.flash_price


@dataclass(frozen=True, eq=False)
class Lowering:
    """Everything an operator may look at when it offers candidates."""

    graph: Graph
    op: Op
    bounds: Mapping[TensorId, Interval]
    target: Target = field(default_factory=Target)

    def input(self, position: int = 0) -> Tensor:
        return self.graph[self.op.input(position)]

    def optional_input(self, position: int) -> Tensor | None:
        tensor = self.op.optional_input(position)
        return None if tensor is None else self.graph[tensor]

    @property
    def output(self) -> Tensor:
        return self.graph[self.op.outputs[0]]

    def interval(self, position: int = 0) -> Interval:
        return self.bounds[self.op.input(position)]


@dataclass(frozen=True)
class Shared:
    """The values of tensor `part`, in order, are those of `whole` from byte `offset` on."""

    whole: TensorId
    part: TensorId
    offset: int


class Operator(ABC):
    """One operator of the flatbuffer. See the module's docstring for how to add one."""

    kind: ClassVar[str]
    constraints: ClassVar[tuple[Constraint, ...]] = ()
    input_counts: ClassVar[tuple[int, int]] = (1, 1)
    """Inputs that must be there, and the most there can be; those in between may be left out."""
    has_one_output: ClassVar[bool] = True
    """Otherwise each of the others' outputs is a layer of its own: see `Op.parts`."""
    is_view: ClassVar[bool] = False
    """The output is the input's bytes under another shape: no kernel, no copy."""

    @abstractmethod
    def candidates(self, context: Lowering) -> tuple[Candidate, ...]:
        """The kernels that can compute this operator here, at least one; empty for views.

        Those of an operator with inputs `in_place` write only the rest of the output, at once.
        """

    def shared_bytes(self, graph: Graph, op: Op) -> tuple[Shared, ...]:
        """How operands may share bytes; empty: they cannot.

        Either the output is a part of an input, or inputs are parts of the output, one after the
        other from the first on. What they leave of it is to be computed: see `Op.in_place`. `op`
        has one output (`Op.parts`). A constant cannot be shared with what is in the arena.
        """
        return (Shared(op.input(0), op.outputs[0], 0),) if self.is_view else ()

    def is_by_rows(self, graph: Graph, op: Op) -> bool:
        """Whether the kernels for one row of images [1,H,W,C], row by row, compute the whole."""
        return False

    def output_interval(self, graph: Graph, op: Op, inputs: Sequence[Interval]) -> Interval:
        """Proven range of the output per channel; the whole type where nothing is known."""
        return Interval.of_type(graph[op.outputs[0]])

    def macs(self, graph: Graph, op: Op) -> int:
        """Multiply-accumulates of one inference, for the channels that `graph` has."""
        return 0

    def broken_constraint(self, graph: Graph, op: Op) -> str | None:
        """The first rule this operator breaks, as a sentence. Later rules rely on earlier ones."""
        fewest, most = self.input_counts
        if not fewest <= len(op.inputs) <= most or None in op.inputs[:fewest]:
            count = str(fewest) if fewest == most else f"{fewest} to {most}"
            return f"Its inputs number {count}, none of the first {fewest} absent."
        if self.has_one_output and len(op.outputs) != 1:
            return "It has one output."
        if not op.outputs:
            return "It has at least one output."
        try:
            return next((rule_text(rule) for rule in self.constraints if not rule(graph, op)), None)
        except KeyError as missing:
            return f"The option {missing} is given."


def rule_text(rule: Constraint) -> str:
    """A constraint's docstring in one line."""
    return " ".join((rule.__doc__ or rule.__name__).split())


def fully_connected_rounding(target: Target) -> Rounding:
    """LiteRT requantises FULLY_CONNECTED with one rounding; everything else rounds twice."""
    return Rounding.SINGLE if target.dialect == "litert" else Rounding.DOUBLE


# Constraints that many operators share.


def activations_are_int8(graph: Graph, op: Op) -> bool:
    """All inputs and outputs that are not parameters are int8 with one scale and zero point."""
    tensors = [graph[t] for t in (op.inputs[0], *op.outputs) if t is not None]
    return all(is_int8(tensor) for tensor in tensors)


def operands_are_int8(graph: Graph, op: Op) -> bool:
    """All inputs and outputs are int8 with one scale and zero point."""
    return all(is_int8(graph[t]) for t in (*op.inputs, *op.outputs) if t is not None)


def has_static_shapes(graph: Graph, op: Op) -> bool:
    """Every dimension of every operand is known and at least 1."""
    tensors = [graph[t] for t in (*op.inputs, *op.outputs) if t is not None]
    return all(size >= 1 for tensor in tensors for size in tensor.shape)


def input_and_output_share_quantization(graph: Graph, op: Op) -> bool:
    """Input and output have the same scale and zero point."""
    return graph[op.input(0)].quantization == graph[op.outputs[0]].quantization


SMALLEST_SCALE, LARGEST_SCALE = 2.0**-60, 2.0**60
"""Far beyond any use, and far enough from the ends of float32 for every product and quotient."""


def is_int8(tensor: Tensor) -> bool:
    quantization = tensor.quantization
    return (
        tensor.dtype == "int8"
        and quantization is not None
        and quantization.per_tensor
        and bool(np.isfinite(quantization.scale))
        and SMALLEST_SCALE <= quantization.scale <= LARGEST_SCALE
        and -128 <= quantization.zero_point <= 127
    )
