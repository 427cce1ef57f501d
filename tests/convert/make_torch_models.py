"""Makes small PyTorch models as .pt2 files: `python make_torch_models.py FOLDER`, where torch is.

Also the module of `module:function`: `residual` and `functions` return models from Python.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch


class Residual(torch.nn.Module):
    """Convolutions, batch norm, a depthwise one, a residual sum, a dense layer, softmax."""

    def __init__(self) -> None:
        super().__init__()
        nn = torch.nn
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.depthwise = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU6()
        )
        self.pointwise = nn.Conv2d(8, 8, 1)
        self.last = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.dense = nn.Linear(12, 5)

    def forward(self, image: Any) -> Any:
        x = torch.nn.functional.max_pool2d(self.first(image), 2)
        x = torch.relu(self.pointwise(self.depthwise(x)) + x)
        x = torch.relu(self.last(x)).mean((2, 3))
        return torch.softmax(self.dense(x), -1)


class Two(torch.nn.Module):
    """Two inputs and two outputs, one of which is an image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 4, 3, padding=1)
        self.dense = torch.nn.Linear(7, 3)

    def forward(self, image: Any, extra: Any) -> Any:
        x = torch.relu(self.conv(image))
        return self.dense(torch.cat([x.mean((2, 3)), extra], 1)), x


class Last(torch.nn.Module):
    def forward(self, row: Any) -> Any:
        return torch.erfinv(row)


def residual() -> Any:
    torch.manual_seed(0)
    return Residual(), torch.zeros(1, 3, 16, 16)


def exported() -> Any:
    return torch.export.export(*_positional(residual()))


def without_sample() -> Any:
    return Residual()


def data_dependent() -> Any:
    class Branch(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x if x.sum() > 0 else -x

    return Branch(), torch.zeros(1, 4)


def raises() -> Any:
    raise ValueError("no weights")


def _positional(pair: Any) -> Any:
    module, samples = pair
    return module.eval(), samples if isinstance(samples, tuple) else (samples,)


class Hostile:
    """Unpickling it makes a file."""

    def __reduce__(self) -> Any:
        return os.system, ("touch hostile-was-here",)


def main(folder: Path) -> None:
    torch.manual_seed(0)
    dim = torch.export.Dim
    dense, conv = torch.nn.Linear(4, 2), torch.nn.Conv2d(1, 2, 3, padding=1)
    for name, module, samples, dynamic in (
        ("residual", *residual(), None),
        ("two", Two(), (torch.zeros(1, 2, 5, 4), torch.zeros(1, 3)), None),
        ("open_batch", dense, torch.zeros(4, 4), ({0: dim("batch")},)),
        ("batch", dense, torch.zeros(8, 4), None),
        ("dynamic", conv, torch.zeros(1, 1, 8, 8), ({2: dim("height", min=4)},)),
        ("integer", torch.nn.Embedding(5, 3), torch.zeros(1, 4, dtype=torch.int64), None),
        ("no_int8", Last(), torch.zeros(1, 4), None),
    ):
        program = torch.export.export(*_positional((module, samples)), dynamic_shapes=dynamic)
        torch.export.save(program, folder / f"{name}.pt2")
    torch.save(Hostile(), folder / "hostile.pickle")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
