"""The interface of a kind: one form in which users bring samples.

To add one:

1. Write `exporter/samples/<kind>.py` with a subclass of `Kind`.
2. `matches` looks at the name, and at the file system where that does not tell.
3. `check` raises BadInput for what is wrong whatever the model: it runs before a model is loaded.
4. `open` finds out what there is, without reading more than it must; the samples are numbered in an
   order that does not depend on the machine.
5. `Opened.read` reads those that were chosen. It calls `told` now and then.
6. Add an instance to KINDS in `exporter/samples/load.py`, and a test.

    class Recordings(Kind):
        form = "a folder of recordings (.rec)"

        def matches(self, data: str) -> bool:
            return any(Path(data).glob("*.rec"))

        def open(self, data, inputs, options, told) -> Opened:
            files = sorted(Path(data).glob("*.rec"))
            return Opened("recordings", len(files), lambda chosen: Taken((...,)))
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np

from exporter.arrays import Array
from exporter.errors import BadInput
from exporter.samples.options import Range, SampleOptions

Progress = Callable[[str], None]
Item = TypeVar("Item")

# How often progress is told while many files are read.
_REPORTS = 20


@dataclass(frozen=True)
class ModelInput:
    """One input of a trained model. `shape` is without the batch, in the model's own order.

    `trained_range` is what the values spanned in training, where the model tells. `device_axes`:
    where the flatbuffer, and so the device, takes the axes in another order, for each of its axes
    the one of `shape`: (1, 2, 0) makes [H, W, C] of an image [C, H, W].
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    trained_range: Range | None = None
    device_axes: tuple[int, ...] | None = None

    @property
    def device_shape(self) -> tuple[int, ...]:
        """The shape of the flatbuffer's input, without the batch."""
        return tuple(self.shape[a] for a in self.device_axes or range(len(self.shape)))

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a sample may have this shape: the model's order, or the flatbuffer's."""
        return shape in (self.shape, self.device_shape)

    def for_device(self, array: Array) -> Array:
        """An array [N, ...] in the model's order, as the flatbuffer takes it."""
        return _moved(array, self.device_axes)

    def from_device(self, array: Array) -> Array:
        """An array [N, ...] as the flatbuffer takes it, in the model's order."""
        axes = self.device_axes
        return _moved(array, None if axes is None else np.argsort(axes).tolist())

    def in_order(self, array: Array) -> Array:
        """The array itself, or in the model's order if it fits the flatbuffer's shape alone."""
        shape = array.shape[1:]
        return self.from_device(array) if self.shape != shape == self.device_shape else array

    @property
    def batched(self) -> str:
        """The shape of a data array for this input, as messages print it."""
        return f"[{', '.join(map(str, ('N', *self.shape)))}]"


def _moved(array: Array, axes: Sequence[int] | None) -> Array:
    if axes is None:
        return array
    return np.ascontiguousarray(np.transpose(array, (0, *(a + 1 for a in axes))))


@dataclass(frozen=True, eq=False)
class Taken:
    """The chosen samples: one float32 array [N, ...] per input.

    `how` says what was done to them; `channels` names the last dimension where the data does;
    `trained_range` is what their preprocessing says that they should span.
    """

    arrays: tuple[Array, ...]
    how: str = ""
    warnings: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    trained_range: Range | None = None


@dataclass(frozen=True, eq=False)
class Opened:
    """What there is to choose from: `count` samples, called `things` in messages.

    `labels` are class numbers, int64 [count], or the targets of a regression, [count, ...].
    `origins` int64 [count] are the samples' numbers among the `given` ones,
    where a kind could not offer all of them.
    """

    things: str
    count: int
    read: Callable[[Array], Taken]
    labels: Array | None = None
    class_names: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()
    given: int | None = None
    origins: Array | None = None


class Kind(ABC):
    """One form of data. See the module's docstring for how to add one."""

    form: ClassVar[str]
    """What error messages call it, suffix included."""

    @abstractmethod
    def matches(self, data: str) -> bool:
        """Whether `data`, a path that exists or module:function, is meant to be of this kind."""

    def check(self, data: str) -> None:
        """Raises BadInput for what can be told without knowing the model."""
        return

    @abstractmethod
    def open(
        self, data: str, inputs: Sequence[ModelInput], options: SampleOptions, told: Progress
    ) -> Opened:
        """What there is in `data` for a model with these inputs. Raises BadInput."""


def only_input(data: str, kind: str, inputs: Sequence[ModelInput]) -> ModelInput:
    """The model's single input. Raises BadInput where it has more: files say not which is whose."""
    if len(inputs) == 1:
        return inputs[0]
    raise BadInput(
        f"{kind} gives one input, and the model has {len(inputs)}",
        value=f"'{data}' for {', '.join(i.name for i in inputs)}",
        allowed="an .npz with one array per input, or module:function",
        next_step="save one array per input: numpy.savez('data.npz', "
        + ", ".join(f"{i.name}=..." for i in inputs)
        + ")",
    )


def counted(items: Sequence[Item], things: str, told: Progress) -> Iterator[Item]:
    """The items, telling how far one is."""
    step = max(1, len(items) // _REPORTS)
    for index, item in enumerate(items):
        if index % step == 0:
            told(f"reading {things}: {index} of {len(items)}")
        yield item
