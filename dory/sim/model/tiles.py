"""A layer's tiles in the order in which the generated loop takes them, with the bytes and the work of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from dory.graph.types import Shape, Window
from dory.layers.conv_cost import FIRST, LAST
from dory.layers.cost import Work, valid_taps
from dory.plan import LayerPlan, Operand, packed_bytes
from dory.sim.iss.params import IssParams
from dory.sim.model.laws import Copies, dma_copies, tile_copies
from dory.streaming import part_starts


@dataclass(frozen=True)
class Block:
    """Output rows [h0, h1) of a layer, all channels: what one run of the tile loop computes."""

    h0: int
    h1: int


@dataclass(frozen=True)
class Piece:
    """A tile's extent along one axis: outputs [at, at + count), input elements of each operand, taps inside.

    pad: positions before the first input that the first operand's window sees.
    """

    at: int
    count: int
    inputs: tuple[int, ...]
    taps: int
    pad: int = 0

    @cached_property
    def key(self) -> tuple[int, tuple[int, ...], int, int]:
        """Equal for pieces that cost the same."""
        return self.count, self.inputs, self.taps, self.pad


@dataclass(frozen=True, eq=False)
class Tile:
    """One tile of a class of equal ones: its transfers, kernel cycles of the busiest core, and of an even split."""

    x: tuple[Copies, ...]
    w: tuple[Copies, ...]
    y: tuple[Copies, ...]
    cycles: int
    even: int
    label: str


def _copies(p: IssParams, operand: Operand, shape: Shape, outward: bool) -> tuple[Copies, ...]:
    """Of a tile of an operand, (h, w, c) elements."""
    line = packed_bytes(shape[2], operand.bits)
    return tile_copies(p, operand.shape[1], operand.pixel_bytes, shape[0], shape[1], line, outward)


Kernel = Callable[[LayerPlan, Work], int]
"""Cycles of a layer's kernel for some work."""

Repack = Callable[[LayerPlan, Work, bool, bool], int]
"""Cycles around the kernel of a tile that brings inputs, weights with it: unpacking and packing."""


def pieces(layer: LayerPlan, axis: int, start: int, end: int, step: int) -> list[Piece]:
    """Tiles of `step` outputs along axis 0 (rows) or 1 (columns) between output elements start and end."""
    out = []
    for at in range(start, end, step):
        count = min(step, end - at)
        ranges = [x.window.in_range(axis, at, at + count, x.shape[axis]) for x in layer.inputs]
        window, size = layer.inputs[0].window, layer.inputs[0].shape[axis]
        taps = _taps(window, axis, at, count, size)
        out.append(Piece(at, count, tuple(r[1] - r[0] for r in ranges), taps, ranges[0][2]))
    return out


def _taps(window: Window, axis: int, at: int, count: int, size: int) -> int:
    pad, kernel, dilation = window.pads[axis], window.kernel[axis], window.dilation[axis]
    return valid_taps(at, count, window.stride[axis], pad, kernel, dilation, size)


def channel_pieces(layer: LayerPlan) -> list[Piece]:
    """Tiles along the channels; none crosses the end of a part of the weights."""
    starts, channels = part_starts(layer), layer.output.shape[2]
    ends = [*starts[1:], channels]
    step = layer.tile[2]
    return [
        Piece(at, min(step, end - at), (), 0)
        for start, end in zip(starts, ends, strict=True)
        for at in range(start, end, step)
    ]


Step = tuple[Tile, bool, bool, int]
"""A tile, whether it brings new inputs and new weights with it, and the part of streamed weights that it is the first
to need (-1: none)."""


