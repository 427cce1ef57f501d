"""FULLY_CONNECTED with the DSP extension: int8 weights at int8 size, inputs as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from exporter.ops.arithmetic import Rounding
from exporter.ops.candidate import Candidate, Constant, MicroKernel, Param
from exporter.ops.kernels.dsp.requantize import doubled_fits
from exporter.ops.kernels.linear import dense, folded_bias
from exporter.ops.layers import DenseLayer
from exporter.ops.linear import Requantization

Int8Array = npt.NDArray[np.int8]
Int32Array = npt.NDArray[np.int32]

LANES_BLOCK = 8
"""Channels that `dense_8` computes at once."""

WORDS_BLOCK = 4
"""Channels that `dense_words` computes at most at once."""

LARGEST_LANE_SUM = (2**31 - 1) // 257
"""256 * A + B stays inside int32 for sums A and B up to this."""


def candidates(layer: DenseLayer) -> tuple[Candidate, ...]:
    """Four channels to two words of int16 lanes where the weights allow it; plain int8 words."""
    obstacle = _lanes_obstacle(layer)
    plain = _candidate(layer, 0, f"int8 words, {obstacle}" if obstacle else "int8 words")
    whole = layer.weights.shape[0] // LANES_BLOCK
    if obstacle or not whole:
        return (plain,)
    return (_candidate(layer, whole, "four channels to two words of int16 lanes"), plain)


def _lanes_obstacle(layer: DenseLayer) -> str:
    """What rules out `dense_8`; empty if nothing does."""
    quads = layer.weights[: len(layer.weights) // LANES_BLOCK * LANES_BLOCK].astype(np.int64)
    a, b, c, _ = (quads[offset::4] for offset in range(4))
    lowest = min((256 * a + b).min(initial=0), (256 * b + c).min(initial=0))
    if lowest < -(2**15):
        return "as a weight of -128 leaves the lanes"
    if int(layer.sums.magnitude.max()) > LARGEST_LANE_SUM:
        return "as sums may leave 24 bits"
    return ""


def _candidate(layer: DenseLayer, lane_blocks: int, packing: str) -> Candidate:
    """The first `lane_blocks` blocks of channels by `dense_8`, the others by `dense_words`."""
    channels, depth = layer.weights.shape
    words = -(-depth // 4)
    groups = _groups(channels, lane_blocks)
    rounding = _rounding(layer)
    requantization = layer.requantization
    per_channel = len(set(requantization.multipliers)) > 1
    params: dict[str, Param] = {
        "batch": layer.batch,
        "depth": depth,
        "channels": channels,
        "groups": tuple((block, calls, words * block) for block, calls in groups),
        "shares_lanes": lane_blocks > 0,
        "rounding": rounding,
        "per_channel": per_channel,
        "requantize": requantization.form(layer.sums),
        "zero_point": requantization.zero_point,
        "low": requantization.low,
        "high": requantization.high,
    }
    if rounding:  # the values are in the constant `form`
        params |= {"requantize": "", "zero_point": 0, "low": 0, "high": 0}
    return replace(
        dense(layer, "dsp/fully_connected"),
        params=params,
        constants=(
            _weights(layer.weights, groups, lane_blocks > 0),
            *_requantization_constants(layer, rounding, per_channel),
        ),
        micro_kernels=_micro_kernels(layer, groups, lane_blocks > 0, rounding, per_channel),
        scratch_bytes=4 * words if depth % 4 else 0,
        instructions=layer.batch * _instructions(words, groups, lane_blocks > 0),
        choice=packing,
    )


def _groups(channels: int, lane_blocks: int) -> list[tuple[int, int]]:
    """Channels per call and calls: blocks of eight, blocks of four, and the rest."""
    rest = channels - lane_blocks * LANES_BLOCK
    groups = [
        (LANES_BLOCK, lane_blocks),
        (WORDS_BLOCK, rest // WORDS_BLOCK),
        (rest % WORDS_BLOCK, 1),
    ]
    return [(block, calls) for block, calls in groups if block and calls]


def _instructions(words: int, groups: list[tuple[int, int]], shares_lanes: bool) -> int:
    """Instructions for one row of the input, as measured on the Cortex-M4 to a few percent."""
    total = 4 * words if shares_lanes else 0
    for block, calls in groups:
        loop = 111 * words // 4 + 60 if block == LANES_BLOCK else (5 + 4 * block) * words + 40
        total += calls * (loop + 11 * block)
    return total


# Requantisation


def _rounding(layer: DenseLayer) -> str:
    """How `dense_requantize` rounds; empty where it cannot serve."""
    requantization = layer.requantization
    if not doubled_fits(requantization, layer.sums).all():
        return ""
    return "single" if requantization.rounding is Rounding.SINGLE else "right"


def _requantization_constants(
    layer: DenseLayer, rounding: str, per_channel: bool
) -> tuple[Constant, ...]:
    requantization, bias = layer.requantization, layer.sums.bias
    if not rounding:
        return (folded_bias(layer.sums), *requantization.constants())
    multiplier, shift = requantization.constants()
    form = [2 * requantization.zero_point + 1, requantization.low, requantization.high]
    layout = "2 * output zero point + 1, lowest and highest output"
    doubled = Constant("bias", (2 * bias).astype(np.int32), "input zero point folded in, doubled")
    less_one = (shift.values.astype(np.int32) - 1).astype(np.int8)
    if per_channel:
        return (
            doubled,
            Constant("form", np.array(form, np.int32), layout),
            multiplier,
            Constant("shift", less_one, "bits to the right less one, one per output channel"),
        )
    form += [int(multiplier.values[0]), int(less_one[0])]
    layout += ", multiplier in Q31, bits to the right less one"
    return (doubled, Constant("form", np.array(form, np.int32), layout))


def _is_clamped(requantization: Requantization) -> bool:
    return (requantization.low, requantization.high) != (-128, 127)


def _micro_kernels(
    layer: DenseLayer,
    groups: list[tuple[int, int]],
    shares_lanes: bool,
    rounding: str,
    per_channel: bool,
) -> tuple[MicroKernel, ...]:
    """One for each group; then the sum of the inputs and the requantisation, where needed."""
    unroll = {"speed": (4, 2), "size": (1, 1)}[layer.target.optimize]
    found = []
    for block, _ in groups:
        if block == LANES_BLOCK:
            found.append(MicroKernel("dsp/micro/dense_8", "dense_8", (("unroll", unroll[0]),)))
        else:
            literals: tuple[tuple[str, Param], ...] = (("channels", block), ("unroll", unroll[1]))
            found.append(MicroKernel("dsp/micro/dense_words", f"dense_words_{block}", literals))
    if shares_lanes:
        found.append(MicroKernel("dsp/micro/dense_input_sum", "dense_input_sum"))
    if rounding:
        clamped = _is_clamped(layer.requantization)
        name = f"dense_requantize_{rounding}"
        name += ("_per_channel" if per_channel else "") + ("_clamped" if clamped else "")
        literals = (("rounding", rounding), ("per_channel", per_channel), ("clamped", clamped))
        found.append(MicroKernel("dsp/micro/dense_requantize", name, literals))
    return tuple(found)


# Packing


def _weights(weights: Int8Array, groups: list[tuple[int, int]], shares_lanes: bool) -> Constant:
    padded = np.pad(weights, ((0, 0), (0, -weights.shape[1] % 4)))
    parts, first = [], 0
    for block, calls in groups:
        of_group = padded[first : first + block * calls].reshape(calls, block, -1)
        is_lanes = shares_lanes and block == LANES_BLOCK
        parts.append(_lanes(of_group) if is_lanes else _words(of_group))
        first += block * calls
    layout = "in groups of " + ", then ".join(f"{block} channels" for block, _ in groups)
    return Constant("weights", np.concatenate(parts), layout)


def _words(weights: Int8Array) -> Int32Array:
    """Int8 [calls][channels][K] as words [calls][K / 4][channels] of four neighbouring inputs."""
    calls, channels, depth = weights.shape
    by_word = weights.reshape(calls, channels, depth // 4, 4).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(by_word).view("<i4").astype(np.int32).ravel()


def _lanes(weights: Int8Array) -> Int32Array:
    """Int8 [calls][8][K] as words [calls][K / 4][2][2][2] of two int16 lanes; see `dense_8`.

    From the outside in: four inputs, their pairs (x0, x2) and (x1, x3), four channels a, b, c, d,
    the words of 256 * a + b and of 256 * c + d + 128; the lanes are the inputs of the pair.
    """
    calls, _, depth = weights.shape
    split = weights.astype(np.int32).reshape(calls, 2, 2, 2, depth // 4, 2, 2)
    # call, quad, word, byte, four inputs, lane, pair -> call, four inputs, pair, quad, word, lane
    lanes = 256 * split[:, :, :, 0] + split[:, :, :, 1]
    lanes[:, :, 1] += 128
    ordered = lanes.transpose(0, 3, 5, 1, 2, 4).astype("<i2")
    return np.ascontiguousarray(ordered).view("<i4").astype(np.int32).ravel()
