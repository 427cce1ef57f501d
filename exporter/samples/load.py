"""Samples for a model, from whatever the user has: chosen, read, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from exporter.arrays import Array
from exporter.errors import BadInput
from exporter.samples.base import Kind, ModelInput, Opened, Progress, Taken
from exporter.samples.csv_file import CsvFile
from exporter.samples.function import Function
from exporter.samples.images import ImageFolder, image_layout
from exporter.samples.numpy_file import NumpyFile
from exporter.samples.options import RANGES, Range, SampleOptions, chosen
from exporter.samples.suspicions import suspicions
from exporter.samples.wav import WavFolder

KINDS: tuple[Kind, ...] = (Function(), NumpyFile(), CsvFile(), ImageFolder(), WavFolder())

DEFAULTS = SampleOptions()


@dataclass(frozen=True, eq=False)
class Samples:
    """One float32 array [N, ...] per input, in the model's order, all of one N.

    `labels` int64 [N], where the data carries them; `class_names` by label. `taken` int64 [N] are
    the samples' numbers among the `given` ones; `how` says in words what was taken and done.
    """

    arrays: tuple[Array, ...]
    labels: Array | None
    class_names: tuple[str, ...] | None
    given: int
    taken: Array
    how: str
    warnings: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.arrays[0])


def find_kind(data: str | Path) -> Kind:
    """The kind of `data`, a path or module:function. Raises BadInput where there is none."""
    text = str(data)
    path = Path(text)
    allowed = [kind.form for kind in KINDS]
    if not Function().matches(text) and not path.exists():
        raise BadInput(
            f"cannot read the data '{text}'",
            value="there is no such file or folder",
            allowed=allowed,
            next_step="check the path",
        )
    matching = [kind for kind in KINDS if kind.matches(text)]
    if len(matching) == 1:
        return matching[0]
    raise BadInput(
        f"'{text}' has images and sounds, and which are meant is unclear"
        if matching
        else f"'{text}' is of no kind that samples are read from",
        value=_found(path),
        allowed=allowed,
    )


def _found(path: Path) -> str:
    if not path.is_dir():
        return path.suffix or "no suffix"
    try:
        names = sorted(p.name for p in path.iterdir())
    except OSError as error:
        return error.strerror or str(error)
    return "a folder with " + (", ".join(names[:5]) + (", ..." * (len(names) > 5)) or "nothing")


def check_data(data: str | Path) -> None:
    """Raises BadInput for what is wrong with `data` whatever the model. Runs no user's function."""
    find_kind(data).check(str(data))


def load_samples(
    data: str | Path,
    inputs: Sequence[ModelInput],
    options: SampleOptions = DEFAULTS,
    progress: Progress | None = None,
) -> Samples:
    """The samples in `data` for a model with these inputs.

    The same data and options give the same samples in the same order, whatever the machine.
    `progress` is called with a line now and then. Raises BadInput.
    """
    opened = find_kind(data).open(str(data), inputs, options, progress or (lambda _: None))
    indices = chosen(opened.count, options.samples, options.seed)
    taken = opened.read(indices)
    trained = [_trained_range(i, taken, options) for i in inputs]
    return Samples(
        arrays=taken.arrays,
        labels=None if opened.labels is None else opened.labels[indices],
        class_names=opened.class_names,
        given=opened.count if opened.given is None else opened.given,
        taken=indices if opened.origins is None else opened.origins[indices],
        how=_how(str(data), opened, taken, options),
        warnings=(
            *opened.warnings,
            *taken.warnings,
            *suspicions(taken.arrays, inputs, trained, taken.channels),
        ),
    )


def _trained_range(model_input: ModelInput, taken: Taken, options: SampleOptions) -> Range | None:
    """What the values should span: as the user says, the model, or the preprocessing."""
    known = options.trained_range or model_input.trained_range or taken.trained_range
    stated = options.preprocessing
    if known is None and stated and image_layout(model_input.shape):
        return RANGES[stated.named] if stated.named else stated.pixel_range
    return known


def _how(data: str, opened: Opened, taken: Taken, options: SampleOptions) -> str:
    given = opened.count if opened.given is None else opened.given
    count = len(taken.arrays[0])
    order = "in their order" if options.samples is None else f"shuffled with seed {options.seed}"
    done = f"; {taken.how}" if taken.how else ""
    return f"{count} of {given} {opened.things} of '{data}', {order}{done}"
