"""Where the windows of spatial operators lie.

Source: `ComputePaddingHeightWidth` in tensorflow/lite/kernels/padding.h.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporter.graph.ir import Op
from exporter.ops.candidate import Window


@dataclass(frozen=True)
class Axis:
    """A window sliding along one spatial axis. `before`/`after`: positions outside the input."""

    input: int
    output: int
    size: int
    stride: int
    dilation: int
    before: int
    after: int

    @property
    def extent(self) -> int:
        """Positions from the first to the last that one window covers."""
        return (self.size - 1) * self.dilation + 1

    @property
    def is_padded(self) -> bool:
        return self.before > 0 or self.after > 0

    @property
    def window(self) -> Window:
        return Window(self.size, self.stride, self.dilation, self.before)


def axis(
    input_size: int, output_size: int, size: int, stride: int, dilation: int, before: int | None
) -> Axis:
    """The geometry along one axis; `before`: positions padded in front, None for SAME."""
    extent = (size - 1) * dilation + 1
    needed = (output_size - 1) * stride + extent
    if before is None:
        before = max(needed - input_size, 0) // 2
    after = max(needed - input_size - before, 0)
    return Axis(input_size, output_size, size, stride, dilation, before, after)


def spatial_axes(
    op: Op, input_shape: tuple[int, ...], output_shape: tuple[int, ...], kernel: tuple[int, int]
) -> tuple[Axis, Axis]:
    """Vertical and horizontal axis of a convolution or pooling over NHWC tensors."""
    top, left = _explicit_padding(op)
    options = {key: int(value) for key, value in op.options.items() if key.startswith(_INTEGERS)}
    dilation_h, dilation_w = options.get("dilation_hfactor", 1), options.get("dilation_wfactor", 1)
    return (
        axis(input_shape[1], output_shape[1], kernel[0], options["stride_h"], dilation_h, top),
        axis(input_shape[2], output_shape[2], kernel[1], options["stride_w"], dilation_w, left),
    )


_INTEGERS = ("stride", "dilation")


def _explicit_padding(op: Op) -> tuple[int | None, int | None]:
    """Rows above and columns to the left: None for SAME, 0 for VALID, given for EXPLICIT."""
    padding = op.options["padding"]
    if padding == "SAME":
        return None, None
    if padding == "VALID":
        return 0, 0
    return int(op.options["pad_top"]), int(op.options["pad_left"])


def output_shape_fits(
    op: Op, input_shape: tuple[int, ...], output_shape: tuple[int, ...], kernel: tuple[int, int]
) -> bool:
    """Whether the stated output height and width are those that TFLite computes."""
    if not _is_positive(op, kernel):
        return False
    vertical, horizontal = spatial_axes(op, input_shape, output_shape, kernel)
    return all(
        axis.output == _output_size(op, axis, ends)
        for axis, ends in (
            (vertical, ("pad_top", "pad_bottom")),
            (horizontal, ("pad_left", "pad_right")),
        )
    )


def _is_positive(op: Op, kernel: tuple[int, int]) -> bool:
    """Whether kernel, strides and dilations are at least 1: corrupt files say otherwise."""
    steps = (int(value) for key, value in op.options.items() if key.startswith(_INTEGERS))
    return all(size >= 1 for size in (*kernel, *steps))


def _output_size(op: Op, axis: Axis, ends: tuple[str, str]) -> int:
    if op.options["padding"] == "SAME":
        return (axis.input + axis.stride - 1) // axis.stride
    padding = sum(int(op.options.get(end, 0)) for end in ends)
    return (axis.input + padding - axis.extent + axis.stride) // axis.stride
