"""SavedModel folders, through the graph loader of TensorFlow 1.

`tf.saved_model.load` rebuilds every Python object of the training program and fails where one is
unknown today (the optimizer's slots of an old Keras, for one). The graph and its variables are all
that inference needs, and the older loader reads nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exporter.convert.sources.base import Loaded, Source, first_line, model_input, tensorflow
from exporter.errors import BadInput

TAG = "serve"
PREFERRED_SIGNATURE = "serving_default"
_INTERNAL_PREFIX = "__saved_model"


class SavedModelSource(Source):
    """A folder with `saved_model.pb`, as `tf.saved_model.save` and `model.export` write it."""

    kind = "saved_model"
    form = "a SavedModel folder"

    def matches(self, path: Path) -> bool:
        return path.is_dir()

    def load(self, path: Path) -> Loaded:
        if not (path / "saved_model.pb").is_file():
            raise BadInput(
                f"the folder '{path}' is not a SavedModel",
                value="it has no file saved_model.pb",
                allowed="a folder written by tf.saved_model.save or model.export",
                next_step="check the path",
            )
        tf = tensorflow()
        try:
            graph_def, signature = _frozen(tf, path)
        except (OSError, RuntimeError, ValueError, KeyError, tf.errors.OpError) as error:
            raise BadInput(
                f"TensorFlow cannot load the SavedModel '{path}'",
                value=first_line(error),
                allowed=f"a whole SavedModel with the tag '{TAG}'",
                next_step="copy the whole folder, with variables/, or export the model again",
            ) from None
        return _loaded(tf, graph_def, signature)


def _frozen(tf: Any, path: Path) -> tuple[Any, Any]:
    """The graph with its variables turned into constants, and the signature it serves."""
    v1 = tf.compat.v1
    with v1.Session(graph=tf.Graph()) as session:
        meta_graph = v1.saved_model.load(session, [TAG], str(path))
        signature = _signature(path, dict(meta_graph.signature_def))
        outputs = [info.name.split(":")[0] for info in signature.outputs.values()]
        definition = session.graph.as_graph_def()
        return v1.graph_util.convert_variables_to_constants(session, definition, outputs), signature


def _signature(path: Path, signatures: dict[str, Any]) -> Any:
    usable = {k: v for k, v in signatures.items() if not k.startswith(_INTERNAL_PREFIX)}
    if PREFERRED_SIGNATURE in usable:
        return usable[PREFERRED_SIGNATURE]
    if len(usable) == 1:
        return next(iter(usable.values()))
    raise BadInput(
        f"the SavedModel '{path}' does not say which function to convert",
        value=f"signatures: {', '.join(sorted(usable)) or '(none)'}",
        allowed=f"a signature '{PREFERRED_SIGNATURE}', or one signature",
        next_step="export it with a signature: tf.saved_model.save(model, folder, signatures=f)",
    )


def _loaded(tf: Any, graph_def: Any, signature: Any) -> Loaded:
    names = sorted(signature.inputs)
    inputs = tuple(_input(tf, name, signature.inputs[name]) for name in names)
    feeds = [signature.inputs[name].name for name in names]
    fetches = [signature.outputs[name].name for name in sorted(signature.outputs)]

    def call(*tensors: Any) -> list[Any]:
        fed = dict(zip(feeds, tensors, strict=True))
        return list(tf.import_graph_def(graph_def, fed, fetches, name=""))

    return Loaded(inputs, call)


def _input(tf: Any, name: str, info: Any) -> Any:
    if info.tensor_shape.unknown_rank:
        raise BadInput(
            f"the input '{name}' has a dynamic shape",
            value="no shape at all",
            allowed="fixed sizes, except for the batch",
            next_step="export the model with a fixed input size",
        )
    shape = [None if d.size < 0 else int(d.size) for d in info.tensor_shape.dim]
    return model_input(name, shape, tf.dtypes.as_dtype(info.dtype).name)
