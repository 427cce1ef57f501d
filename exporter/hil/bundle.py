"""What a failed test leaves: a folder from which it can be told, and done, again.

bundle.json    test, board, place, identity, seed, and the inferences in order
firmware.elf   the image that ran
model.tflite   the flatbuffer that it was built from
vectors.npz    inputs and outputs, as `3.input.0`: inference 3, input 0
device.log     what the device said; board.log: what the program that runs the board printed
failure.txt    how the test failed
replay.sh      runs the inferences again: `nanoexport replay FOLDER`
"""

from __future__ import annotations

import io
import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from exporter import __version__
from exporter.arrays import read_arrays
from exporter.board import Board, load_board, own_board_file
from exporter.errors import BadInput
from exporter.hil.recording import Array, Inference, Recording
from exporter.link.messages import ExpectedIdentity

BUNDLE = "bundle.json"
_MOST_NAME_CHARACTERS = 100
_REPLAY = """#!/bin/sh
# Runs the recorded inferences again. Exit code 1: the board differs from the host reference.
# Options are handed on: --port PORT for a real board that carries firmware.elf.
exec nanoexport replay "$(dirname "$0")" "$@"
"""


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, strict=True)


class _Expected(_Strict):
    model_sha256: str
    build_id: str
    dialect: str
    board: str


class _Inference(_Strict):
    number: Annotated[int, pydantic.Field(ge=0)]
    kind: Literal["invoke", "profile"]
    poison: Annotated[int, pydantic.Field(ge=0, le=255)] | None
    inputs: list[int]
    outputs: list[int]
    ticks: int | None


class _Document(_Strict):
    """What is read of bundle.json."""

    schema_version: Literal[1]
    test: str
    board: str
    place: str
    expected: _Expected
    inference_count: int
    inferences: list[_Inference]


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read. `left_out`: inferences before the first one that was kept."""

    folder: Path
    test: str
    place: str
    board: Board
    expected: ExpectedIdentity
    dialect: str
    inferences: tuple[Inference, ...]
    left_out: int

    @property
    def elf(self) -> Path:
        """The image that ran."""
        return self.folder / "firmware.elf"

    @property
    def model(self) -> bytes:
        """The flatbuffer."""
        return (self.folder / "model.tflite").read_bytes()


def write_bundle(
    folder: Path, test: str, recording: Recording, failure: str, repetition: str | None
) -> Path:
    """A new folder in `folder` for a failed `test`. Raises BadInput where it cannot be written."""
    firmware = recording.firmware
    document = {
        "schema_version": 1,
        "nanoexport": __version__,
        "test": test,
        "board": firmware.board.name,
        "place": recording.place.name,
        "port": recording.place.port,
        "seed": recording.seed,
        "expected": {
            "model_sha256": firmware.program.model_sha256,
            "build_id": firmware.build_id,
            "dialect": firmware.settings.dialect,
            "board": firmware.board.name,
        },
        "identity": asdict(recording.identity) if recording.identity else None,
        "lost": recording.lost,
        "repetition": repetition,
        "inference_count": recording.inference_count,
        "inferences": [_described(inference) for inference in recording.inferences],
    }
    texts = {
        BUNDLE: json.dumps(document, indent=2) + "\n",
        "device.log": "".join(f"{line}\n" for line in recording.log),
        "board.log": recording.board_log + "\n",
        "failure.txt": failure + "\n",
        "replay.sh": _REPLAY,
        **own_board_file(firmware.board),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".bundle-") as name:
            made = Path(name) / "bundle"
            made.mkdir()
            for file, text in texts.items():
                (made / file).write_text(text, encoding="utf-8")
            (made / "replay.sh").chmod(0o755)
            shutil.copy2(firmware.firmware.elf, made / "firmware.elf")
            (made / "model.tflite").write_bytes(firmware.compilation.model)
            (made / "vectors.npz").write_bytes(_vectors(recording.inferences))
            return _moved(made, folder, test)
    except OSError as error:
        raise BadInput(
            f"cannot write a bundle to '{folder}'",
            value=error.strerror or str(error),
            next_step="name a folder that can be written to with --nano-bundles",
        ) from error


def _described(inference: Inference) -> dict[str, Any]:
    return {
        "number": inference.number,
        "kind": inference.kind,
        "poison": inference.poison,
        "inputs": sorted(inference.inputs),
        "outputs": sorted(inference.outputs),
        "ticks": inference.ticks,
    }


def _vectors(inferences: Sequence[Inference]) -> bytes:
    arrays: dict[str, Any] = {}
    for inference in inferences:
        for kind, values in (("input", inference.inputs), ("output", inference.outputs)):
            for index, array in values.items():
                arrays[f"{inference.number}.{kind}.{index}"] = array
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def _moved(made: Path, folder: Path, test: str) -> Path:
    """Into place, under the test's name; a number is added where an earlier run has that."""
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", test).strip("-.")[-_MOST_NAME_CHARACTERS:]
    for number in range(1, 10_000):
        target = folder / (stem if number == 1 else f"{stem}.{number}")
        if target.exists():
            continue
        try:
            return made.rename(target)
        except OSError:
            if not target.exists():  # not another process that was faster
                raise
    raise FileExistsError(17, f"too many bundles of {test}")


def read_bundle(folder: Path) -> Bundle:
    """The bundle in `folder`. Raises BadInput where it is none, or is damaged."""
    try:
        document = _Document.model_validate_json((folder / BUNDLE).read_bytes())
        arrays = read_arrays(folder / "vectors.npz")
        inferences = tuple(_inference(entry, arrays) for entry in document.inferences)
        own_board = folder / f"{document.board}.yaml"
        board = load_board(str(own_board) if own_board.is_file() else document.board)
        missing = [n for n in ("firmware.elf", "model.tflite") if not (folder / n).is_file()]
        if missing:
            raise ValueError(f"{missing[0]} is not there")
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"'{folder}' is no bundle of a failed test",
            value=_reason(error),
            allowed=f"a folder with {BUNDLE}, firmware.elf, model.tflite and vectors.npz",
            next_step="tests write them to the folder of --nano-bundles, by default nano-bundles",
        ) from error
    return Bundle(
        folder=folder,
        test=document.test,
        place=document.place,
        board=board,
        expected=ExpectedIdentity(**document.expected.model_dump()),
        dialect=document.expected.dialect,
        inferences=inferences,
        left_out=max(0, document.inference_count - len(inferences)),
    )


def _inference(entry: _Inference, arrays: dict[str, Array]) -> Inference:
    number = entry.number
    return Inference(
        number=number,
        kind=entry.kind,
        poison=entry.poison,
        inputs={index: arrays[f"{number}.input.{index}"] for index in entry.inputs},
        outputs={index: arrays[f"{number}.output.{index}"] for index in entry.outputs},
        ticks=entry.ticks,
    )


def _reason(error: Exception) -> str:
    if isinstance(error, pydantic.ValidationError):
        first = error.errors()[0]
        return ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
    if isinstance(error, KeyError):
        return f"vectors.npz has no {error}"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
