"""Layers for the tests of the Helium kernels: random ones, and what was chosen for one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from exporter.ops.base import Target
from exporter.ops.candidate import Candidate
from tests import random_layers as layers
from tests.flatbuffer_builder import ModelBuilder
from tests.ops.harness import compile_graph
from tests.ops.kernels.emulated import Branch, branches
from tests.random_layers import Style

BOARD = "mps3-an547"
MVE = Target(instruction_set="mve")
ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")
STYLES: tuple[Style, ...] = ("realistic", "extreme")
Shape = tuple[int, ...]


def linear_layer(
    operator: str,
    shape: Shape,
    *arguments: Any,
    seed: int = 0,
    zero_point: int | None = None,
    **options: Any,
) -> Branch:
    """`operator` of tests/random_layers.py on an input of `shape`, activation and style by seed."""

    def add(builder: ModelBuilder) -> tuple[list[int], int]:
        rng = np.random.default_rng(seed)
        style = STYLES[seed % 2]
        zero = layers.zero_point(rng, style) if zero_point is None else zero_point
        x = builder.tensor(f"x{seed}", shape, scale=layers.scale(rng), zero_point=zero)
        chosen = {"style": style, "activation": ACTIVATIONS[seed // 2 % 4], **options}
        y = getattr(layers, operator)(builder, rng, x, *arguments, name=f"y{seed}", **chosen)
        return [x], y

    return add


def chosen(layer: Branch, target: Target = MVE) -> Candidate:
    """The kernel of a model of one layer."""
    _, program = compile_graph(branches([layer]), target)
    (step,) = program.steps
    return step.candidate


def micro_kernels(candidate: Candidate) -> list[str]:
    """The templates of its micro-kernels."""
    return [micro.template.removeprefix("mve/micro/") for micro in candidate.micro_kernels]


def numbered(models: Iterable[Branch]) -> dict[str, bytes]:
    """Models of one layer each, by number."""
    return {f"layer {number}": branches([layer]) for number, layer in enumerate(models)}
