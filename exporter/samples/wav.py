"""Samples in a folder of WAV files: sound as numbers from -1 to 1, of the input's length."""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exporter.arrays import Array
from exporter.errors import BadInput
from exporter.samples.base import Kind, ModelInput, Opened, Progress, Taken, counted, only_input
from exporter.samples.folder import has_files, list_files
from exporter.samples.options import SampleOptions

SUFFIXES = (".wav", ".wave")
SHORTEST_S = 0.1

_PCM, _EXTENSIBLE = 1, 0xFFFE
_FORMATS = {1: "PCM", 2: "Microsoft ADPCM", 3: "floating point", 6: "A-law", 7: "mu-law",
            0x11: "IMA ADPCM", 0x31: "GSM 6.10", 0x55: "MP3"}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Sound:
    """The first channel of a recording: float32 [frames] in [-1, 1), cut to what is needed."""

    values: Array
    rate_hz: int
    channels: int
    frames: int


class WavFolder(Kind):
    """WAV files, in sub-folders where they have classes."""

    form = "a folder of WAV files (8 to 32 bit PCM), with a sub-folder for each class or without"

    def matches(self, data: str) -> bool:
        return Path(data).is_dir() and has_files(Path(data), SUFFIXES)

    def check(self, data: str) -> None:
        list_files(Path(data), SUFFIXES, "WAV files")

    def open(
        self, data: str, inputs: Sequence[ModelInput], options: SampleOptions, told: Progress
    ) -> Opened:
        model_input = only_input(data, "a folder of WAV files", inputs)
        length = _length(model_input)
        files = list_files(Path(data), SUFFIXES, "WAV files")

        def read(indices: Array) -> Taken:
            paths = [files.paths[i] for i in indices]
            sounds = [read_wav(p, length) for p in counted(paths, "WAV files", told)]
            return _taken(paths, sounds, model_input, options)

        return Opened(
            "WAV files", len(files.paths), read, files.labels, files.class_names, files.warnings
        )


def _length(model_input: ModelInput) -> int:
    """How many values of sound the input takes. Raises BadInput where it takes features."""
    long = [size for size in model_input.shape if size > 1]
    if len(long) == 1:
        return long[0]
    raise BadInput(
        f"the input '{model_input.name}' takes no sound as it is, but features of it",
        value=f"float32 {model_input.batched}",
        allowed="[N, L] or [N, L, 1] for L values of sound",
        next_step="a spectrogram or MFCC must be computed as in training: write a Python function "
        "that yields it and give --data module:function",
    )


def _taken(
    paths: Sequence[Path],
    sounds: Sequence[Sound],
    model_input: ModelInput,
    options: SampleOptions,
) -> Taken:
    rate = _shared_rate(paths, sounds, options.sample_rate)
    length = _length(model_input)
    array = np.zeros((len(sounds), length), np.float32)
    for row, sound in zip(array, sounds, strict=True):
        row[: len(sound.values)] = sound.values
    return Taken(
        (array.reshape(len(sounds), *model_input.shape),),
        how=f"{rate} Hz, the first {length} values of each ({length / rate:.3g} s), as -1..1",
        warnings=tuple(_warnings(sounds, length, rate)),
        trained_range=(-1.0, 1.0),
    )


def _shared_rate(paths: Sequence[Path], sounds: Sequence[Sound], wanted: int | None) -> int:
    """The sample rate of all files. Raises BadInput where one differs."""
    rate = wanted or sounds[0].rate_hz
    for path, sound in zip(paths, sounds, strict=True):
        if sound.rate_hz != rate:
            raise BadInput(
                f"the sample rate of '{path}' differs",
                value=f"{sound.rate_hz} Hz",
                allowed=f"{rate} Hz, as {'asked for' if wanted else f'in {paths[0]}'}",
                next_step=f"resample it: ffmpeg -i {path.name} -ar {rate} -c:a pcm_s16le OUT.wav",
            )
    return rate


