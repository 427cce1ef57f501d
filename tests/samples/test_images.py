"""Samples in folders of images: how pixels become numbers, classes, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from exporter.errors import BadInput
from exporter.samples import ModelInput, Preprocessing, SampleOptions, check_data, load_samples

COLOUR = ModelInput("image", (4, 6, 3), "float32")
GRAY = ModelInput("image", (4, 6, 1), "float32")
BYTES = SampleOptions(preprocessing=Preprocessing.to_range("0..255"))


def picture(seed: int = 0, height: int = 4, width: int = 6) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def folder_of(folder: Path, count: int, suffix: str = ".png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        picture(k).save(folder / f"{k:03}{suffix}")
    return folder


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg", ".JPEG", ".ppm", ".tif", ".webp"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    picture().save(tmp_path / f"a{suffix}")
    expected = np.asarray(Image.open(tmp_path / f"a{suffix}").convert("RGB"), np.float32)
    assert np.array_equal(load_samples(tmp_path, [COLOUR], BYTES).arrays[0], expected[None])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK"])
@pytest.mark.parametrize("shape", [(4, 6, 3), (3, 4, 6), (4, 6, 1), (1, 4, 6), (4, 6)], ids=str)
def test_modes_of_files_and_layouts_of_inputs(
    tmp_path: Path, mode: str, shape: tuple[int, ...]
) -> None:
    picture().convert(mode).save(tmp_path / "a.tif")
    stored = Image.open(tmp_path / "a.tif").convert("RGB" if 3 in shape else "L")
    expected = np.asarray(stored, np.float32)
    found = load_samples(tmp_path, [ModelInput("image", shape, "float32")], BYTES).arrays[0][0]
    assert found.shape == shape
    found = np.moveaxis(found, 0, -1) if shape[0] == 3 else found
    assert np.array_equal(found.reshape(expected.shape), expected)


@pytest.mark.parametrize(
    ("preprocessing", "low", "high"),
    [
        (Preprocessing.to_range("0..1"), 0, 1),
        (Preprocessing.to_range("-1..1"), -1, 1),
        (Preprocessing.to_range("0..255"), 0, 255),
        (Preprocessing.by_numbers(scale=1 / 255, mean=[0.5], std=[0.25]), -2, 2),
        (Preprocessing.by_numbers(mean=[100, 110, 120]), (-100, -110, -120), (155, 145, 135)),
    ],
    ids=["0..1", "-1..1", "0..255", "scale, mean, std", "by channel"],
)
def test_black_and_white(tmp_path: Path, preprocessing: Preprocessing, low: Any, high: Any) -> None:
    Image.new("RGB", (6, 4)).save(tmp_path / "black.png")
    Image.new("RGB", (6, 4), "white").save(tmp_path / "white.png")
    options = SampleOptions(samples=None, preprocessing=preprocessing)
    black, white = load_samples(tmp_path, [COLOUR], options).arrays[0]
    assert np.allclose(black, low, atol=1e-6) and np.allclose(white, high, atol=1e-6)


def test_channels_as_bgr(tmp_path: Path) -> None:
    Image.new("RGB", (6, 4), (10, 20, 30)).save(tmp_path / "a.png")
    options = SampleOptions(preprocessing=Preprocessing.by_numbers(mean=[30, 0, 0], order="bgr"))
    assert load_samples(tmp_path, [COLOUR], options).arrays[0][0, 0, 0].tolist() == [0, 20, 10]


@pytest.mark.parametrize("method", ["bilinear", "nearest"])
def test_images_get_the_size_of_the_input(tmp_path: Path, method: Any) -> None:
    picture(height=31, width=17).save(tmp_path / "a.png")
    preprocessing = Preprocessing.to_range("0..255")
    samples = load_samples(tmp_path, [COLOUR], SampleOptions(None, 0, preprocessing, resize=method))
    resampling = {"bilinear": Image.Resampling.BILINEAR, "nearest": Image.Resampling.NEAREST}
    expected = picture(height=31, width=17).resize((6, 4), resampling[method])
    assert np.array_equal(samples.arrays[0][0], np.asarray(expected))
    assert f"RGB of 4 x 6 ({method}" in samples.how and "pixels to 0..255" in samples.how


def test_without_preprocessing_pixels_go_to_0_1_with_a_warning(tmp_path: Path) -> None:
    samples = load_samples(folder_of(tmp_path, 12), [COLOUR])
    assert samples.arrays[0].max() <= 1
    assert len(samples.warnings) == 1 and "no preprocessing is given" in samples.warnings[0]


def test_the_range_of_training_decides_where_nothing_is_given(tmp_path: Path) -> None:
    trained = ModelInput("image", (4, 6, 3), "float32", (0.0, 255.0))
    samples = load_samples(folder_of(tmp_path, 12), [trained])
    assert samples.arrays[0].max() > 200 and samples.warnings == ()


def test_sub_folders_are_classes(tmp_path: Path) -> None:
    for name, count in (("zebra", 5), ("ant", 4), ("cat", 3)):
        folder_of(tmp_path / name, count)
    folder_of(tmp_path / "ant" / "more", 2)
    samples = load_samples(tmp_path, [COLOUR], SampleOptions(samples=None))
    assert samples.class_names == ("ant", "cat", "zebra")
    assert samples.labels is not None
    assert samples.labels.tolist() == [0] * 6 + [1] * 3 + [2] * 5


def test_an_empty_class_keeps_its_number(tmp_path: Path) -> None:
    folder_of(tmp_path / "b", 12)
    (tmp_path / "a").mkdir()
    samples = load_samples(tmp_path, [COLOUR])
    assert samples.class_names == ("a", "b") and samples.labels is not None
    assert set(samples.labels.tolist()) == {1}
    assert "no images in the class folders a" in samples.warnings


def test_the_order_of_the_directory_does_not_matter(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "forth", 30)
    (tmp_path / "back").mkdir()
    for path in sorted(source.iterdir(), reverse=True):
        shutil.copy(path, tmp_path / "back")
    options = SampleOptions(samples=12)
    forth, back = (load_samples(tmp_path / n, [COLOUR], options) for n in ("forth", "back"))
    assert np.array_equal(forth.arrays[0], back.arrays[0])
    assert (len(forth), forth.given) == (12, 30) and "12 of 30 images" in forth.how


def test_only_chosen_images_are_read(tmp_path: Path) -> None:
    folder_of(tmp_path, 30)
    options = SampleOptions(samples=12)
    taken = load_samples(tmp_path, [COLOUR], options).taken.tolist()
    for k in set(range(30)) - set(taken):
        (tmp_path / f"{k:03}.png").write_bytes(b"broken")
    assert load_samples(tmp_path, [COLOUR], options).taken.tolist() == taken


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    load_samples(folder_of(tmp_path, 45), [COLOUR], progress=told.append)
    assert told[0] == "reading images: 0 of 45" and 15 < len(told) < 30


def test_files_of_other_kinds_and_hidden_ones_are_left_alone(tmp_path: Path) -> None:
    folder_of(tmp_path, 12)
    for name in ("Thumbs.db", "labels.txt", "._000.png"):
        (tmp_path / name).write_bytes(b"no image")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "a.png").write_bytes(b"no image")
    assert load_samples(tmp_path, [COLOUR]).given == 12


def refusal(folder: Path, *inputs: ModelInput, options: SampleOptions = BYTES) -> BadInput:
    with pytest.raises(BadInput) as caught:
        load_samples(folder, inputs or [COLOUR], options)
    assert caught.value.allowed and caught.value.value
    return caught.value


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".gif", ".tif", ".webp"])
@pytest.mark.parametrize("part", [0, 10, 0.3, 0.6])
def test_damaged_images(tmp_path: Path, suffix: str, part: float) -> None:
    picture(height=40, width=40).save(tmp_path / f"a{suffix}")
    whole = (tmp_path / f"a{suffix}").read_bytes()
    kept = int(part * len(whole)) if part < 1 else int(part)
    (tmp_path / f"a{suffix}").write_bytes(whole[:kept])
    error = refusal(tmp_path)
    assert f"a{suffix}" in error.what and "cannot read the image" in error.what
    assert str(tmp_path) not in str(error.value)


def test_an_image_that_is_a_folder_or_text(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    assert "cannot read the image" in refusal(tmp_path).what


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_deep_pixels_would_be_clipped(tmp_path: Path, dtype: Any) -> None:
    Image.fromarray(np.full((4, 6), 1000, dtype)).save(tmp_path / "a.tif")
    assert "more than 8 bits" in refusal(tmp_path).what


def test_huge_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(tmp_path, 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    assert "exceeds limit" in str(refusal(tmp_path).value)


@pytest.mark.parametrize("shape", [(24,), (4, 6, 2), (4, 6, 3, 1)], ids=str)
def test_inputs_that_take_no_image(tmp_path: Path, shape: tuple[int, ...]) -> None:
    error = refusal(folder_of(tmp_path, 1), ModelInput("flat", shape, "float32"))
    assert "takes no image" in error.what and "module:function" in str(error.next_step)


def test_models_of_two_inputs(tmp_path: Path) -> None:
    error = refusal(folder_of(tmp_path, 1), COLOUR, GRAY)
    assert "the model has 2" in error.what


def test_images_both_beside_and_in_classes(tmp_path: Path) -> None:
    folder_of(tmp_path / "a", 2)
    folder_of(tmp_path, 2)
    assert "both beside and in sub-folders" in refusal(tmp_path).what


def test_numbers_for_another_count_of_channels(tmp_path: Path) -> None:
    preprocessing = Preprocessing.by_numbers(std=[1, 2, 3])
    folder_of(tmp_path, 1)
    error = refusal(tmp_path, GRAY, options=SampleOptions(preprocessing=preprocessing))
    assert "std of the preprocessing" in error.what and "1 channels" in str(error.allowed)


@pytest.mark.parametrize("name", ["empty", "other", "missing", "sub"])
def test_folders_without_images(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.pdf").touch()
    (tmp_path / "sub" / "empty").mkdir(parents=True)
    with pytest.raises(BadInput, match=name) as caught:
        check_data(tmp_path / name)
    assert "a folder of images" in str(caught.value.allowed)


def test_images_and_sounds_in_one_folder(tmp_path: Path) -> None:
    folder_of(tmp_path, 1)
    (tmp_path / "a.wav").touch()
    with pytest.raises(BadInput, match="images and sounds"):
        check_data(tmp_path)
