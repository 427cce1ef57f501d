"""What ADD, SUB and MUL share: two int8 operands of shapes that broadcast together.

Where one operand is a constant of a single value, the operator is a table of the other one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import product
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from exporter.graph.bounds import Interval
from exporter.graph.ir import Graph, Op, Tensor
from exporter.ops.arithmetic import INT8_MAX, INT8_MIN, activation_range
from exporter.ops.base import Constraint, Lowering, Operator, has_static_shapes, operands_are_int8
from exporter.ops.candidate import Candidate, Constant, MicroKernel, Param, Rows, Tiling
from exporter.ops.kernels.packing import unroll_factor
from exporter.ops.linear import activation_is_known
from exporter.ops.lookup import INPUTS, lookups
from exporter.ops.shapes import broadcast_dimensions, broadcast_shape

Int64Array = npt.NDArray[np.int64]

SIDES = ("left", "right")

LONGEST_UNROLL = 8
"""Elements that the innermost loop computes at a time, at most."""

CLAMPING = 5
"""Instructions for limits other than those of an int8."""


def has_two_operands(graph: Graph, op: Op) -> bool:
    """There are two inputs."""
    return len(op.inputs) == 2 and None not in op.inputs


def output_is_the_broadcast(graph: Graph, op: Op) -> bool:
    """The inputs' shapes broadcast together, to the output's shape."""
    left, right = (graph[op.input(position)].shape for position in (0, 1))
    return broadcast_shape(left, right) == graph[op.outputs[0]].shape


class ElementKernel(NamedTuple):
    """One way to compute an element: the template, its literals, and what an element takes."""

    template: str
    literals: dict[str, Param]
    instructions: int
    choice: str
    constants: tuple[Constant, ...] = ()
    micro_kernels: tuple[MicroKernel, ...] = ()


class ElementwiseOperator(Operator):
    """An operator of two int8 operands, element by element."""

    constraints: ClassVar[tuple[Constraint, ...]] = (
        has_static_shapes,
        operands_are_int8,
        has_two_operands,
        activation_is_known,
        output_is_the_broadcast,
    )

    @abstractmethod
    def evaluate(self, graph: Graph, op: Op, left: Int64Array, right: Int64Array) -> Int64Array:
        """The outputs for any int8 operands, broadcast against each other, before clamping."""

    @abstractmethod
    def kernels(self, context: Lowering) -> tuple[ElementKernel, ...]:
        """The ways to compute an element, one at least."""

    def output_interval(self, graph: Graph, op: Op, inputs: Sequence[Interval]) -> Interval:
        """The operators are monotone or bilinear: the extremes are at the ends of the operands."""
        left, right = inputs
        corners = [
            self._clamped(graph, op, *ends)
            for ends in product((left.low, left.high), (right.low, right.high))
        ]
        return Interval(np.min(corners, axis=0), np.max(corners, axis=0))

    def is_by_rows(self, graph: Graph, op: Op) -> bool:
        return True

    def candidates(self, context: Lowering) -> tuple[Candidate, ...]:
        table = self._table(context)
        if table is not None:
            return lookups(context.output, table, context.target)
        loops = tuple(self._loop(context, kernel) for kernel in self.kernels(context))
        return (*self.offers(context, loops[0]), *loops)

    def offers(self, context: Lowering, generic: Candidate) -> tuple[Candidate, ...]:
        """What the target's sets offer beside the loops, of which `generic` is one."""
        return ()

    def all_outputs(self, graph: Graph, op: Op) -> Int64Array:
        """int64 [256,256]: the outputs for every left and every right operand."""
        return self._clamped(graph, op, INPUTS[:, None], INPUTS)

    def _clamped(self, graph: Graph, op: Op, left: Int64Array, right: Int64Array) -> Int64Array:
        return np.clip(self.evaluate(graph, op, left, right), *output_range(graph, op))

    def _table(self, context: Lowering) -> Int64Array | None:
        """The operator as a function of one operand, where the other is a single constant."""
        left, right = context.input(0), context.input(1)
        if _is_single(right) and not left.is_constant and left.bytes == context.output.bytes:
            operands = (INPUTS, right.constant.astype(np.int64).ravel())
        elif _is_single(left) and not right.is_constant and right.bytes == context.output.bytes:
            operands = (left.constant.astype(np.int64).ravel(), INPUTS)
        else:
            return None
        return self._clamped(context.graph, context.op, *operands)

    def _loop(self, context: Lowering, kernel: ElementKernel) -> Candidate:
        """Both operands walked by nested loops. Runs in place: every element is read only once."""
        operands = [context.input(position) for position in (0, 1)]
        low, high = output_range(context.graph, context.op)
        clamping = 0 if (low, high) == (INT8_MIN, INT8_MAX) else CLAMPING
        dimensions = broadcast_dimensions(operands[0].shape, operands[1].shape)
        output, is_small = context.output, context.target.optimize == "size"
        params: dict[str, Param] = {
            "dimensions": dimensions,
            "left_is_constant": operands[0].is_constant,
            "right_is_constant": operands[1].is_constant,
            "unroll": unroll_factor(dimensions[-1][0], 1 if is_small else LONGEST_UNROLL),
            "low": low,
            "high": high,
            **kernel.literals,
        }
        return Candidate(
            kernel=kernel.template,
            name=f"{context.op.kind.lower()}_{output.elements}",
            inputs=tuple(Rows(1, t.bytes) for t in operands if not t.is_constant),
            output=Rows(1, output.bytes),
            params=params,
            constants=tuple(
                Constant(side, tensor.constant.ravel(), f"operand, {list(tensor.shape)}")
                for side, tensor in zip(SIDES, operands, strict=True)
                if tensor.is_constant
            )
            + kernel.constants,
            micro_kernels=kernel.micro_kernels,
            tiling=Tiling(output.bytes),
            instructions=output.elements * (kernel.instructions + clamping),
            choice=kernel.choice,
        )


def output_range(graph: Graph, op: Op) -> tuple[int, int]:
    """What the fused activation leaves of the int8 range."""
    output = graph[op.outputs[0]]
    activation = str(op.options.get("fused_activation_function", "NONE"))
    return activation_range(activation, output.scale, output.zero_point)


def _is_single(tensor: Tensor) -> bool:
    return tensor.is_constant and tensor.elements == 1
