"""Samples in a folder of images, resized and scaled for the model.

Pixels are taken as they are stored, without regard to an EXIF orientation, as TensorFlow's and
PyTorch's loaders of folders do; transparency is dropped.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from exporter.arrays import Array
from exporter.errors import BadInput
from exporter.samples.base import Kind, ModelInput, Opened, Progress, Taken, counted, only_input
from exporter.samples.folder import has_files, list_files
from exporter.samples.options import RANGES, Preprocessing, SampleOptions

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")

# At the level of debugging Pillow tells every chunk of every file.
logging.getLogger("PIL").setLevel(logging.INFO)

_MODES = {1: "L", 3: "RGB"}
# More than 8 bits a pixel: converting those would clip, not scale.
_DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")


@dataclass(frozen=True)
class Layout:
    """How an input has an image: its size, channels (1 gray, 3 colour), and where those are."""

    height: int
    width: int
    channels: int
    channels_first: bool = False


def image_layout(shape: Sequence[int]) -> Layout | None:
    """The layout of an input [H, W], [H, W, C] or [C, H, W] with C of 1 or 3; None for others."""
    if len(shape) == 2:
        return Layout(shape[0], shape[1], 1)
    if len(shape) != 3:
        return None
    if shape[2] in _MODES:
        return Layout(shape[0], shape[1], shape[2])
    return Layout(shape[1], shape[2], shape[0], True) if shape[0] in _MODES else None


class ImageFolder(Kind):
    """Image files, in sub-folders where they have classes."""

    form = "a folder of images (.png, .jpg, .bmp, ...), with a sub-folder for each class or without"

    def matches(self, data: str) -> bool:
        return Path(data).is_dir() and has_files(Path(data), SUFFIXES)

    def check(self, data: str) -> None:
        list_files(Path(data), SUFFIXES, "images")

    def open(
        self, data: str, inputs: Sequence[ModelInput], options: SampleOptions, told: Progress
    ) -> Opened:
        model_input = only_input(data, "a folder of images", inputs)
        layout = image_layout(model_input.shape)
        if layout is None:
            raise BadInput(
                f"the input '{model_input.name}' takes no image",
                value=f"float32 {model_input.batched}",
                allowed="[N, H, W], [N, H, W, C] or [N, C, H, W] with 1 (gray) or 3 (colour) "
                "channels",
                next_step="make the inputs from the images in Python: --data module:function",
            )
        files = list_files(Path(data), SUFFIXES, "images")
        preparation = _preparation(model_input, options)

        def read(indices: Array) -> Taken:
            paths = [files.paths[i] for i in indices]
            pixels = np.stack(
                [_read_image(p, layout, options) for p in counted(paths, "images", told)]
            )
            return _taken(pixels, layout, preparation, options, model_input.shape)

        return Opened(
            "images", len(files.paths), read, files.labels, files.class_names, files.warnings
        )


def _preparation(model_input: ModelInput, options: SampleOptions) -> tuple[Preprocessing, bool]:
    """The preprocessing, and whether it is only assumed."""
    if options.preprocessing:
        return options.preprocessing, False
    trained = options.trained_range or model_input.trained_range
    for name, ends in RANGES.items():
        if trained and np.allclose(trained, ends):
            return Preprocessing.to_range(name), False
    return Preprocessing.to_range("0..1"), True


def _taken(
    pixels: Array,
    layout: Layout,
    preparation: tuple[Preprocessing, bool],
    options: SampleOptions,
    shape: tuple[int, ...],
) -> Taken:
    """Pixels uint8 [N, H, W, C] as the model takes them."""
    preprocessing, assumed = preparation
    if preprocessing.order == "bgr":
        pixels = pixels[..., ::-1]
    values = preprocessing.apply(pixels)
    if layout.channels_first:
        values = np.ascontiguousarray(np.moveaxis(values, -1, 1))
    warning = (
        "no preprocessing is given: pixels from 0 to 255 are scaled to 0..1, which is right only "
        "if the model was trained so"
    )
    return Taken(
        (values.reshape(len(values), *shape),),
        how=f"as {'gray' if layout.channels == 1 else 'RGB'} of {layout.height} x {layout.width} "
        f"({options.resize}, stretched where the shape differs), {preprocessing.stated}",
        warnings=(warning,) if assumed else (),
        trained_range=preprocessing.pixel_range,
    )


def _read_image(path: Path, layout: Layout, options: SampleOptions) -> Array:
    """uint8 [H, W, C] of the layout's size. Raises BadInput."""
    try:
        with warnings.catch_warnings():
            # A picture of more than 89 million pixels is a mistake, not a sample.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
            with Image.open(path) as image:
                return _pixels(path, image, layout, options)
    except BadInput:
        raise
    except Exception as error:  # a decoder of damaged bytes raises whatever comes to its mind
        raise BadInput(
            f"cannot read the image '{path}'",
            value=str(error).replace(str(path), path.name) or type(error).__name__,
            allowed="an image that is whole",
            next_step="repair it, or take it out of the folder",
        ) from None


def _pixels(path: Path, image: Image.Image, layout: Layout, options: SampleOptions) -> Array:
    if image.mode in _DEEP_MODES:
        raise BadInput(
            f"the image '{path}' has more than 8 bits a pixel",
            value=f"mode {image.mode}",
            allowed="8 bits for each channel",
            next_step="scale it as in training, in Python: --data module:function",
        )
    method: Any = getattr(Image.Resampling, options.resize.upper())
    converted = image.convert(_MODES[layout.channels])
    resized = converted.resize((layout.width, layout.height), method)
    return np.asarray(resized, np.uint8).reshape(layout.height, layout.width, layout.channels)
