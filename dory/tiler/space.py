"""The space of legal tiles of one layer: its sizes in L1, and the layer as the cycle model sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from dory import _tiler
from dory.graph.types import Node, Shape
from dory.layers import LAYERS
from dory.layers.base import Access, Geometry, PackedWeights, PlaneScratch, Steps, TileShape
from dory.layers.conv import DEEP_KERNEL
from dory.plan import GUARD, L1Buffer, LayerPlan, Operand, Weights, guarded, packed_bytes

Axes = tuple[Sequence[int], Sequence[int], Sequence[int]]
"""Heights, widths and channels."""


Row = tuple[Any, ...]
"""A tile (h, w, c) and its bytes of L1; with single buffers also which, and cycles of waits."""
SINGLE = ("", "x", "w", "xw", "y", "xy", "wy", "xwy")
"""Operands that may have a single buffer, as `dory._tiler` numbers them."""


@dataclass(frozen=True)
class Bound:
    """Cycles that a tiling takes at least: ideal + per_tile a tile + per_byte a byte of the first loads, or of all.

    more: what cutting each axis into tiles adds to `ideal`, by the axis's steps (none: nothing).
    """

    ideal: float = 0.0
    more: tuple[Mapping[int, float], ...] = ({}, {}, {})
    per_tile: float = 0.0
    per_byte: float = 0.0


@dataclass(frozen=True, eq=False)
class LayerSpace:
    """A layer, the shapes of its inputs, its packed constants, a team of `cores`, and `budget` bytes of L1.

    rows: of the stripes in which the layer runs, which tiles cut into equal parts (0: it runs as a whole). bits: of the
    inputs' elements and the output's, where they are not bytes. padded: the kernel copies tiles with their padding.
    single: of "x" (the inputs), "w" and "y", those that have one buffer however often they are loaded or stored.
    in_parts: weights come to L2 in parts, each once, so that channels are the outer loop.
    """

    node: Node
    shapes: tuple[Shape, ...]
    packed: PackedWeights | None
    cores: int
    budget: int
    rows: int = 0
    bits: tuple[int, ...] = ()
    padded: bool = False
    single: str = ""
    in_parts: bool = False

    @property
    def attrs(self) -> Any:
        """Of the layer as it is computed here."""
        return LAYERS[self.node.op].padded(self.node.attrs) if self.padded else self.node.attrs

    @cached_property
    def with_copies(self) -> LayerSpace:
        """The same layer, whose kernel copies tiles with their padding."""
        return replace(self, padded=True)

    @property
    def may_copy(self) -> bool:
        """Whether there is such a kernel."""
        return not self.padded and LAYERS[self.node.op].padded(self.node.attrs) is not None

    @cached_property
    def geometry(self) -> Geometry:
        """How the output may be cut."""
        geometry = LAYERS[self.node.op].geometry(self.node.attrs, self.shapes)
        return geometry.typed(self.bits[:-1], self.bits[-1]) if self.bits else geometry

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of the layer."""
        return LAYERS[self.node.op].macs(self.node.attrs, self.shapes)

    @cached_property
    def planes(self) -> PlaneScratch | None:
        """The law of a scratch that depends on the tile."""
        return LAYERS[self.node.op].plane_scratch(self.attrs, self.cores)

    @cached_property
    def fixed_scratch(self) -> int:
        """Bytes of a scratch, or of that part of it, that is the same for all tiles."""
        if self.planes:
            return self.planes.fixed
        whole = tile_shape(self.geometry, self.geometry.out)
        return LAYERS[self.node.op].scratch_bytes(self.attrs, whole, self.cores)

    @cached_property
    def probe(self) -> LayerPlan:
        """The layer with operands in L2 and a single tile; `at` gives others."""
        layer, geometry, node = LAYERS[self.node.op], self.geometry, self.node
        inputs = tuple(
            Operand(t, a.shape, a.window, a.channels, "", bits=a.bits)
            for t, a in zip(node.inputs, geometry.inputs, strict=True)
        )
        p, constants, weights = self.packed, layer.constants(node.attrs), None
        if p:
            sizes = (len(p.data), p.group, p.group_bytes, 0, "", geometry.out[2])
            weights = Weights("resident", *sizes, bits=p.bits, unit=p.unit)
        return LayerPlan(
            index=0,
            name=node.name,
            op=node.op,
            kernel=layer.kernel,
            source=node.source,
            macs=self.macs,
            inputs=inputs,
            output=Operand(node.output, geometry.out, Access(geometry.out).window, "slice", "", bits=geometry.bits),
            weights=weights,
            tile=geometry.out,
            order="weights",
            stripe_rows=geometry.out[0],
            direct=geometry.direct,
            l1=(),
            form=constants.get("form", ""),
            turned=constants.get("turned", False),
            padded=self.padded,
        )

    def at(self, tile: Shape, inputs_outer: bool) -> LayerPlan:
        """The layer with a tile and a loop order."""
        return replace(self.probe, tile=tile, order="inputs" if inputs_outer else "weights")

    def buffers(self, tile: Shape) -> tuple[L1Buffer, ...]:
        """L1 buffers of a tile."""
        scratch = self.planes.bytes(tile) if self.planes else self.fixed_scratch
        return l1_buffers(self.geometry, self.packed, scratch, tile, self.single)

    def bytes(self, tile: Shape) -> int:
        """L1 bytes of a tile, guards included."""
        return self.buffers(tile)[-1].end

    @cached_property
    def deep(self) -> Steps | None:
        """How the input channels may come in steps; whole where something is unpacked."""
        if self.probe.subbyte:
            return None
        return LAYERS[self.node.op].steps(self.attrs, self.shapes)

    def deep_at(self, tile: Shape, depth: int) -> LayerPlan:
        """The layer with a tile and steps of `depth` input channels."""
        return replace(self.probe, tile=tile, kernel=DEEP_KERNEL, depth=depth)

    def deep_buffers(self, tile: Shape, depth: int) -> tuple[L1Buffer, ...]:
        """L1 buffers of a tile that takes `depth` input channels at a time."""
        assert self.deep
        sizes = self.deep.bytes(tile, depth, self.cores)
        h, w, _ = input_tile(self.geometry.inputs[0], tile)
        # Two outputs even of a single tile: its weights may come to L2 in parts, which cut it.
        wanted = [("x0", h * w * depth, 2), ("w", sizes["w"], 2), ("y", tile[0] * tile[1] * tile[2], 2)]
        return _lay_out([*wanted, *((name, sizes[name], 1) for name in ("sums", "heads", "tails", "scratch"))])

    @property
    def smallest(self) -> Shape:
        """The smallest legal tile."""
        g = self.geometry
        _, w, c = g.out
        return (1, 1 if g.split_w else w, min(g.c_step, c) if g.split_c else c)

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for layers whose tiles cost the same."""
        p = self.probe
        operands = tuple((x.shape, x.window, x.channels, x.bits) for x in p.inputs)
        w = p.weights
        packed = (w.group, w.group_bytes, w.bytes, w.bits, w.unit) if w else ()
        g = self.geometry
        cut = (g.c_step, g.split_w, g.split_c, self.rows, self.in_parts)
        y = (p.output.shape, p.output.bits)
        return (p.op, p.form, operands, y, packed, cut, self.fixed_scratch, self.planes, self.cores)

    @cached_property
    def axes(self) -> Axes:
        """All heights, widths and channels of legal tiles, ascending."""
        g = self.geometry
        h, w, c = g.out
        channels = [*range(g.c_step, c, g.c_step), c] if g.split_c else [c]
        rows = parts(self.rows, 1) if self.rows else range(1, h + 1)
        return rows, range(1, w + 1) if g.split_w else [w], channels

    @cached_property
    def balanced(self) -> Axes:
        """Those that cut an axis into equal parts."""
        g = self.geometry
        h, w, c = g.out
        rows = parts(self.rows or h, 1)
        return rows, parts(w, 1) if g.split_w else [w], parts(c, g.c_step) if g.split_c else [c]

    def survivors(self, axes: Axes, bound: Bound, limit: float, between: float = -1.0) -> tuple[list[Row], int]:
        """Rows (h, w, c, bytes) of tiles in the budget with a bound within `limit` cycles; how many fit the budget.

        between: if not negative, tiles that fit only where some operands have one buffer, and the cycles between two
        kernels in which core 0 moves those. Rows are (h, w, c, bytes, k, cycles of waits) then, SINGLE[k] has the
        operands; where fewer single buffers do as well there is no row: a buffer more never takes longer.
        """
        g, p = self.geometry, self.packed
        by_h, by_w, by_c = (
            [more.get(step, 0.0) for step in steps] for more, steps in zip(bound.more, axes, strict=True)
        )
        return _tiler.survivors(
            g.out,
            *axes,
            [_row(a, g.out) for a in g.inputs],
            p.group if p else 0,
            p.group_bytes if p else 0,
            self.fixed_scratch,
            self.planes.row if self.planes else None,
            GUARD,
            self.budget,
            bound.ideal,
            by_h,
            by_w,
            by_c,
            bound.per_tile,
            bound.per_byte,
            limit,
            g.bits,
            p.kernel_group_bytes if p and p.bits < 8 else 0,
            between,
        )


def parts(size: int, step: int) -> list[int]:
    """Lengths, multiples of `step`, that cut `size` into as few parts each as there are; ascending."""
    units = -(-size // step)
    return sorted({min(-(-units // n) * step, size) for n in range(1, units + 1)})


def _row(a: Access, out: Shape) -> tuple[int, ...]:
    """The pruner's columns of an input."""
    top, left, bottom, right = a.window.pads
    win = a.window
    once = _read(a, 0, out[0]) * _read(a, 1, out[1]) * packed_bytes(a.shape[2], a.bits)
    pads = (top + bottom, left + right)
    return (*a.shape, win.span(0), win.span(1), *win.stride, *pads, int(a.channels == "all"), once, a.bits)