def _warnings(sounds: Sequence[Sound], length: int, rate: int) -> list[str]:
    short = sum(sound.frames < length for sound in sounds)
    several = sum(sound.channels > 1 for sound in sounds)
    warnings = []
    if length < SHORTEST_S * rate:
        warnings.append(
            f"the input takes {length} values, {length / rate:.3g} s of sound at {rate} Hz: if "
            "these are features such as a spectrogram, compute them in Python (module:function)"
        )
    if 2 * short > len(sounds):
        warnings.append(
            f"{short} of {len(sounds)} WAV files are shorter than the input's {length} values "
            f"({length / rate:.3g} s at {rate} Hz) and end in silence"
        )
    if several:
        warnings.append(
            f"{several} of {len(sounds)} WAV files have more than one channel: the first is used"
        )
    return warnings


def read_wav(path: Path, most: int) -> Sound:
    """The first `most` values of a file. Raises BadInput for what is no whole PCM WAV file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _broken(path, error.strerror or str(error)) from None
    try:
        with wave.open(io.BytesIO(_as_plain_pcm(content))) as file:
            return _first_channel(path, file, most)
    # RuntimeError: a chunk whose size leads out of the one around it (wave.py in Python 3.11)
    except (wave.Error, EOFError, struct.error, RuntimeError) as error:
        raise _broken(path, _reason(content, error)) from None


def _first_channel(path: Path, file: wave.Wave_read, most: int) -> Sound:
    frames, channels, width = file.getnframes(), file.getnchannels(), file.getsampwidth()
    raw = file.readframes(frames)
    if len(raw) < frames * channels * width:
        raise _broken(
            path, f"cut off: {len(raw)} of {frames * channels * width} bytes of sound are there"
        )
    if not frames or not 1 <= width <= 4 or file.getframerate() <= 0:
        raise _broken(path, f"{frames} values of {8 * width} bits at {file.getframerate()} Hz")
    values = _as_numbers(raw, width).reshape(-1, channels)[:most, 0]
    return Sound(np.ascontiguousarray(values), file.getframerate(), channels, frames)


def _as_numbers(raw: bytes, width: int) -> Array:
    """Little-endian PCM of `width` bytes, unsigned where that is 1, as float32 in [-1, 1)."""
    if width == 1:
        return (np.frombuffer(raw, np.uint8).astype(np.float32) - 128) / np.float32(128)
    if width == 3:  # the upper three bytes of an int32
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        raw, width = wide.tobytes(), 4
    integers = np.frombuffer(raw, f"<i{width}")
    return (integers / np.float64(2 ** (8 * width - 1))).astype(np.float32)


def _format_offset(content: bytes) -> int | None:
    """Where the format's tag is, 8 bytes past the begin of the chunk `fmt `."""
    start = content.find(b"fmt ")
    return start + 8 if start >= 0 and len(content) >= start + 8 + 26 else None


def _as_plain_pcm(content: bytes) -> bytes:
    """The file with the tag of plain PCM where it is PCM in the extensible form.

    That form is usual for 24 and 32 bits, and Python's `wave` reads it from 3.12 on. Its real tag
    begins the GUID at offset 24 of the chunk: Microsoft, WAVEFORMATEXTENSIBLE.
    """
    offset = _format_offset(content)
    if offset is None or struct.unpack_from("<H", content, offset)[0] != _EXTENSIBLE:
        return content
    tag = content[offset + 24 : offset + 26]
    return content[:offset] + tag + content[offset + 2 :]


def _reason(content: bytes, error: Exception) -> str:
    """What is wrong with a file that `wave` refuses."""
    offset = _format_offset(_as_plain_pcm(content))
    if offset is not None and content[:4] == b"RIFF":
        tag = struct.unpack_from("<H", _as_plain_pcm(content), offset)[0]
        if tag != _PCM:
            return f"{_FORMATS.get(tag, f'format {tag}')}, not PCM"
    return str(error) or "cut off"


def _broken(path: Path, value: str) -> BadInput:
    return BadInput(
        f"cannot read the WAV file '{path}'",
        value=value,
        allowed="a whole WAV file of 8, 16, 24 or 32 bit PCM",
        next_step=f"convert it: ffmpeg -i {path.name} -c:a pcm_s16le OUT.wav",
    )
