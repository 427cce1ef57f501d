"""The kernels of every operator under each compiler, without a warning."""

from __future__ import annotations

import pytest

from tests.ops.harness import check_models
from tests.random_models import RECIPES, random_model

WITHOUT_KERNEL = {"RESHAPE"}


@pytest.mark.parametrize("build", ["gcc", "clang"])
@pytest.mark.parametrize("optimize", ["speed", "size"])
def test_every_operator(build: str, optimize: str) -> None:
    models = {
        f"{kind} seed {seed}": random_model(kind, seed)
        for kind in RECIPES
        for seed in (2, 3)
        if kind not in WITHOUT_KERNEL
    }
    check_models(models, build=build, optimize=optimize, vectors=4)
