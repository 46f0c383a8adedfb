"""Parts of the convolution's closed forms that its ways have in common, see dory_conv_work.h."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from dory.layers.cost import Number, Work, least, most, where
from dory.plan import LayerPlan

BLOCK = 4
"""Pixels of a block, channels of a group."""
FIVE = 5
"""Pixels of a block where there are enough."""


def by_form(layer: LayerPlan, pixels: Number) -> list[Number]:
    """Pixels x groups; again where the form takes more than the narrow one, and than mul15."""
    return [pixels, pixels * (layer.form != "narrow"), pixels * (layer.form == "wide")]


def padded_copy(layer: LayerPlan, work: Work) -> tuple[tuple[Number, ...], Number]:
    """Whether a copy with padding is made, lines that the busiest core copies of it, those of them that are parts of
    lines, and their words; the columns of the tile, with padding where it is copied."""
    x = layer.inputs[0]
    win, (h_in, w_in, c) = x.window, work.inputs[0]
    if not layer.padded:
        return (0 * work.pixels,) * 4, w_in
    rows = (work.out[0] - 1) * win.stride[0] + win.span(0)
    columns = (work.out[1] - 1) * win.stride[1] + win.span(1)
    inside = (work.pad[0] == 0) & (work.pad[1] == 0) & (rows <= h_in) & (columns <= w_in)
    copied = where(inside, 0, 1)
    columns = -(-((most(work.out[1], 4) - 1) * win.stride[1] + win.span(1)) // 4) * 4
    row = columns * c
    parts = least(-(-2 * work.cores // most(rows, 1)), row // 64 + 1)
    lines = work.share(rows * parts) * copied
    return (copied, lines, lines * (parts > 1), lines * row / parts / 4), where(inside, w_in, columns)


def uneven_shares(work: Work, even: Number) -> tuple[Number, Number, Number]:
    """`shares_of` tiles whose blocks do not come out even; zeros for the others."""
    if not isinstance(even, np.ndarray) and even:
        return (0, 0, 0)
    visits, units, partial = shares_of(work)
    return (visits * (1 - even), units * (1 - even), partial * (1 - even))


def shares_of(work: Work) -> tuple[Number, Number, Number]:
    """Of the busiest core: visits to blocks, units, and units with a partial group (or with all of too few pixels)."""
    groups = -(-work.out[2] // BLOCK)
    blocks = -(-work.pixels // BLOCK)
    few, cut = work.pixels < BLOCK, work.out[2] % BLOCK != 0
    rows = []
    for start, end in work.shares(blocks * groups):
        units = end - start
        visits = where(units > 0, (end - 1) // groups - start // groups + 1, 0)
        partial = where(few, units, where(cut, end // groups - start // groups, 0))
        rows.append((visits, units, partial))
    visits, units, partial = work.busiest(rows, (300, 350, 300))
    if work.even:  # blocks that are no more than begun, groups and pixels that fill up the last ones
        scale = work.pixels * work.out[2] / (blocks * groups * BLOCK * BLOCK)
        units = units * scale
        visits = least(visits, blocks / work.cores)
    return visits, units, partial


def border_blocks(layer: LayerPlan, work: Work, block: int) -> Number:
    """Share of blocks of so many pixels with one whose kernel rows do not lie inside the tensor's columns."""
    window = layer.inputs[0].window
    args = (work.out[1], work.pad[1], work.inputs[0][1], window.kernel[1], window.stride[1], window.dilation[1], block)
    if any(isinstance(a, np.ndarray) for a in args):
        return _each(args)
    return _border_share(*args)


def _each(args: tuple[Number, ...]) -> Number:
    """_border_share of every element, each distinct one computed once."""
    rows = [np.asarray(a, np.int64) for a in np.broadcast_arrays(*args)]
    code = np.zeros_like(rows[0])
    for row in rows:
        code = code * (int(row.max()) + 1) + row
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    return np.array([_border_share(*(int(row[i]) for row in rows)) for i in first])[inverse.reshape(-1)]


@lru_cache(maxsize=65536)
def _border_share(width: int, pad: int, columns: int, kernel: int, stride: int, dilation: int, block: int) -> float:
    """In a row-major tile of `width` columns."""
    span = (kernel - 1) * dilation
    crossing = [not 0 <= x * stride - pad <= columns - 1 - span for x in range(width)]
    blocks = width  # as many blocks as columns: every phase, the same number of times
    hit = sum(any(crossing[(block * b + i) % width] for i in range(block)) for b in range(blocks))
    return hit / blocks