def _read(a: Access, axis: int, outputs: int) -> int:
    """Positions of an axis that any tiling reads at least once."""
    win, size = a.window, a.shape[axis]
    if win.span(axis) >= win.stride[axis]:
        ranges = [win.in_range(axis, 0, outputs, size)]
    else:  # windows with gaps between them
        ranges = [win.in_range(axis, o, o + 1, size) for o in range(outputs)]
    return sum(r[1] - r[0] for r in ranges)


def tile_shape(geometry: Geometry, tile: Shape) -> TileShape:
    """The largest input tiles that an output tile of this size reads."""
    return TileShape(tile, tuple(input_tile(a, tile) for a in geometry.inputs))


def input_tile(access: Access, tile: Shape) -> Shape:
    """(h, w, c) elements of the input that one output tile reads at most."""
    h, w, c = access.shape
    win = access.window
    ih = min((tile[0] - 1) * win.stride[0] + win.span(0), h)
    iw = min((tile[1] - 1) * win.stride[1] + win.span(1), w)
    return ih, iw, c if access.channels == "all" else min(tile[2], c)


def l1_buffers(
    geometry: Geometry, weights: PackedWeights | None, scratch: int, tile: Shape, single: str = ""
) -> tuple[L1Buffer, ...]:
    """L1 buffers of a tile, in address order: what is loaded more than once per layer is double-buffered, if it isn't
    `single`.

    Operands of fewer than 8 bits have one more buffer, where they are unpacked.
    """
    th, tw, tc = (-(-o // t) for o, t in zip(geometry.out, tile, strict=True))
    tiles, spatial = th * tw * tc, th * tw
    wanted: list[tuple[str, int, int]] = []
    for i, access in enumerate(geometry.inputs):
        h, w, c = input_tile(access, tile)
        loads = spatial if access.channels == "all" else tiles
        wanted.append((f"x{i}", h * w * packed_bytes(c, access.bits), 2 if loads > 1 and "x" not in single else 1))
        if access.bits < 8:
            wanted.append((f"ux{i}", h * w * c, 1))
    if weights:
        wanted.append(("w", weights.bytes_for(tile[2]), 2 if tc > 1 and weights.group and "w" not in single else 1))
        if weights.bits < 8:
            groups = weights.bytes_for(tile[2]) // weights.group_bytes
            wanted.append(("uw", groups * weights.kernel_group_bytes, 1))
    wanted.append(
        ("y", tile[0] * tile[1] * packed_bytes(tile[2], geometry.bits), 2 if tiles > 1 and "y" not in single else 1)
    )
    if geometry.bits < 8:
        wanted.append(("uy", tile[0] * tile[1] * tile[2], 1))
    if scratch:
        wanted.append(("scratch", scratch, 1))
    return _lay_out(wanted)


def _lay_out(wanted: Sequence[tuple[str, int, int]]) -> tuple[L1Buffer, ...]:
    """(operand, bytes, copies) one behind the other."""
    buffers, offset = [], 0
    for operand, size, copies in wanted:
        buffers.append(L1Buffer(size, copies, offset, operand))
        offset += copies * guarded(size)
    return tuple(buffers)
