"""The tile loop of a layer, written a second time: what dory_engine.c and dory_sums.c do with a LayerPlan, as arrays.

Nothing of the planner, the code generator or the cycle model is used here, so that `plan_checks` can hold them against
it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dory.graph.types import IntArray
from dory.plan import LayerPlan, Operand

Flags: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Replay:
    """What the loop of one layer does: a row per tile (per step of it where input channels come in steps), in order.

    Pairs of columns are [from, to), in elements. block [n]: the stripe of output rows. out [n, 6]: output rows,
    columns, channels. k [n, 2]: input channels that are summed up; [0, 1) where a tile reads its own channels.
    store [n]: whether outputs go to L2 behind this row.
    x, one [n, 8] an operand: rows, columns and channels that lie in L1 when the kernel runs, then the rows above and
    the columns left of them that the kernel takes for padding. x_load [n]: whether they are loaded for this tile; the
    ones of the tile before stay otherwise. w [n, 2]: the first byte of the layer's packed constants that is in L1, and
    that plus the number of bytes (which lie in several pieces where input channels come in steps); w_load [n].
    tail [n]: bytes that are loaded on top, constants of a tile's last step.
    """

    block: IntArray
    out: IntArray
    k: IntArray
    store: Flags
    x: tuple[IntArray, ...]
    x_load: Flags
    w: IntArray
    w_load: Flags
    tail: IntArray

    @property
    def tiles(self) -> int:
        """Number of tiles (or steps), stripes and parts of weights included."""
        return len(self.block)


Loop: TypeAlias = Callable[[LayerPlan], Replay]


def stripes(layer: LayerPlan) -> list[tuple[int, int]]:
    """Output rows [from, to) of every run of the loop."""
    h = layer.output.shape[0]
    return [(at, min(at + layer.stripe_rows, h)) for at in range(0, h, max(layer.stripe_rows, 1))]


def parts(layer: LayerPlan) -> list[tuple[int, int]]:
    """Output channels [from, to) of every part of the weights."""
    c = layer.output.shape[2]
    step = layer.weights.part_channels if layer.weights else c
    return [(at, min(at + step, c)) for at in range(0, c, max(step, 1))]


def packed_bytes(layer: LayerPlan, channels: int) -> int:
    """Bytes of the groups of packed constants that `channels` output channels from a group's start on need."""
    w = layer.weights
    if w is None:
        return 0
    return w.group_bytes * (-(-channels // w.group) if w.group else 1)


def replay(layer: LayerPlan) -> Replay:
    """The loop of a layer that has tiles; a direct one is one tile that reads everything."""
    cols = _cut(0, layer.output.shape[1], layer.tile[1])
    channels, w_at = _channel_pieces(layer)
    by_block = [_block(layer, i, rows, cols, len(channels)) for i, rows in enumerate(stripes(layer))]
    block = np.concatenate([np.full(len(c), i) for i, (_, _, c) in enumerate(by_block)])
    h, w, c = (np.concatenate([b[axis] for b in by_block]) for axis in range(3))
    out = np.concatenate([h, cols[w], channels[c]], axis=1)
    if layer.depth:
        return _in_steps(layer, block, out)
    first = np.append(True, block[1:] != block[:-1])
    new_c = first | np.append(True, c[1:] != c[:-1])
    new_place = first | np.append(True, np.any(out[1:, :4] != out[:-1, :4], axis=1))
    slices = any(x.channels == "slice" for x in layer.inputs)
    grouped = layer.weights is not None and layer.weights.group > 0
    return Replay(
        block=block,
        out=out,
        k=np.tile([0, _summed(layer)], (len(out), 1)),
        store=np.ones(len(out), np.bool_),
        x=tuple(_inputs(x, out) for x in layer.inputs),
        x_load=new_place | (new_c if slices else np.zeros_like(new_c)),
        w=w_at[c],
        w_load=(new_c if grouped else first) & (layer.weights is not None),
        tail=np.zeros(len(out), np.int64),
    )


def _in_steps(layer: LayerPlan, block: IntArray, out: IntArray) -> Replay:
    """The loop that takes the input channels in steps: each brings its inputs and weights, the last one constants."""
    (x,) = layer.inputs
    w = layer.weights
    assert w is not None
    steps = _cut(0, x.shape[2], layer.depth)
    k = np.tile(steps, (len(out), 1))
    block, out = np.repeat(block, len(steps)), np.repeat(out, len(steps), axis=0)
    last = k[:, 1] == x.shape[2]
    groups, deep = -(-(out[:, 5] - out[:, 4]) // 4), -(-(k[:, 1] - k[:, 0]) // 4) * 4
    head = 0 if layer.form == "narrow" else 16
    at = out[:, 4] // 4 * w.group_bytes + head + 4 * k[:, 0]
    always = np.ones(len(out), np.bool_)
    tiles = _inputs(x, out)
    tiles[:, 4:6] = k
    return Replay(
        block=block,
        out=out,
        k=k,
        store=last,
        x=(tiles,),
        x_load=always,
        w=np.stack([at, at + groups * 4 * x.window.kernel[0] * x.window.kernel[1] * deep], axis=1),
        w_load=always,
        tail=np.where(last, (48 + head) * groups, 0),
    )


def _summed(layer: LayerPlan) -> int:
    """Input channels behind an output; 1 where tiles read their own."""
    if any(x.channels == "slice" for x in layer.inputs):
        return 1
    return sum(x.shape[2] for x in layer.inputs)


def _cut(start: int, end: int, step: int) -> IntArray:
    """Pieces [from, to) of at most `step`; [n, 2]."""
    at = np.arange(start, end, step, dtype=np.int64)
    return np.stack([at, np.minimum(at + step, end)], axis=1)


def _channel_pieces(layer: LayerPlan) -> tuple[IntArray, IntArray]:
    """Tiles along the channels and the bytes of packed constants that the loop's pointer gives each; [n, 2] both."""
    pieces, bytes_at = [], []
    start = 0
    for c0, c1 in parts(layer):
        at = start
        for a, b in _cut(c0, c1, layer.tile[2]).tolist():
            size = packed_bytes(layer, b - a)
            pieces.append((a, b))
            bytes_at.append((at, at + size))
            at += size if layer.weights and layer.weights.group else 0
        start += packed_bytes(layer, c1 - c0)
    return np.array(pieces, np.int64), np.array(bytes_at, np.int64)


def _block(
    layer: LayerPlan, index: int, rows: tuple[int, int], cols: IntArray, channels: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Rows [n, 2], and the numbers of the columns' and channels' pieces, in the order of the loop."""
    pieces = _cut(*rows, layer.tile[0])
    if layer.order == "inputs":
        h, w, c = np.indices((len(pieces), len(cols), channels)).reshape(3, -1)
    else:
        c, h, w = np.indices((channels, len(pieces), len(cols))).reshape(3, -1)
    return pieces[h], w, c


def _inputs(x: Operand, out: IntArray) -> IntArray:
    """What the loop loads of an operand for each tile, and the padding that it tells the kernel."""
    result = np.empty((len(out), 8), np.int64)
    for axis in (0, 1):
        span = (x.window.kernel[axis] - 1) * x.window.dilation[axis] + 1
        low, high, pad = loaded(
            out[:, 2 * axis : 2 * axis + 2], x.window.stride[axis], x.window.pads[axis], span, x.shape[axis]
        )
        result[:, 2 * axis], result[:, 2 * axis + 1], result[:, 6 + axis] = low, high, pad
    result[:, 4:6] = out[:, 4:6] if x.channels == "slice" else (0, x.shape[2])
    return result


def loaded(out: IntArray, stride: int, pad: int, span: int, size: int) -> tuple[IntArray, IntArray, IntArray]:
    """Input [from, to) that outputs [n, 2] read along an axis, and padding before it (dory_range of dory_tile.h)."""
    low = out[:, 0] * stride - pad
    high = (out[:, 1] - 1) * stride - pad + span
    start = np.minimum(np.maximum(low, 0), size)
    end = np.maximum(start, np.maximum(np.minimum(high, size), 0))
    return start, end, np.minimum(np.maximum(-low, 0), high - low)
