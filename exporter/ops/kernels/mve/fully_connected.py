"""FULLY_CONNECTED with Helium: the tiles of CONV_2D, a vector of the batch being a pixel."""

from __future__ import annotations

from dataclasses import replace

from exporter.ops.candidate import Candidate, Param
from exporter.ops.kernels.linear import dense
from exporter.ops.kernels.mve import tiles
from exporter.ops.layers import DenseLayer


def candidates(layer: DenseLayer) -> tuple[Candidate, ...]:
    """Nothing in a dialect that rounds once: the 64-bit products are left to other kernels."""
    channels, depth = layer.weights.shape
    form = tiles.form_of(layer.requantization)
    places = tiles.output_form(channels, layer.requantization)
    if form is None or places is None:
        return ()
    params: dict[str, Param] = {
        "batch": layer.batch,
        "depth": depth,
        "channels": channels,
        "form": places,
    }
    four, one = tiles.tile_instructions(1, depth, channels, form)
    candidate = replace(
        dense(layer, "mve/fully_connected"),
        params=params,
        constants=(tiles.stream(layer.weights[:, None], layer.sums, layer.requantization),),
        micro_kernels=tiles.tiles_for(layer.batch, 1, depth, form),
        instructions=30 + layer.batch // 4 * (four + 20) + layer.batch % 4 * (one + 20),
        choice=f"{'4 vectors by 2' if layer.batch > 3 else '1 vector by 8'} channels, {form.text}",
    )
    return (candidate,)
