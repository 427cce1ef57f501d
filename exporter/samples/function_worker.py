"""The process that runs a user's function: `python -m exporter.samples.function_worker`.

One request (see exporter/worker.py), whose fields `function.py` writes:

    run   -> fields: keys, given, warnings; arrays: one [N, ...] per key, then the samples' numbers
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from exporter import user_function
from exporter.arrays import ONLY_KEY, Array
from exporter.errors import BadInput
from exporter.process import without_input
from exporter.samples.base import ModelInput
from exporter.samples.labels import LABEL_KEY
from exporter.samples.options import chosen
from exporter.worker import Message, Progress, serve

# Where a function that never ends is left; the more, the fairer the choice from a long one.
MOST_YIELDED = 10_000
MOST_YIELDED_OF_ALL = 100_000
_REPORT_EVERY = 50

_RETURNS = (
    "an array, a dict of arrays by the inputs' names, a tuple of arrays, or an iterable of these"
)
_FORM = f"a function without arguments that returns {_RETURNS}"


def run(request: Message, progress: Progress) -> Message:
    """Imports, calls, iterates, and answers with the chosen samples. Raises BadInput."""
    fields = request.fields
    name, folder = fields["name"], Path(fields["folder"])
    inputs = [ModelInput(**{**i, "shape": tuple(i["shape"])}) for i in fields["inputs"]]
    try:
        with without_input():
            result = user_function.found(name, folder, _FORM)()
            if isinstance(result, (dict, tuple, np.ndarray)) or hasattr(result, "__array__"):
                return _of_whole(name, _by_key(name, result, inputs), fields)
            return _of_many(name, _each(name, result, inputs), fields, progress)
    except BadInput:
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        traceback.print_exc()  # into the log of the process
        raise user_function.failed(f"the function {name}", error, folder, _FORM) from None


def _by_key(name: str, item: Any, inputs: list[ModelInput]) -> dict[str, Array]:
    """One thing that the function returned or yielded, as arrays by key."""
    if isinstance(item, dict):
        return {str(key): _array(name, value) for key, value in item.items()}
    if not isinstance(item, (tuple, list)) or _is_sample(item, inputs):
        return {_keys(inputs)[0]: _array(name, item)}
    keys = [*_keys(inputs), LABEL_KEY]
    if len(item) not in (len(inputs), len(keys)):
        raise _wrong(
            name,
            f"a {type(item).__name__} of {len(item)}",
            f"{len(inputs)} arrays ({', '.join(i.name for i in inputs)}), or these and the labels",
        )
    return {key: _array(name, value) for key, value in zip(keys, item, strict=False)}


def _is_sample(item: Any, inputs: list[ModelInput]) -> bool:
    """Whether a list is numbers for the only input, one sample or a batch, not a list of arrays."""
    if len(inputs) > 1 or isinstance(item, tuple):
        return False
    try:
        array = np.asarray(item)
    except ValueError:  # rows of different lengths
        return False
    fits = inputs[0].fits
    return array.dtype.kind in "biuf" and (fits(array.shape) or fits(array.shape[1:]))


def _keys(inputs: list[ModelInput]) -> list[str]:
    return [ONLY_KEY] if len(inputs) == 1 else [i.name for i in inputs]


def _array(name: str, value: Any) -> Array:
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise _wrong(name, f"{type(value).__name__}: {error}", "arrays of numbers") from None
    if array.dtype.kind not in "biufU":
        raise _wrong(name, f"{type(value).__name__} ({array.dtype})", _RETURNS)
    return array


def _of_whole(name: str, arrays: dict[str, Array], fields: dict[str, Any]) -> Message:
    """Arrays [N, ...] that were returned as one."""
    counts = {len(a) for a in arrays.values() if a.ndim}
    if len(counts) != 1 or any(a.ndim == 0 for a in arrays.values()):
        raise _wrong(name, _forms(arrays), "arrays [N, ...] of one N")
    (given,) = counts
    indices = chosen(given, fields["samples"], fields["seed"])
    return _answer({key: a[indices] for key, a in arrays.items()}, indices, given)


def _each(name: str, result: Any, inputs: list[ModelInput]) -> Iterator[dict[str, Array]]:
    """The samples one by one, whether they come one by one or in batches."""
    if not isinstance(result, Iterable) or isinstance(result, (str, bytes)):
        raise _wrong(name, type(result).__name__, _RETURNS)
    for item in result:
        arrays = _by_key(name, item, inputs)
        if not _is_batch(name, arrays, inputs):
            yield arrays
            continue
        counts = {len(a) if a.ndim else 1 for a in arrays.values()}
        if len(counts) != 1:
            raise _wrong(name, _forms(arrays), "batches with the same number of everything")
        for k in range(counts.pop()):
            yield {key: a[k] if a.ndim else a for key, a in arrays.items()}


def _is_batch(name: str, arrays: dict[str, Array], inputs: list[ModelInput]) -> bool:
    """Whether this is [k, ...] for every input, not [...]. Raises BadInput where it is neither."""
    forms = []
    for model_input in inputs:
        key = model_input.name if model_input.name in arrays else ONLY_KEY
        if key not in arrays:
            raise _wrong(name, f"keys {', '.join(arrays)}", f"a key '{model_input.name}'")
        shape = arrays[key].shape
        if not (model_input.fits(shape) or model_input.fits(shape[1:])):
            raise _wrong(
                name,
                f"{_forms(arrays)} for the input '{model_input.name}'",
                f"float32 {list(model_input.shape)}, or batches {model_input.batched}",
            )
        forms.append(not model_input.fits(shape))
    if len(set(forms)) > 1:
        raise _wrong(name, _forms(arrays), "a sample, or a batch, for every input alike")
    return forms[0]


def _of_many(
    name: str, samples: Iterator[dict[str, Array]], fields: dict[str, Any], progress: Progress
) -> Message:
    """At most `samples` of those that come, each with the same chance (reservoir sampling)."""
    most = fields["samples"]
    limit = MOST_YIELDED_OF_ALL if most is None else max(MOST_YIELDED, 20 * most)
    random = np.random.default_rng(fields["seed"])
    kept: list[tuple[int, dict[str, Array]]] = []
    warnings = []
    given = 0
    for number, sample in enumerate(samples):
        if number == limit:
            warnings.append(
                f"{name} yields more than {limit} samples: the others are not looked at"
            )
            break
        given += 1
        if number % _REPORT_EVERY == 0:
            progress(f"running {name}: {number} samples")
        if most is None or number < most:
            kept.append((number, sample))
        elif (place := int(random.integers(0, number + 1))) < most:
            kept[place] = (number, sample)
    if not kept:
        raise _wrong(name, "nothing", "one sample or more")
    arrays = _stacked(name, [sample for _, sample in kept])
    return _answer(arrays, np.array([number for number, _ in kept]), given, warnings)


def _stacked(name: str, samples: list[dict[str, Array]]) -> dict[str, Array]:
    keys = list(samples[0])
    for sample in samples:
        if list(sample) != keys or any(sample[k].shape != samples[0][k].shape for k in keys):
            raise _wrong(
                name, f"{_forms(samples[0])}, then {_forms(sample)}", "samples of one form"
            )
    return {key: np.stack([sample[key] for sample in samples]) for key in keys}


def _answer(
    arrays: dict[str, Array], origins: Array, given: int, warnings: Iterable[str] = ()
) -> Message:
    fields = {"keys": list(arrays), "given": given, "warnings": list(warnings)}
    return Message("done", fields, [*arrays.values(), origins.astype(np.int64)])


def _forms(arrays: dict[str, Array]) -> str:
    return ", ".join(f"{key} {a.dtype.name} {list(a.shape)}" for key, a in arrays.items())


def _wrong(name: str, value: str, allowed: str) -> BadInput:
    return BadInput(
        f"the function {name} does not give samples for the model", value=value, allowed=allowed
    )


if __name__ == "__main__":
    serve({"run": run})
