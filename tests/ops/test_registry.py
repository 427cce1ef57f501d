"""Operators are registered by file name: one stem for the operator, its module and its test."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.ops import operators
from exporter.ops.base import rule_text
from exporter.render.environment import template_folder
from tests.ops.harness import compile_graph
from tests.random_models import RECIPES, random_model

SUPPORTED = [
    "ADD",
    "AVERAGE_POOL_2D",
    "CONCATENATION",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "LOGISTIC",
    "MAX_POOL_2D",
    "MEAN",
    "MUL",
    "PAD",
    "PADV2",
    "QUANTIZE",
    "RELU",
    "RELU6",
    "RELU_N1_TO_1",
    "RESHAPE",
    "SLICE",
    "SOFTMAX",
    "SPLIT",
    "SPLIT_V",
    "STRIDED_SLICE",
    "SUB",
    "TANH",
    "TRANSPOSE",
]


def test_every_operator_is_registered_and_drawn_at_random() -> None:
    assert list(operators()) == SUPPORTED
    assert sorted(RECIPES) == SUPPORTED


@pytest.mark.parametrize("kind", SUPPORTED)
def test_an_operator_has_its_module_and_its_test(kind: str) -> None:
    module = type(operators()[kind]).__module__
    assert module == f"exporter.ops.{kind.lower()}"
    assert (Path(__file__).parent / f"test_{kind.lower()}.py").is_file()


@pytest.mark.parametrize("kind", SUPPORTED)
def test_every_rule_is_a_sentence(kind: str) -> None:
    for rule in operators()[kind].constraints:
        assert rule.__doc__, f"{rule.__name__} has no docstring"
        assert rule_text(rule).endswith("."), rule_text(rule)


@pytest.mark.parametrize("kind", SUPPORTED)
def test_every_kernel_has_a_template_and_an_estimate(kind: str) -> None:
    for seed in (0, 1):
        _, program = compile_graph(random_model(kind, seed))
        for step in program.steps:
            template = template_folder() / "kernels" / f"{step.candidate.kernel}.c.j2"
            assert template.is_file()
            assert step.candidate.instructions > 0
