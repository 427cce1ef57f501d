"""The kernels of the operators, by instruction set: `<set>/<operator in lower case>.py`.

Each module has a function `candidates` that offers what it can do for one layer, packed offline for
that layer; found by its file's name, as operators are. The C is in
`firmware_templates/kernels/<set>/`.

* `generic`: C99 for any core, some over micro-kernels that have a body in Armv7-M's Thumb-2 too.
* `dsp`: Armv7E-M and Armv8-M with the DSP extension (Cortex-M4, M7, M33).
* `mve`: Helium (Cortex-M55, M85), which includes dsp.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from functools import cache

from exporter.ops.base import Target
from exporter.ops.candidate import Candidate

SETS = {"generic": ("generic",), "dsp": ("dsp", "generic"), "mve": ("mve", "dsp", "generic")}
"""The sets whose kernels a core can run."""


def offered(stem: str, target: Target, layer: object) -> tuple[Candidate, ...]:
    """Everything that the sets of `target` offer for `layer` of the operator `stem`."""
    return tuple(
        candidate
        for folder in SETS[target.instruction_set]
        for candidate in _offers(folder, stem)(layer)
    )


@cache
def _offers(folder: str, stem: str) -> Callable[[object], tuple[Candidate, ...]]:
    name = f"{__name__}.{folder}.{stem}"
    if importlib.util.find_spec(name) is None:
        return lambda layer: ()
    found: Callable[[object], tuple[Candidate, ...]] = importlib.import_module(name).candidates
    return found
