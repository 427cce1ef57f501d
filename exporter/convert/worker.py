"""The process in which TensorFlow runs: `python -m exporter.convert.worker`.

Requests (see exporter/worker.py), in this order:

    load      fields: path                          -> fields: kind, inputs
    observe   arrays: samples, one per input;
              fields: histograms                    -> fields: tensors (names);
                                                       arrays: [float64 [T, 2] lowest and highest,
                                                                int64 [T, BINS] counts]
    quantize  fields: settings, overrides           -> arrays: [flatbuffer as uint8]
    predict   arrays: data, one per input           -> arrays: one per output, float32
    compare   arrays: integer flatbuffer as uint8,
              samples, one per input;
              fields: measured                      -> fields: tensors, weights, unmatched,
                                                       measured, float_bytes, constants;
                                                       arrays: float outputs, then integer ones
    evaluate  arrays: as for compare; no bytes are
              the float flatbuffer                  -> arrays: one per output, float32

`quantize` uses what was observed last, and may be asked again with other settings; `overrides` are
settings of single tensors by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from exporter.convert import flatbuffer as fb
from exporter.convert.bias_correction import corrected
from exporter.convert.compare import compare, outputs_of
from exporter.convert.int4 import with_int4_weights
from exporter.convert.interchange import float_flatbuffer, for_device, predictions
from exporter.convert.measures import as_fields
from exporter.convert.observe import Observations, observe
from exporter.convert.quantize import quantized
from exporter.convert.ranges import chosen_range
from exporter.convert.settings import ConvertSettings
from exporter.convert.sources import Loaded, find_source
from exporter.convert.sources.base import tensorflow
from exporter.worker import Array, Message, Progress, serve


class TrainedModelServer:
    """One loaded model, its float flatbuffer once it was asked for, and what was observed of it."""

    def __init__(self) -> None:
        self._model: Loaded | None = None
        self._flatbuffer: bytes | None = None
        self._samples: Sequence[Array] = ()
        self._observed: Observations | None = None

    def load(self, request: Message, progress: Progress) -> Message:
        path = Path(request.fields["path"])
        progress("importing TensorFlow")
        tensorflow()
        progress(f"loading {path.name}")
        source = find_source(path)
        self._model = source.load(path)
        self._flatbuffer, self._samples, self._observed = None, (), None
        inputs = [asdict(i) for i in self._model.inputs]
        return Message("done", {"kind": source.kind, "inputs": inputs})

    def observe(self, request: Message, progress: Progress) -> Message:
        self._flatbuffer = self._flatbuffer or float_flatbuffer(self._loaded(), progress)
        samples = for_device(self._loaded(), request.arrays)
        histograms = bool(request.fields["histograms"])
        observed = observe(self._flatbuffer, samples, progress, histograms=histograms)
        self._samples, self._observed = samples, observed  # both or, where it fails, neither
        ends = np.array([[o.lowest, o.highest] for o in observed.values()])
        counts = np.array([o.counts for o in observed.values()])
        return Message("done", {"tensors": self._observed_names()}, [ends, counts])

    def quantize(self, request: Message, progress: Progress) -> Message:
        assert self._flatbuffer is not None and self._observed is not None, "observe comes first"
        settings = ConvertSettings(**request.fields["settings"])
        progress("quantising")
        overrides = request.fields["overrides"]
        ranges = {
            i: chosen_range(o, replace(settings, **overrides.get(name, {})))
            for (i, o), name in zip(self._observed.items(), self._observed_names(), strict=True)
        }
        result = quantized(self._flatbuffer, ranges, settings)
        if settings.weights == "int4":
            result = with_int4_weights(result, self._flatbuffer)
        if settings.bias_correction:
            result = corrected(result, self._flatbuffer, self._samples, progress)
        return Message("done", {}, [np.frombuffer(result, np.uint8)])

    def predict(self, request: Message, progress: Progress) -> Message:
        return Message("done", {}, predictions(self._loaded(), request.arrays, progress))

    def compare(self, request: Message, progress: Progress) -> Message:
        assert self._flatbuffer is not None and self._observed is not None, "observe comes first"
        found = compare(
            self._flatbuffer,
            request.arrays[0].tobytes(),
            for_device(self._loaded(), request.arrays[1:]),
            {i: (o.lowest, o.highest) for i, o in self._observed.items()},
            request.fields["measured"],
            progress,
        )
        fields = {
            "tensors": [as_fields(m) for m in found.tensors],
            "weights": [as_fields(m) for m in found.weights],
            "unmatched": found.unmatched,
            "measured": found.measured,
            "float_bytes": found.float_bytes,
            "constants": found.constants,
        }
        return Message("done", fields, [*found.float_outputs, *found.outputs])

    def evaluate(self, request: Message, progress: Progress) -> Message:
        flatbuffer = request.arrays[0].tobytes() or self._flatbuffer
        assert flatbuffer is not None, "observe comes first"
        data = for_device(self._loaded(), request.arrays[1:])
        return Message("done", {}, outputs_of(flatbuffer, data, progress))

    def _observed_names(self) -> list[str]:
        assert self._flatbuffer is not None and self._observed is not None, "observe comes first"
        tensors = fb.tensors(fb.parse(self._flatbuffer))
        return [fb.name_of(tensors[i]) for i in self._observed]

    def _loaded(self) -> Loaded:
        assert self._model is not None, "load comes first"
        return self._model


def main() -> None:
    """Serves until the host closes the pipe."""
    server = TrainedModelServer()
    serve(
        {
            "load": server.load,
            "observe": server.observe,
            "quantize": server.quantize,
            "predict": server.predict,
            "compare": server.compare,
            "evaluate": server.evaluate,
        }
    )


if __name__ == "__main__":
    main()
