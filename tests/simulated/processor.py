"""Unicorn, whose Python side has no types: the one place that imports its classes."""

from __future__ import annotations

import importlib
from typing import Any

_unicorn: Any = importlib.import_module("unicorn")
ProcessorError: type[Exception] = _unicorn.UcError


def new_processor(architecture: int, mode: int, model: int | None = None) -> Any:
    """A `unicorn.Uc`; `model` is one of its processors' names."""
    processor = _unicorn.Uc(architecture, mode)
    if model is not None:
        processor.ctl_set_cpu_model(model)
    return processor
