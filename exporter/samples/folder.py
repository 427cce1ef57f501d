"""Folders of files, one sample each; sub-folders are classes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exporter.arrays import Array
from exporter.errors import BadInput


@dataclass(frozen=True, eq=False)
class Files:
    """The files of a folder in the order of their paths, whatever the file system's order.

    `labels` int64 [N] number `class_names`, which are the sub-folders in alphabetical order.
    """

    paths: tuple[Path, ...]
    labels: Array | None = None
    class_names: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()


def has_files(folder: Path, suffixes: Iterable[str]) -> bool:
    """Whether there is a file of these suffixes in the folder or below."""
    wanted = tuple(suffixes)
    try:
        here = [p.name for p in folder.iterdir()]
        return any(_is_wanted(name, wanted) for name in here) or any(
            _below(sub, wanted) for sub in _sub_folders(folder)
        )
    except OSError:  # told where the folder is listed
        return False


def list_files(folder: Path, suffixes: Iterable[str], things: str) -> Files:
    """All files of these suffixes. Raises BadInput where there are none, or classes are unclear."""
    wanted = tuple(suffixes)
    try:
        here = sorted(p for p in folder.iterdir() if _is_wanted(p.name, wanted) and p.is_file())
        classes = {sub.name: _below(sub, wanted) for sub in _sub_folders(folder)}
    except OSError as error:
        raise BadInput(
            f"cannot read the folder '{folder}'", value=error.strerror, next_step="check the path"
        ) from None
    filled = {name: files for name, files in classes.items() if files}
    if here and filled:
        raise BadInput(
            f"'{folder}' has {things} both beside and in sub-folders",
            value=f"{len(here)} beside the folders {', '.join(filled)}",
            allowed=f"{things} in the folder, or in one sub-folder for each class",
        )
    if not here and not filled:
        raise BadInput(
            f"the folder '{folder}' has no {things}",
            value=_contents(folder),
            allowed=f"files that end in {', '.join(wanted)}, in the folder or in one sub-folder "
            "for each class",
        )
    return Files(tuple(here)) if here else _classed(classes, things)


def _classed(classes: dict[str, list[Path]], things: str) -> Files:
    names = tuple(sorted(classes))
    empty = [name for name in names if not classes[name]]
    return Files(
        tuple(path for name in names for path in classes[name]),
        np.repeat(np.arange(len(names)), [len(classes[name]) for name in names]),
        names,
        (f"no {things} in the class folders {', '.join(empty)}",) if empty else (),
    )


def _sub_folders(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]


def _below(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The files in a folder and what is below it, in the order of their paths."""
    return sorted(
        Path(where, name)
        for where, _, names in os.walk(folder)
        for name in names
        if _is_wanted(name, suffixes)
    )


def _is_wanted(name: str, suffixes: tuple[str, ...]) -> bool:
    return name.lower().endswith(suffixes) and not name.startswith(".")


def _contents(folder: Path) -> str:
    names = sorted(p.name for p in folder.iterdir())
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") or (
        "an empty folder"
    )