class LayerTiles:
    """Steps of any block of a layer; tiles that cost the same are one object."""

    def __init__(
        self, layer: LayerPlan, params: IssParams, cores: int, kernel: Kernel, repack: Repack | None = None
    ) -> None:
        self._layer, self._p, self._cores, self._kernel = layer, params, cores, kernel
        self._repack = repack if layer.subbyte else None
        self._tiles: dict[object, Tile] = {}
        self._columns = pieces(layer, 1, 0, layer.output.shape[1], layer.tile[1])
        self._channels = channel_pieces(layer)
        starts = part_starts(layer)
        self._parts = {at: k for k, at in enumerate(starts)} if len(starts) > 1 else {}
        self._any_slice = any(x.channels == "slice" for x in layer.inputs)
        self._grouped = layer.weights is not None and layer.weights.group > 0

    def steps(self, block: Block) -> list[Step]:
        """The block's tiles in order; of a layer that takes its input channels in steps, the steps of each tile."""
        if self._layer.depth:
            return self._deep_steps(block)
        rows = pieces(self._layer, 0, block.h0, block.h1, self._layer.tile[0])
        channels = self._channels
        sizes = {c.count: [[self._tile(r, w, c) for w in self._columns] for r in rows] for c in channels}
        planes = [sizes[c.count] for c in channels]
        nr, nw, nc = len(rows), len(self._columns), len(channels)
        if self._layer.order == "inputs":
            order = [(r, w, c) for r in range(nr) for w in range(nw) for c in range(nc)]
        else:
            order = [(r, w, c) for c in range(nc) for r in range(nr) for w in range(nw)]
        out: list[Step] = []
        last = (-1, -1, -1)
        for r, w, c in order:
            new_c = c != last[2]
            new_x = r != last[0] or w != last[1] or (self._any_slice and new_c)
            part = self._parts.get(channels[c].at, -1) if new_c else -1
            tile, new_w = planes[c][r][w], new_c and (self._grouped or not out)
            if self._repack:
                tile = self._repacked(tile, (rows[r], self._columns[w], channels[c]), new_x, new_w)
            out.append((tile, new_x, new_w, part))
            last = (r, w, c)
        return out

    def _deep_steps(self, block: Block) -> list[Step]:
        """As dory_sums.c takes them: every step brings inputs and weights."""
        layer, out = self._layer, list[Step]()
        depth, channels = layer.depth, layer.inputs[0].shape[2]
        starts = range(0, channels, depth)
        rows = pieces(layer, 0, block.h0, block.h1, layer.tile[0])
        for c in self._channels:
            part = self._parts.get(c.at, -1)
            for r in rows:
                for w in self._columns:
                    for k in starts:
                        phase = (FIRST if k == 0 else 0) + (LAST if k + depth >= channels else 0)
                        tile = self._deep_tile(r, w, c, min(depth, channels - k), phase)
                        out.append((tile, True, True, part if k == 0 else -1))
                        part = -1
        return out

    def _deep_tile(self, r: Piece, w: Piece, c: Piece, depth: int, phase: int) -> Tile:
        key = (r.key, w.key, c.count, depth, phase)
        found = self._tiles.get(key)
        if found is None:
            found = self._tiles[key] = self._make_deep(r, w, c, depth, phase)
        return found

    def _make_deep(self, r: Piece, w: Piece, c: Piece, depth: int, phase: int) -> Tile:
        p, layer = self._p, self._layer
        x, out = layer.inputs[0], layer.output
        shape = (r.inputs[0], w.inputs[0], depth)
        size = (r.count, w.count, c.count)
        work = Work(size, (shape,), r.taps * w.taps, self._cores, False, (r.pad, w.pad), r.taps, phase, True)
        groups, deep = -(-c.count // 4), -(-depth // 4) * 4
        taps = x.window.kernel[0] * x.window.kernel[1]
        weights = [dma_copies(p, groups, taps, 4 * deep, False)]
        if phase & LAST:
            weights += [dma_copies(p, 1, groups, n, False) for n in (16, 48) if n == 48 or layer.form != "narrow"]
        y = tile_copies(p, out.shape[1], out.shape[2], *size, True) if phase & LAST else ()
        cycles, even = self.cycles(work, None)
        copies = tile_copies(p, x.shape[1], x.shape[2], *shape, False)
        return Tile(copies, tuple(weights), y, cycles, even, f"{r.count}x{w.count}x{c.count} of {depth}")

    def _tile(self, r: Piece, w: Piece, c: Piece) -> Tile:
        key = (r.key, w.key, c.count)
        found = self._tiles.get(key)
        if found is None:
            found = self._tiles[key] = self._make(r, w, c)
        return found

    def _repacked(self, tile: Tile, at: tuple[Piece, Piece, Piece], new_x: bool, new_w: bool) -> Tile:
        """The tile with what is unpacked before its kernel and packed behind it."""
        assert self._repack is not None
        key = ("repacked", *(piece.key for piece in at), new_x, new_w)
        found = self._tiles.get(key)
        if found is None:
            work = self._work(*at)
            more = self._repack(self._layer, work, new_x, new_w)
            even = min(self._repack(self._layer, replace(work, even=True), new_x, new_w), more)
            found = self._tiles[key] = replace(tile, cycles=tile.cycles + more, even=tile.even + even)
        return found

    def _work(self, r: Piece, w: Piece, c: Piece) -> Work:
        inputs = self._layer.inputs
        depths = (x.shape[2] if x.channels == "all" else c.count for x in inputs)
        shapes = tuple((r.inputs[i], w.inputs[i], d) for i, d in enumerate(depths))
        out = (r.count, w.count, c.count)
        return Work(out, shapes, r.taps * w.taps, self._cores, pad=(r.pad, w.pad), tap_rows=r.taps)

    def _make(self, r: Piece, w: Piece, c: Piece) -> Tile:
        layer, p = self._layer, self._p
        work = self._work(r, w, c)
        x: list[Copies] = []
        for operand, shape in zip(layer.inputs, work.inputs, strict=True):
            if not operand.kept:
                x += _copies(p, operand, shape, False)
        out: Operand = layer.output
        weights = layer.weights
        w_copies = (dma_copies(p, 1, 1, weights.bytes_for(c.count), False),) if weights else ()
        cycles, even = self.cycles(work, (r.key, w.key, c.count))
        return Tile(
            tuple(x),
            w_copies,
            _copies(p, out, (r.count, w.count, c.count), True) if layer.stored else (),
            cycles,
            even,
            f"{r.count}x{w.count}x{c.count}",
        )

    def cycles(self, work: Work, key: object) -> tuple[int, int]:
        """Of a tile's kernel on the busiest core, and if the work split evenly.

        key: equal for tiles that cost the same.
        """
        cycles = self._kernel(self._layer, work)
        return cycles, min(self._kernel(self._layer, replace(work, even=True)), cycles)
