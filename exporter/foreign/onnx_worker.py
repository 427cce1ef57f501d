"""The process in which onnx2tf runs: `python -m exporter.foreign.onnx_worker`.

Requests (see exporter/worker.py):

    convert   fields: path of an ONNX model  -> arrays: [float flatbuffer as uint8]

onnx2tf writes where it is, overwrites its input, ends the process when in doubt, and downloads a
set of images for models that see some, unless it finds them. So it works on a copy, in a folder of
its own, where noise stands in for the images: they calibrate what is thrown away here.
"""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from exporter.errors import BadInput
from exporter.foreign.processes import complaint, listened
from exporter.process import end_with_parent, without_input
from exporter.worker import Array, Message, Progress, serve

IMAGES = ("calibration_image_sample_data_20x128x128x3_float32.npy", (20, 128, 128, 3))


def convert(request: Message, progress: Progress) -> Message:
    """See the module's docstring. Raises BadInput."""
    progress("importing onnx2tf")
    onnx2tf: Any = importlib.import_module("onnx2tf")
    progress("converting by onnx2tf")
    back = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="nanoexport-") as folder:
        try:
            os.chdir(folder)
            flatbuffer = _converted(onnx2tf, Path(request.fields["path"]), Path(folder))
        finally:
            os.chdir(back)
    return Message("done", {}, [flatbuffer])


def _converted(onnx2tf: Any, path: Path, folder: Path) -> Array:
    shutil.copy(path, folder / "model.onnx")
    name, shape = IMAGES
    np.save(name, np.random.default_rng(0).random(shape, np.float32))
    with listened() as printed, without_input():
        try:
            onnx2tf.convert(
                input_onnx_file_path="model.onnx",
                output_folder_path="out",
                batch_size=1,
                non_verbose=True,
                not_use_onnxsim=True,
            )
        except (Exception, SystemExit) as error:
            raise _refused(complaint(error, printed.getvalue())) from None
    result = folder / "out" / "model_float32.tflite"
    if not result.is_file():
        raise _refused("it made no float flatbuffer")
    return np.fromfile(result, np.uint8)


def _refused(value: str) -> BadInput:
    return BadInput(
        "onnx2tf cannot turn this ONNX model into a flatbuffer",
        value=value,
        allowed="operators of ONNX that have a form in TensorFlow Lite, and shapes that fit",
        next_step="replace the operator that it names, or export the model again",
    )


if __name__ == "__main__":
    end_with_parent()
    serve({"convert": convert})
