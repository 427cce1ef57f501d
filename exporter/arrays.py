"""Arrays that users bring in `.npz` and `.npy` files, and files that are never half written."""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporter.errors import BadInput

Array = NDArray[Any]

# The key under which the array of an `.npy` file is found.
ONLY_KEY = "x"

_DAMAGED = (ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError)


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of an `.npz` by key, or the one of an `.npy` as `x`. Pickles are never loaded.

    Raises BadInput where the file is absent, of another format, or damaged.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {ONLY_KEY: loaded}
        with loaded:
            return {key: loaded[key] for key in loaded.files}
    except OSError as error:
        raise BadInput(
            f"cannot read the data file '{path}'",
            value=error.strerror or str(error),
            allowed="an .npz or .npy file",
            next_step="check the path",
        ) from None
    except _DAMAGED as error:
        raise BadInput(
            f"'{path}' is not a numpy file, or is damaged",
            value=str(error).splitlines()[0] if str(error) else type(error).__name__,
            allowed="an .npz or .npy file without pickled objects",
            next_step="save it again: numpy.savez('data.npz', x=array)",
        ) from None


def pick(path: Path, arrays: dict[str, Array], name: str, *, only: bool) -> Array:
    """The array of the model's input `name`; with `only` (input), also `x` or the single array.

    Raises BadInput that lists the keys there are.
    """
    for key in [name, *([ONLY_KEY] if only else [])]:
        if key in arrays:
            return arrays[key]
    if only and len(arrays) == 1:
        return next(iter(arrays.values()))
    raise BadInput(
        f"'{path}' has no array for the input '{name}'",
        value=f"keys: {', '.join(arrays) or '(none)'}",
        allowed=[name, ONLY_KEY] if only else [name],
        next_step=f"save it under that key: numpy.savez('data.npz', **{{'{name}': array}})",
    )


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that at every moment it is absent, or the old one, or the new one.

    Raises BadInput where the folder cannot be written to.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _unwritable(path, error) from None
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Raises BadInput unless a file can be written at `path`: asked before the work, not after."""
    if path.is_dir():
        raise BadInput(f"cannot write '{path}'", value="a folder", allowed="the path of a file")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise _unwritable(path, error) from None


def check_kept(output: Path, given: Iterable[str | Path | None]) -> None:
    """Raises BadInput where `output` is one of the files that the work is done from."""
    for source in given:
        if source is None or not output.exists() or not Path(source).exists():
            continue
        if output.samefile(source):
            raise BadInput(
                f"the output would replace '{source}', of which it is made",
                value=f"-o {output}",
                allowed="another path",
            )


def _unwritable(path: Path, error: OSError) -> BadInput:
    return BadInput(
        f"cannot write '{path}'",
        value=error.strerror,
        allowed="a file in a folder that exists and can be written to",
        next_step=f"make the folder: mkdir -p {path.parent}",
    )


def _umask() -> int:
    """The mask that a plain open() would apply; mkstemp's files are private otherwise."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
