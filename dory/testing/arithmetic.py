"""What the builder of test networks computes: sums of products of integers, held exactly in floating point.

Integers in floats because NumPy multiplies integer matrices slowly; exact because the bound of every sum is checked,
so that a network's bytes do not depend on the order in which a BLAS adds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Pads: TypeAlias = int | Sequence[int] | Literal["same", "SAME_UPPER", "SAME_LOWER", "VALID"]
"""One number, ONNX's begins-then-ends, "same" (explicit, as SAME_UPPER), or an ONNX auto_pad."""


@dataclass(frozen=True)
class Window:
    """Kernel, strides, dilations and pads (begins, then ends) over the spatial axes, in ONNX's order."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    auto_pad: str = ""

    def attributes(self) -> dict[str, Any]:
        """ONNX attributes; default dilations are left out, as not every operator has them."""
        pads = {"auto_pad": self.auto_pad} if self.auto_pad else {"pads": self.pads}
        dilations = {"dilations": self.dilations} if set(self.dilations) != {1} else {}
        return {"kernel_shape": self.kernel, "strides": self.strides, **dilations, **pads}

    def in_2d(self) -> Window:
        """The same window with a first axis of one element where there was only one axis."""
        if len(self.kernel) == 2:
            return self
        begin, end = self.pads
        return Window((1, *self.kernel), (1, *self.strides), (1, *self.dilations), (0, begin, 0, end))


def as_axes(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """One number for all axes, or one per axis."""
    return (value,) * axes if isinstance(value, int) else tuple(value)


def make_window(
    size: Sequence[int],
    kernel: int | Sequence[int],
    stride: int | Sequence[int],
    pads: Pads,
    dilation: int | Sequence[int] = 1,
) -> Window:
    """A window over spatial `size`. ValueError when no window fits."""
    axes = len(size)
    k, s, d = as_axes(kernel, axes), as_axes(stride, axes), as_axes(dilation, axes)
    auto = pads if isinstance(pads, str) and pads != "same" else ""
    if isinstance(pads, str):
        total = [0] * axes
        if pads != "VALID":
            steps = range(axes)
            total = [max(0, (-(-size[i] // s[i]) - 1) * s[i] + (k[i] - 1) * d[i] + 1 - size[i]) for i in steps]
        first = [(t + 1) // 2 if pads == "SAME_LOWER" else t // 2 for t in total]
        ends = [t - f for t, f in zip(total, first, strict=True)]
        explicit = (*first, *ends)
    else:
        explicit = as_axes(pads, 2 * axes)
    window = Window(k, s, d, explicit, auto)
    if min(output_size(size, window)) < 1:
        raise ValueError(f"{window} does not fit a map of {tuple(size)}")
    return window


def output_size(size: Sequence[int], w: Window) -> tuple[int, ...]:
    """Spatial output size."""
    n = len(size)
    spans = [(w.kernel[i] - 1) * w.dilations[i] + 1 for i in range(n)]
    return tuple((size[i] + w.pads[i] + w.pads[i + n] - spans[i]) // w.strides[i] + 1 for i in range(n))


def taps(x: Array, w: Window, fill: float) -> Iterator[tuple[int, int, Array]]:
    """(row, column, the elements under that kernel position [N, C, Ho, Wo]) of x [N, C, H, W]."""
    top, left, bottom, right = w.pads
    rows, columns = output_size(x.shape[2:], w)
    if any(w.pads):
        x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    for i in range(w.kernel[0]):
        for j in range(w.kernel[1]):
            y0, x0 = i * w.dilations[0], j * w.dilations[1]
            y1, x1 = y0 + (rows - 1) * w.strides[0] + 1, x0 + (columns - 1) * w.strides[1] + 1
            yield i, j, x[:, :, y0 : y1 : w.strides[0], x0 : x1 : w.strides[1]]


def exact_float(x: Array, weight: Array) -> np.dtype[Any]:
    """The floating-point type in which all sums of products x * weight[o] are exact integers."""
    largest = float(np.abs(x).max(initial=0)) * float(np.abs(weight.reshape(len(weight), -1)).sum(1).max())
    return np.dtype(np.float32 if largest < 2**24 else np.float64)


def conv(x: Array, weight: Array, window: Window, group: int) -> Array:
    """Accumulators [N, O, Ho, Wo] of x [N, C, H, W] (zero-point subtracted) and weight [O, C/group, kh, kw]."""
    dtype = exact_float(x, weight)
    x, weight = x.astype(dtype, copy=False), weight.astype(dtype)
    n, channels = x.shape[:2]
    outputs = weight.shape[0]
    rows, columns = output_size(x.shape[2:], window)
    depthwise = group == channels
    shape = (n, group, outputs // group, rows, columns) if depthwise else (n, group, outputs // group, rows * columns)
    total = np.zeros(shape, dtype)
    for i, j, part in taps(x, window, 0):
        if depthwise:
            total += part[:, :, None] * weight[:, 0, i, j].reshape(1, group, -1, 1, 1)
        else:
            w = weight[:, :, i, j].reshape(group, outputs // group, channels // group)
            total += np.matmul(w, part.reshape(n, group, channels // group, rows * columns))
    return total.reshape(n, outputs, rows, columns)


def max_pool(x: Array, window: Window) -> Array:
    """Maxima [N, C, Ho, Wo]."""
    result: Array | None = None
    for _, _, part in taps(x, window, -np.inf):
        result = part.copy() if result is None else np.maximum(result, part)
    assert result is not None
    return result


def average_pool(x: Array, window: Window, count_include_pad: bool) -> Array:
    """Means [N, C, Ho, Wo], float64; padding counts as zeros, or not at all."""
    inside = np.full((1, 1, *x.shape[2:]), 1.0)
    total = sum(part.astype(np.float64) for _, _, part in taps(x, window, 0))
    count = sum(part for _, _, part in taps(inside, window, 1.0 if count_include_pad else 0.0))
    return np.asarray(total / count)
