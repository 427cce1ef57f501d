"""HDF5 files: Keras's format before `.keras`, read by the Keras that wrote them.

The file says which. Keras 3 reads many files of Keras 2, and some of them differently; tf_keras is
Keras 2.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from exporter.convert.sources.base import Loaded, Source
from exporter.convert.sources.keras import cannot_load, from_keras, load_with_keras_3
from exporter.errors import BadInput, MissingTool

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
INSTALL_TF_KERAS = "pip install 'tf_keras==2.19.0'"


class H5Source(Source):
    """A `.h5` or `.hdf5` file, as Keras 2's `model.save` wrote it."""

    kind = "h5"
    form = "a Keras 2 model (.h5)"

    def matches(self, path: Path) -> bool:
        return path.suffix in (".h5", ".hdf5") and path.is_file()

    def load(self, path: Path) -> Loaded:
        version = _keras_version(path)
        load = load_with_keras_3 if version.startswith("3.") else _load_with_keras_2
        try:
            return from_keras(load(path), path)
        except (ValueError, TypeError, KeyError, OSError, AttributeError) as error:
            raise cannot_load(path, error) from None


def _keras_version(path: Path) -> str:
    """The Keras that wrote the file. Refuses what is no HDF5 file, and files of weights alone."""
    with path.open("rb") as file:
        start = file.read(len(HDF5_SIGNATURE))
    if start != HDF5_SIGNATURE:
        raise BadInput(
            f"'{path}' is not an HDF5 file",
            value=f"it starts with {start!r}",
            allowed="a Keras 2 model saved as .h5",
            next_step="copy the file again, or save the model as .keras",
        )
    h5py = importlib.import_module("h5py")
    try:
        with h5py.File(path, "r") as file:
            has_model = "model_config" in file.attrs
            version = file.attrs.get("keras_version", "2")
    except OSError as error:
        raise cannot_load(path, error) from None
    if not has_model:
        raise BadInput(
            f"'{path}' holds weights without a model",
            value="no attribute 'model_config'",
            allowed="a whole model",
            next_step="build the model, load these weights and save it: model.save('m.keras')",
        )
    return version.decode() if isinstance(version, bytes) else str(version)


def _load_with_keras_2(path: Path) -> Any:
    """Raises MissingTool without tf_keras; whatever that raises, raises."""
    if importlib.util.find_spec("tf_keras") is None:
        raise MissingTool(
            f"'{path}' was written by Keras 2, and tf_keras, which reads it, is not installed",
            allowed="tf_keras 2.19 beside TensorFlow 2.19 (in the extra `convert`)",
            next_step=INSTALL_TF_KERAS,
        )
    tf_keras = importlib.import_module("tf_keras")
    return tf_keras.models.load_model(str(path), compile=False)
