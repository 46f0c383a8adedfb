"""Sliding windows over HWC arrays, shared by the references of convolutions and pools."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dory.errors import UserError
from dory.graph.types import IntArray, Shape, Window


def out_hw(window: Window, shape: Shape, where: str) -> tuple[int, int]:
    """Output height and width; UserError when the window does not fit the (padded) input once."""
    oh, ow = window.out_size(0, shape[0]), window.out_size(1, shape[1])
    if oh < 1 or ow < 1:
        raise UserError(
            f"a window of {window.span(0)}x{window.span(1)} does not fit an input of {shape[0]}x{shape[1]}"
            f" with pads {window.pads}",
            where=where,
            hint="check kernel, dilation and pads",
        )
    return oh, ow


def taps(x: IntArray, window: Window, pad_value: int) -> Iterator[tuple[int, int, IntArray]]:
    """(ky, kx, view) for every kernel position; view is [OH, OW, C] of the padded input."""
    t, left, b, r = window.pads
    padded = np.pad(x, ((t, b), (left, r), (0, 0)), constant_values=pad_value)
    oh, ow = window.out_size(0, x.shape[0]), window.out_size(1, x.shape[1])
    (sh, sw), (dh, dw) = window.stride, window.dilation
    for ky in range(window.kernel[0]):
        for kx in range(window.kernel[1]):
            y0, x0 = ky * dh, kx * dw
            yield ky, kx, padded[y0 : y0 + (oh - 1) * sh + 1 : sh, x0 : x0 + (ow - 1) * sw + 1 : sw]
