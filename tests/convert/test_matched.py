"""Foreign flatbuffers beside their models, without a foreign converter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exporter.convert import flatbuffer as fb
from exporter.convert.interchange import float_flatbuffer
from exporter.convert.interpret import Interpreter
from exporter.convert.sources import Loaded, ModelInput
from exporter.convert.sources.matched import Original, matched
from tests.convert.float_models import silent, tf

pytest.importorskip("tensorflow", reason="needs TensorFlow (the extra `convert`)")


def test_outputs_that_agree_on_the_samples_are_not_taken_for_one() -> None:
    """Small inputs do not tell a clipped output from the other; large ones do."""
    inputs = (ModelInput("x", (4,), "float32"),)
    model = Loaded(inputs, lambda x: [x * 2.0, tf().minimum(x * 2.0, 100.0)])
    samples = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    names = ("plain", "clipped")
    original = Original(Path("m"), "ours", inputs, names, [samples], [2 * samples, 2 * samples])
    found = matched(float_flatbuffer(model, silent), original).flatbuffer
    tensors, outputs = fb.tensors(fb.parse(found)), fb.parse(found).subgraphs[0].outputs
    assert [fb.name_of(tensors[i]) for i in outputs] == list(names)
    interpreter = Interpreter(found)
    list(interpreter.runs([np.full((1, 4), 1000, np.float32)]))
    assert [interpreter.tensor(int(i)).max() for i in outputs] == [2000, 100]
