"""From a rendered project to an image and its sizes."""

from __future__ import annotations

from exporter.build.compile import Firmware, build
from exporter.build.size import (
    Footprint,
    ImageSize,
    check_fits,
    measure_footprint,
    measure_image,
)

__all__ = [
    "Firmware",
    "Footprint",
    "ImageSize",
    "build",
    "check_fits",
    "measure_footprint",
    "measure_image",
]
