"""Samples in folders of WAV files: how sound becomes numbers, and what is refused."""

from __future__ import annotations

import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.errors import BadInput
from exporter.samples import ModelInput, SampleOptions, load_samples

LENGTH, RATE = 800, 8000
SOUND = ModelInput("sound", (LENGTH,), "float32")
ALL = SampleOptions(samples=None)


def wav(path: Path, values: Any, bits: int = 16, rate: int = RATE, channels: int = 1) -> Path:
    """Integers [frames * channels] as PCM of `bits`, unsigned where these are 8."""
    numbers = np.asarray(values, np.int64) + (128 if bits == 8 else 0)
    raw = numbers.astype("<i8").view(np.uint8).reshape(-1, 8)[:, : bits // 8].tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(bits // 8)
        file.setframerate(rate)
        file.writeframes(raw)
    return path


def noise(count: int, bits: int = 16, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), count)


def extensible(path: Path, tag: int = 1) -> None:
    """Rewrites a plain PCM file with the format WAVEFORMATEXTENSIBLE."""
    content = path.read_bytes()
    plain, data = content[20:36], content[36:]
    bits = plain[14:16]
    guid = struct.pack("<H", tag) + bytes.fromhex("000000001000800000aa00389b71")
    form = b"\xfe\xff" + plain[2:] + struct.pack("<H", 22) + bits + struct.pack("<I", 4) + guid
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
@pytest.mark.parametrize("wide", [False, True], ids=["plain", "extensible"])
def test_pcm_becomes_numbers_up_to_1(tmp_path: Path, bits: int, wide: bool) -> None:
    values = noise(LENGTH, bits)
    path = wav(tmp_path / "a.wav", values, bits)
    if wide:
        extensible(path)
    found = load_samples(tmp_path, [SOUND], ALL).arrays[0]
    expected = (values / 2.0 ** (bits - 1)).astype(np.float32)
    assert found.dtype == np.float32 and np.array_equal(found[0], expected)


@pytest.mark.parametrize("shape", [(LENGTH,), (LENGTH, 1), (1, LENGTH), (1, LENGTH, 1)], ids=str)
def test_layouts_of_inputs(tmp_path: Path, shape: tuple[int, ...]) -> None:
    wav(tmp_path / "a.wav", noise(LENGTH))
    assert load_samples(tmp_path, [ModelInput("x", shape, "float32")]).arrays[0].shape == (
        1,
        *shape,
    )


def test_short_sounds_end_in_silence_and_long_ones_are_cut(tmp_path: Path) -> None:
    wav(tmp_path / "a.wav", noise(500))
    wav(tmp_path / "b.wav", noise(900))
    short, long = load_samples(tmp_path, [SOUND], ALL).arrays[0]
    assert np.array_equal(short[:500], long[:500]) and not short[500:].any() and long[500:].all()


def test_many_short_sounds_warn(tmp_path: Path) -> None:
    for k in range(12):
        wav(tmp_path / f"{k}.wav", noise(LENGTH - (k > 3), seed=k))
    (warning,) = load_samples(tmp_path, [SOUND]).warnings
    assert warning.startswith("8 of 12 WAV files are shorter than the input's 800 values (0.1 s")


def test_the_first_channel_is_taken_with_a_warning(tmp_path: Path) -> None:
    values = noise(2 * LENGTH).reshape(-1, 2)
    wav(tmp_path / "a.wav", values.ravel(), channels=2)
    samples = load_samples(tmp_path, [SOUND])
    assert np.allclose(samples.arrays[0][0], values[:, 0] / 32768)
    assert "1 of 1 WAV files have more than one channel: the first is used" in samples.warnings


def test_sub_folders_are_classes(tmp_path: Path) -> None:
    for name in ("yes", "no"):
        for k in range(6):
            wav(tmp_path / name / f"{k}.wav", noise(LENGTH, seed=k + 10 * len(name)))
    samples = load_samples(tmp_path, [SOUND], ALL)
    assert samples.class_names == ("no", "yes") and samples.warnings == ()
    assert samples.labels is not None and samples.labels.tolist() == [0] * 6 + [1] * 6
    assert "12 of 12 WAV files" in samples.how and "8000 Hz, the first 800 values" in samples.how


