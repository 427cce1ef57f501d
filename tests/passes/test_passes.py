"""The list of passes: complete, in the stated order, and pure."""

from __future__ import annotations

import pkgutil

import pytest

from exporter import passes
from exporter.errors import BadInput
from exporter.graph.dump import dump
from exporter.graph.tflite_reader import read
from tests.passes.models import Model, kinds, rewritten
from tests.plan.random_graphs import random_graph


def test_every_file_is_in_the_list_and_only_those() -> None:
    files = {module.name for module in pkgutil.iter_modules(passes.__path__)}
    assert files == set(passes.names()) and len(passes.names()) == len(files)


def test_each_pass_lives_in_the_file_of_its_name() -> None:
    for rewrite in passes.PASSES:
        assert rewrite.__module__ == f"exporter.passes.{rewrite.__name__}"
        assert rewrite.__doc__


def test_order() -> None:
    order = passes.names()
    assert order[0] == "remove_unused"
    assert order.index("remove_identities") < order.index("fuse_pad")
    assert order[-1] == "remove_constant_channels"


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput) as caught:
        passes.run(Model().graph(0), until="fuse_everything")
    assert caught.value.value == "fuse_everything"
    assert caught.value.allowed == ", ".join(passes.names())


def test_passes_can_be_left_out() -> None:
    model = Model()
    graph = model.graph(model.conv(model.pad(model.same(model.x))))
    assert kinds(passes.run(graph, without=["remove_identities"])) == ["RESHAPE", "CONV_2D"]
    assert kinds(passes.run(graph, without={"fuse_pad"})) == ["PAD", "CONV_2D"]
    assert kinds(passes.run(graph, until="fuse_pad", without=["fuse_pad"])) == ["PAD", "CONV_2D"]
    assert dump(passes.run(graph, without=passes.names())) == dump(graph)
    with pytest.raises(BadInput) as caught:
        passes.run(graph, without=["fuse_pad", "fuse_everything"])
    assert caught.value.value == "fuse_everything"


def test_until_stops_after_the_named_pass() -> None:
    model = Model()
    graph = model.graph(model.conv(model.pad(model.same(model.x))))
    assert kinds(passes.run(graph, until="remove_unused")) == ["RESHAPE", "PAD", "CONV_2D"]
    assert kinds(passes.run(graph, until="remove_identities")) == ["PAD", "CONV_2D"]
    assert kinds(passes.run(graph)) == kinds(passes.run(graph, until="fuse_pad")) == ["CONV_2D"]


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("rewrite", passes.PASSES, ids=lambda rewrite: rewrite.__name__)
def test_passes_are_pure_and_reach_a_fixed_point(rewrite: passes.Pass, seed: int) -> None:
    once = rewritten(rewrite, read(random_graph(seed)))
    assert dump(rewritten(rewrite, once)) == dump(once)


@pytest.mark.parametrize("seed", range(15))
def test_the_interface_of_the_model_is_kept(seed: int) -> None:
    graph = read(random_graph(seed))
    result = passes.run(graph)
    assert (result.inputs, result.outputs) == (graph.inputs, graph.outputs)
    assert (result.name, result.sha256) == (graph.name, graph.sha256)
