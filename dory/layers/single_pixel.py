"""Convolutions with one output pixel, as fully connected layers."""

from __future__ import annotations

from dory.graph.types import Shape, Window
from dory.layers.convolution import ConvAttrs
from dory.layers.linear import LinearAttrs


def as_linear(attrs: ConvAttrs, shape: Shape) -> LinearAttrs | None:
    """The same layer for an input of `shape` (H, W, C); None unless there is one output pixel, which sees all inputs.

    Taps on padding add a constant.
    """
    rows, columns = (_inside(attrs.window, axis, shape[axis]) for axis in (0, 1))
    if rows is None or columns is None:
        return None
    inside = attrs.weights[:, rows, columns].reshape(len(attrs.weights), -1)
    padding = attrs.weights.sum(axis=(1, 2, 3)) - inside.sum(axis=1)
    return LinearAttrs(inside, attrs.bias + attrs.pad_value * padding, attrs.requant)


def _inside(window: Window, axis: int, size: int) -> slice | None:
    """The taps that see the inputs, each of them one; None when there is another output, or an input is not seen."""
    step = window.dilation[axis]
    first = -(-window.pads[axis] // step)  # the first tap that is not on padding
    at = first * step - window.pads[axis]
    whole = at == 0 and first + size <= window.kernel[axis] and (step == 1 or size == 1)
    return slice(first, first + size) if whole and window.out_size(axis, size) == 1 else None