def test_few_values_are_rather_features(tmp_path: Path) -> None:
    wav(tmp_path / "a.wav", noise(LENGTH))
    warnings = load_samples(tmp_path, [ModelInput("x", (640,), "float32")]).warnings
    assert any("0.08 s of sound at 8000 Hz: if these are features" in w for w in warnings)


def refusal(folder: Path, options: SampleOptions = ALL, shape: tuple[int, ...] = (LENGTH,)) -> Any:
    with pytest.raises(BadInput) as caught:
        load_samples(folder, [ModelInput("sound", shape, "float32")], options)
    assert caught.value.value and caught.value.allowed and caught.value.next_step
    return caught.value


@pytest.mark.parametrize("shape", [(49, 10, 1), (49, 10), (1, 1)], ids=str)
def test_features_need_a_function(tmp_path: Path, shape: tuple[int, ...]) -> None:
    wav(tmp_path / "a.wav", noise(LENGTH))
    error = refusal(tmp_path, shape=shape)
    assert "features" in error.what and "--data module:function" in error.next_step


def test_files_of_different_rates(tmp_path: Path) -> None:
    wav(tmp_path / "a.wav", noise(LENGTH))
    wav(tmp_path / "b.wav", noise(LENGTH), rate=16000)
    error = refusal(tmp_path)
    assert "b.wav" in error.what and "16000 Hz" in error.value and "8000 Hz, as in" in error.allowed


def test_a_rate_that_was_asked_for(tmp_path: Path) -> None:
    wav(tmp_path / "a.wav", noise(LENGTH))
    error = refusal(tmp_path, SampleOptions(sample_rate=16000))
    assert error.value == "8000 Hz" and "16000 Hz, as asked for" in error.allowed


@pytest.mark.parametrize("kept", [0, 3, 11, 12, 20, 30, 43, 44, 100, 1643])
@pytest.mark.parametrize("wide", [False, True], ids=["plain", "extensible"])
def test_files_that_are_cut_off(tmp_path: Path, kept: int, wide: bool) -> None:
    path = wav(tmp_path / "a.wav", noise(LENGTH))
    if wide:
        extensible(path)
    path.write_bytes(path.read_bytes()[:kept])
    assert "a.wav" in refusal(tmp_path).what


@pytest.mark.parametrize(
    ("tag", "told"), [(2, "Microsoft ADPCM"), (3, "floating point"), (7, "mu-law"), (999, "999")]
)
@pytest.mark.parametrize("wide", [False, True], ids=["plain", "extensible"])
def test_formats_that_are_not_pcm(tmp_path: Path, tag: int, told: str, wide: bool) -> None:
    path = wav(tmp_path / "a.wav", noise(LENGTH))
    if wide:
        extensible(path, tag)
    else:
        path.write_bytes(path.read_bytes()[:20] + struct.pack("<H", tag) + path.read_bytes()[22:])
    error = refusal(tmp_path)
    assert told in error.value and "not PCM" in error.value and "ffmpeg" in error.next_step


def test_a_chunk_that_leads_out_of_the_file(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", noise(LENGTH))
    content = path.read_bytes()
    path.write_bytes(content[:4] + struct.pack("<I", 30) + content[8:])
    assert "a.wav" in refusal(tmp_path).what


@pytest.mark.parametrize("content", [b"no sound at all, but text", b"RIFF\0\0\0\0AVI fmt "])
def test_files_that_are_no_wav(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    assert "cannot read the WAV file" in refusal(tmp_path).what


def test_a_recording_of_nothing(tmp_path: Path) -> None:
    wav(tmp_path / "a.wav", [])
    assert "0 values" in refusal(tmp_path).value
